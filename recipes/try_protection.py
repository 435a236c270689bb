"""One trial of the search for settings: protect a tuning toy, attack it, say what held and what it cost.

    python recipes/try_protection.py dog 400001 --set outer_steps=600 beta=0.2 --note "more steps"

Only tuning toys (seeds 400,000 to 449,999) are taken. The attack is that of the frozen evaluation, looked at
after 1, 2 and 4 times its steps, with other photos than those that were protected with (`attack`), and
once with the same (`protect`). Each trial is a line of results.jsonl and a sheet in --output_dir; attacks on
the unprotected model are kept there and shared.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from apdm.assets import TOYBOX_GENERATOR, TOYBOX_IDENTITY, sha256
from apdm.backbones.base import Backbone
from apdm.backbones.load import load
from apdm.benchmark.frozen.scenario import read_scenario
from apdm.benchmark.store import plain
from apdm.benchmark.trial import Trial, TrialSettings
from apdm.losses.dpo import Reduction
from apdm.metrics.judges import EFFICIENTNET, TOYBOX, judge
from apdm.metrics.kid import kid
from apdm.metrics.similarity import per_image_similarity
from apdm.personalizers.base import Material, class_images, course
from apdm.pixels import from_uint8, grid, to_images
from apdm.protectors.apdm import APDM
from apdm.subject import SetName, Subject
from apdm.toybox import presets
from apdm.toybox.seeds import Purpose
from apdm.toybox.subjects import class_renders, toy_subject
from apdm.types import Pixels
from apdm.watch import silent

SCENARIO = read_scenario(Path(__file__).parents[1] / "scenarios" / "protection.toml")
TIMES = {"attack": (1, 2, 4), "protect": (1,)}  # of the attack's steps, by the photos that it has
OTHER = 20_000  # from a toy to the other subject of its class
IMAGES_PER_PROMPT = 16


class Attempt:
    """Attacks on one model, with what they share: settings, judge, the folder that keeps results."""

    def __init__(self, args: argparse.Namespace, protection: APDM) -> None:
        self.settings = TrialSettings(
            protection, SCENARIO.attack, presets.SAMPLING, images_per_prompt=IMAGES_PER_PROMPT
        )
        self.backbone = load("toybox")
        self.trial = Trial(self.backbone, self.settings, silent)
        self.eye = judge(TOYBOX)
        self.folder: Path = args.output_dir
        self.seeds: list[int] = args.attack_seeds

    def subject(self, class_noun: str, seed: int) -> Subject:
        return toy_subject(self.folder / "toys" / f"{class_noun}-{seed}", class_noun, seed, Purpose.TUNING)

    def class_pictures(self, model: Backbone, subject: Subject) -> Pixels:
        """What the attacker draws of the class, however many the protection had."""
        count, seed = SCENARIO.class_images, SCENARIO.seed
        return class_images(model, subject.class_prompt, count, seed, self.settings.sampling)

    def likeness(self, pictures: Pixels, subject: Subject) -> np.ndarray:
        return per_image_similarity(self.eye, pictures, subject.pixels("held_out", 64)).numpy()

    def attacked(
        self, model: Backbone, prior: Pixels, who: Subject, photos: SetName, times: tuple[int, ...]
    ) -> tuple[dict[int, float], Pixels]:
        """Mean likeness after each multiple of the attack's steps, and the first run's pictures at 1x."""
        attack = self.settings.attack
        material = Material(
            model.encode(who.pixels(photos, 64), who.instance_prompt), model.encode(prior, who.class_prompt)
        )
        found: dict[int, list[float]] = {multiple: [] for multiple in times}
        shown: list[Pixels] = []
        for seed in self.seeds:
            stops = [multiple * attack.max_train_steps for multiple in times]
            for multiple, at in zip(times, course(model, attack, material, seed, stops), strict=True):
                shown.append(self.trial.evaluation_pictures(at, who.phrase))
                found[multiple].append(float(self.likeness(shown[-1], who).mean()))
        return {multiple: float(np.mean(values)) for multiple, values in found.items()}, shown[0]

    def control(self, prior: Pixels, who: Subject, photos: SetName, times: tuple[int, ...]):
        """`attacked` of the unprotected model, from an earlier trial if there was one."""
        same = (self.settings.attack, self.settings.sampling, SCENARIO.class_images, IMAGES_PER_PROMPT)
        weights = [sha256(it.folder() / "SHA256SUMS.json") for it in (TOYBOX_GENERATOR, TOYBOX_IDENTITY)]
        about = json.dumps([who.name, photos, times, self.seeds, plain(same), weights])
        kept = self.folder / "controls" / f"{hashlib.sha256(about.encode()).hexdigest()[:16]}.npz"
        if not kept.exists():
            values, shown = self.attacked(self.backbone, prior, who, photos, times)
            kept.parent.mkdir(parents=True, exist_ok=True)
            np.savez(kept.with_suffix(".part.npz"), values=list(values.values()), shown=shown.numpy())
            kept.with_suffix(".part.npz").replace(kept)
        stored = np.load(kept)
        return dict(zip(times, stored["values"].tolist(), strict=True)), torch.from_numpy(stored["shown"])


def settings(changes: list[str]) -> APDM:
    """The Toybox's protection with `changes`, each NAME=JSON."""
    values: dict[str, Any] = {}
    for change in changes:
        name, _, value = change.partition("=")
        values[name] = Reduction(value) if name == "reduction" else json.loads(value)
    simulated = dataclasses.replace(
        SCENARIO.attack,
        **{k.removeprefix("simulated."): values.pop(k) for k in list(values) if k.startswith("simulated.")},
    )
    return dataclasses.replace(presets.PROTECTION, **{"simulated": simulated} | values)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("class_noun")
    parser.add_argument("seed", type=int)
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE")
    parser.add_argument("--note", default="")
    parser.add_argument("--attack_seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--output_dir", type=Path, default=Path("runs/search"))
    args = parser.parse_args()
    attempt = Attempt(args, settings(args.set))
    subject = attempt.subject(args.class_noun, args.seed)
    other = attempt.subject(args.class_noun, args.seed + OTHER)
    before = attempt.class_pictures(attempt.backbone, subject)
    prior = attempt.trial.class_pictures(attempt.backbone, subject, "")
    started = time.monotonic()
    protected = attempt.trial.protected(subject, attempt.trial.positives(subject), prior)
    seconds = time.monotonic() - started
    after = attempt.class_pictures(protected, subject)

    plain_class = attempt.trial.evaluation_pictures(attempt.backbone, subject.class_noun)
    line: dict[str, Any] = {
        "toy": subject.name,
        "note": args.note,
        "set": args.set,
        "seconds": round(seconds),
    }
    line["seconds"] = round(seconds)
    s_class = float(attempt.likeness(plain_class, subject).mean())
    s_real = float(attempt.likeness(subject.pixels("attack", 64), subject).mean())
    sheet = [subject.pixels("attack", 64)]
    for photos, times in TIMES.items():
        control, control_shown = attempt.control(before, subject, photos, times)
        attacked, shown = attempt.attacked(protected, after, subject, photos, times)
        line[f"strength {photos}"] = {m: round((control[m] - s_class) / (s_real - s_class), 2) for m in times}
        line[f"rate {photos}"] = {
            m: round((control[m] - attacked[m]) / (control[m] - s_class), 2) for m in times
        }
        sheet += [control_shown, shown]
    other_class = float(attempt.likeness(plain_class, other).mean())
    control, _ = attempt.control(before, other, "attack", (1,))
    attacked, other_shown = attempt.attacked(protected, after, other, "attack", (1,))
    line["other"] = round((attacked[1] - other_class) / (control[1] - other_class), 2)
    distance = judge(EFFICIENTNET)
    references = distance(from_uint8(class_renders(subject.class_noun, Purpose.TUNING, 128)))
    line["kid"] = [round(kid(distance(p), references, seed=0).value, 3) for p in (before, after)]
    print(json.dumps(line), flush=True)
    with (args.output_dir / "results.jsonl").open("a") as log:
        log.write(json.dumps(line) + "\n")
    class_after = attempt.trial.evaluation_pictures(protected, subject.class_noun)
    rows = [*sheet, plain_class, class_after, other_shown]
    width = 2 * IMAGES_PER_PROMPT
    padded = [torch.cat([r, torch.ones(width - len(r), *r.shape[1:])]) for r in rows]
    name = "-".join([subject.name, *(c.replace("=", "") for c in args.set)])
    to_images(grid(torch.cat(padded), width))[0].save(args.output_dir / f"{name}.png")


if __name__ == "__main__":
    main()
