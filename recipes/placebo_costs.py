"""What the frozen evaluation's placebos cost, beside what its table says that they withhold.

    python recipes/placebo_costs.py --jobs 2     # naive ascent, for the first subject of each class
    python recipes/placebo_costs.py "naive ascent" "published preset:person" --jobs 2

Measured as the evaluation measures its protections: the same captions, scenes, seeds and numbers. A model
that is already there (works/models in the work folder, as where the evaluation was run) is not made again;
the published preset takes an hour each. Writes placebo-costs.json, its table (.md) and a sheet of pictures
(.png) into the work folder.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from itertools import chain
from multiprocessing import get_context
from pathlib import Path

import torch

from apdm.benchmark.frozen.figures import costs
from apdm.benchmark.frozen.jobs import UNPROTECTED, placebo_name, placebos, protected_name, subjects_of
from apdm.benchmark.frozen.scenario import Scenario, read_scenario
from apdm.benchmark.frozen.workshop import Workshop, model_name
from apdm.benchmark.provenance import provenance
from apdm.benchmark.record import Figure, as_json
from apdm.benchmark.store import save_text
from apdm.cli.frozen import Share, workshop
from apdm.pixels import to_images
from apdm.report.strips import Shown, Strip, write_strips
from apdm.watch import silent

SCENARIO = Path(__file__).parents[1] / "scenarios" / "protection.toml"
ASKED = ("naive ascent",)
HEADS = {
    "fid_ratio": "FID ratio",
    "class_accuracy_drop": "class accuracy lost",
    "colour_accuracy_drop": "colour accuracy lost",
    "caption_error_ratio": "caption error",
}
SHOWN = ("a photo of person", "a photo of dog", "a photo of cat", "a red dog on grass", "a cat on snow")
Asked = Mapping[str, tuple[str, ...]]  # the classes whose first subject each placebo is priced for


def asked_of(words: Sequence[str], scenario: Scenario) -> Asked:
    """Of "PLACEBO" or "PLACEBO:CLASS,CLASS". Raises `ValueError` for one that the scenario has not."""
    found: dict[str, tuple[str, ...]] = {}
    for word in words:
        placebo, _, classes = word.partition(":")
        nouns = tuple(classes.split(",")) if classes else scenario.class_nouns
        if placebo not in scenario.placebos or not {*nouns} <= {*scenario.class_nouns}:
            raise ValueError(f"'{word}' is not among {scenario.placebos} and {scenario.class_nouns}")
        found[placebo] = tuple(dict.fromkeys((*found.get(placebo, ()), *nouns)))  # each class once
    return found


def price(share: Share, placebo: str, class_noun: str) -> None:
    """Measures the placebo's model of the class's first subject; with no names, the unprotected one."""
    torch.set_num_threads(1)
    shop = workshop(share, silent)
    if not placebo:
        shop.cost(lambda: shop.backbone, UNPROTECTED)
        return
    subject, twin = subjects_of(shop, class_noun)[:2]
    name, make = placebos(shop, subject, twin)[placebo]
    shop.cost(make, name)


def names_of(shop: Workshop, asked: Asked) -> dict[str, list[str]]:
    """What each placebo's models are called."""
    firsts = {noun: subjects_of(shop, noun)[0] for noun in shop.scenario.class_nouns}
    return {
        placebo: [placebo_name(shop, placebo, firsts[noun]) for noun in nouns]
        for placebo, nouns in asked.items()
    }


def sheet(shop: Workshop, names: Sequence[str], path: Path) -> None:
    """What the unprotected model, those called `names` and the protections that are there draw of a few
    captions."""
    protections = [protected_name(subjects_of(shop, noun)[0]) for noun in shop.scenario.class_nouns]
    drawn = {UNPROTECTED: shop.backbone} | {
        name: shop.backbone.copy_with(shop.works.read(model_name(name)))
        for name in (*names, *protections)
        if model_name(name) in shop.works
    }
    seeds = range(len(SHOWN))
    strips = [
        Strip(name.replace("-", " "), to_images(model.generate(SHOWN, seeds, shop.sampling)))
        for name, model in drawn.items()
    ]
    write_strips([Shown("the same captions and seeds", strips)], path)


def table(found: Mapping[str, Mapping[str, Figure]], asked: Asked) -> str:
    lines = [row("placebo", "subjects", *HEADS.values()), "|---" * (2 + len(HEADS)) + "|"]
    for placebo, figures in found.items():
        said = (cell(figures[name]) for name in HEADS)
        lines.append(row(placebo, ", ".join(asked[placebo]), *said))
    return "\n".join(lines) + "\n"


def cell(it: Figure) -> str:
    """FID's interval is over models, and of one alone there is none."""
    interval = f" ({it.low:.3f} to {it.high:.3f})" if it.low < it.high else ""
    return f"{it.value:.3f}{interval}"


def row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("placebos", nargs="*", default=ASKED, metavar="PLACEBO[:CLASS,...]")
    parser.add_argument("--scenario", type=Path, default=SCENARIO)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--jobs", type=int, default=1, help="processes of a thread each")
    parser.add_argument("--work_dir", type=Path, default=Path("runs/placebo-costs"))
    args = parser.parse_args()
    scenario = read_scenario(args.scenario)
    try:
        asked = asked_of(args.placebos, scenario)
    except ValueError as error:
        parser.error(str(error))
    share = Share(scenario, args.work_dir, args.device)
    wanted = [("", ""), *((placebo, noun) for placebo, nouns in asked.items() for noun in nouns)]
    with ProcessPoolExecutor(args.jobs, get_context("spawn")) as pool:
        for measured in [pool.submit(price, share, *model) for model in wanted]:
            measured.result()
    shop = workshop(share, silent)
    names = names_of(shop, asked)
    found = {placebo: costs(shop, models) for placebo, models in names.items()}
    record = {placebo: {name: as_json(it) for name, it in of.items()} for placebo, of in found.items()}
    made_by = {"subjects": asked, **asdict(provenance(shop.backbone.device))}
    save_text(json.dumps({**record, **made_by}, indent=2) + "\n", args.work_dir / "placebo-costs.json")
    save_text(table(found, asked), args.work_dir / "placebo-costs.md")
    sheet(shop, [*chain(*names.values())], args.work_dir / "placebo-costs.png")
    print(table(found, asked), end="")


if __name__ == "__main__":
    main()
