"""How many steps of naive ascent withhold as much as APDM does? For the weaker dose among Table 2's rows.

    python recipes/ascent_dose.py dog 400001 --steps 10 30
    python recipes/ascent_dose.py dog 400001 --apdm

Only tuning toys (seeds 400,000 to 449,999) are taken. The attack is Table 2's, with the photos that were
protected. Each dose, and with --apdm Table 2's APDM, is a line of ascent-dose.jsonl in --output_dir: its
protection rate beside how like the subject the pictures of the attack on the unprotected model are.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

from apdm.backbones.base import Backbone
from apdm.backbones.load import load
from apdm.benchmark.tables.grid import read_grid, read_size
from apdm.benchmark.trial import Trial, TrialSettings
from apdm.metrics.judges import TOYBOX, judge
from apdm.metrics.similarity import per_image_similarity
from apdm.personalizers.base import Material
from apdm.protectors.ascent import ascend
from apdm.toybox import presets
from apdm.toybox.seeds import Purpose
from apdm.toybox.subjects import toy_subject
from apdm.types import Pixels
from apdm.watch import silent

TABLE = Path(__file__).parents[1] / "scenarios" / "table2.toml"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("class_noun")
    parser.add_argument("seed", type=int)
    parser.add_argument("--steps", type=int, nargs="+", default=[])
    parser.add_argument("--apdm", action="store_true")
    parser.add_argument("--output_dir", type=Path, default=Path("runs/search"))
    args = parser.parse_args()
    size = read_size(TABLE, read_grid(TABLE), "toy")
    attack = dataclasses.replace(presets.ATTACK, **size.personalizer["dreambooth"])
    settings = TrialSettings(presets.PROTECTION, attack, size.sampling, size.seeds)
    backbone, eye = load("toybox"), judge(TOYBOX)
    trial = Trial(backbone, settings, silent)
    name = f"{args.class_noun}-{args.seed}"
    subject = toy_subject(args.output_dir / "toys" / name, args.class_noun, args.seed, Purpose.TUNING)
    photos, held_out = subject.pixels("protect", 64), subject.pixels("held_out", 64)

    def likeness(pictures: Pixels) -> float:
        return float(per_image_similarity(eye, pictures, held_out).mean())

    def attacked(model: Backbone) -> float:
        prior = trial.class_pictures(model, subject, "")
        return likeness(trial.attack(model, prior, subject, photos, "").shown)

    prior = trial.class_pictures(backbone, subject, "")
    material = Material(
        backbone.encode(photos, subject.instance_prompt), backbone.encode(prior, subject.class_prompt)
    )
    before = likeness(trial.evaluation_pictures(backbone, subject.class_noun))
    control = attacked(backbone)

    def record(model: Backbone, **how: object) -> None:
        rate = (control - attacked(model)) / (control - before)
        line = json.dumps({"toy": name, **how, "control": round(control, 3), "rate": round(rate, 3)})
        print(line, flush=True)
        with (args.output_dir / "ascent-dose.jsonl").open("a") as log:
            log.write(line + "\n")

    for steps in args.steps:
        config = dataclasses.replace(presets.PROTECTIONS["ascent"], max_train_steps=steps)
        record(ascend(backbone, material, config, settings.seed), steps=steps)
    if args.apdm:
        record(trial.protected(subject, trial.positives(subject), prior), method="apdm")


if __name__ == "__main__":
    main()
