"""How the seconds and the bytes of a protection grow: with side, batch, N_per and subjects.

    python benchmarks/growth.py                            # the Toybox; docs/results/growth.json and .svg

Along `resolution` and `batch` the seconds are those of an inner step (an update of five, divided by five),
along `inner_steps` and `subjects` those of an update; bytes are the most that tensors hold, the given model's
weights included. Every subject is looked ahead to before each update (`subjects_per_update` 0).
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median

from apdm.backbones.base import Backbone
from apdm.backbones.load import load
from apdm.protectors.apdm import APDM, protect
from apdm.protectors.material import ProtectionMaterial
from apdm.report.charts import Axis
from protection_speed import machine, material, peak_bytes, settings

UPDATES, INNER = 4, 5  # the first update is not timed
ALONG: dict[str, Sequence[int]] = {
    "resolution": (32, 64, 96, 128),
    "batch": (1, 2, 4, 8),
    "inner_steps": (1, 5, 10, 20),
    "subjects": (1, 2, 4, 8),
}
OF_AN_UPDATE = ("inner_steps", "subjects")
Point = Mapping[str, float]


def seconds_an_update(backbone: Backbone, of: Sequence[ProtectionMaterial], config: APDM) -> float:
    """The median, copies and optimizers made before left out."""
    times: list[float] = []
    protect(backbone, of, config, 0, lambda *told: times.append(time.perf_counter()))
    return median(later - earlier for earlier, later in pairwise(times[1:]))


def point(backbone: Backbone, name: str, value: int) -> Point:
    chosen = {"resolution": backbone.resolution, "batch": 1, "inner_steps": INNER, "subjects": 1, name: value}
    of, steps = [material(backbone, chosen["resolution"])] * chosen["subjects"], chosen["inner_steps"]
    took = seconds_an_update(backbone, of, settings(chosen["batch"], UPDATES, steps))
    short = settings(chosen["batch"], 2, min(steps, 2))
    held = peak_bytes(lambda config: protect(backbone, of, config, 0), short, backbone.device)
    loaded = sum(weight.nbytes for weight in backbone.network.parameters())
    return {
        "value": value,
        "seconds": took if name in OF_AN_UPDATE else took / steps,
        "bytes": held + loaded,
    }


def picture(curves: Mapping[str, Sequence[Point]]) -> str:
    """A panel for each curve, seconds above bytes; all axes begin at zero."""
    wide, high = 240, 180
    panels = [
        f'<g transform="translate({60 + column * (wide + 60)} {30 + row * (high + 60)})">'
        f"{panel(name, of, points, wide, high)}</g>"
        for column, (name, points) in enumerate(curves.items())
        for row, of in enumerate(("seconds", "bytes"))
    ]
    size = f"0 0 {60 + len(curves) * (wide + 60)} {30 + 2 * (high + 60)}"
    style = "font: 12px sans-serif; background: white"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{size}" style="{style}">{"".join(panels)}</svg>\n'
    )


def panel(name: str, of: str, points: Sequence[Point], wide: int, high: int) -> str:
    unit, show = ("s", 1.0) if of == "seconds" else ("MB", 1e6)
    places = [(point["value"], point[of] / show) for point in points]
    across = Axis(0, 1.05 * max(x for x, _ in places))
    upwards = Axis(0, 1.05 * max(y for _, y in places))

    def at(x: float, y: float) -> tuple[float, float]:
        return across.at(x) * wide / 100, high - upwards.at(y) * high / 100

    drawn = [f'<path d="M0 0V{high}H{wide}" fill="none" stroke="#888"/>']
    drawn += [f'<text x="{wide / 2}" y="{high + 32}" text-anchor="middle">{name.replace("_", " ")}</text>']
    for x, _ in places:
        drawn.append(f'<text x="{at(x, 0)[0]:.1f}" y="{high + 16}" text-anchor="middle">{x:g}</text>')
    for y in upwards.ticks(4):
        drawn.append(f'<text x="-6" y="{at(0, y)[1] + 4:.1f}" text-anchor="end">{y:.3g} {unit}</text>')
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in (at(*place) for place in places))
    dots = [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in (at(*place) for place in places)]
    return "".join([*drawn, f'<polyline points="{line}" fill="none" stroke="black"/>', *dots])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="toybox")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--output_dir", type=Path, default=Path("docs/results"))
    args = parser.parse_args()
    backbone = load(args.model, args.device)
    curves: dict[str, list[Point]] = {}
    for name, values in ALONG.items():
        curves[name] = []
        for value in values:
            curves[name].append(point(backbone, name, value))
            print(name, curves[name][-1], flush=True)
    args.output_dir.mkdir(parents=True, exist_ok=True)
    found = {"model": args.model, **machine(args.device), "curves": curves}
    (args.output_dir / "growth.json").write_text(json.dumps(found, indent=2) + "\n")
    (args.output_dir / "growth.svg").write_text(picture(curves))


if __name__ == "__main__":
    main()
