"""The attack alone, on the unprotected model: which rate and how many steps teach it a tuning toy best?

    python recipes/try_attack.py dog 400000 --learning_rates 1e-4 2e-4 5e-4 1e-3
    python recipes/try_attack.py dog 400000 --method lora --learning_rates 2e-3 5e-3

One run a rate, looked at on its way. Each is a line of attack.jsonl in --output_dir with the attack's
strength after each number of steps. The strongest on average over the tuning toys becomes the frozen attack.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

from apdm.backbones.load import load
from apdm.benchmark.trial import Trial, TrialSettings
from apdm.metrics.judges import TOYBOX, judge
from apdm.metrics.similarity import per_image_similarity
from apdm.personalizers.base import Material, course
from apdm.toybox import presets
from apdm.toybox.seeds import Purpose
from apdm.toybox.subjects import toy_subject
from apdm.types import Pixels
from apdm.watch import silent

STOPS = (100, 150, 200, 300, 400, 600, 800)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("class_noun")
    parser.add_argument("seed", type=int)
    parser.add_argument("--method", choices=presets.ATTACKS, default="dreambooth")
    parser.add_argument("--learning_rates", type=float, nargs="+", default=[1e-4, 2e-4, 5e-4, 1e-3])
    parser.add_argument("--model", default="toybox")
    parser.add_argument("--output_dir", type=Path, default=Path("runs/search"))
    args = parser.parse_args()
    backbone, eye = load(args.model), judge(TOYBOX)
    name = f"{args.class_noun}-{args.seed}"
    method = presets.ATTACKS[args.method]
    toy = toy_subject(args.output_dir / "toys" / name, args.class_noun, args.seed, Purpose.TUNING)
    subject = dataclasses.replace(toy, identifier=method.placeholder_token or toy.identifier)
    settings = TrialSettings(presets.PROTECTION, presets.ATTACK, presets.SAMPLING)
    trial = Trial(backbone, settings, silent)
    held_out = subject.pixels("held_out", 64)

    def likeness(pictures: Pixels) -> float:
        return float(per_image_similarity(eye, pictures, held_out).mean())

    prior = trial.class_pictures(backbone, subject, "")
    material = Material(
        backbone.encode(subject.pixels("attack", 64), subject.instance_prompt),
        backbone.encode(prior, subject.class_prompt),
    )
    s_class = likeness(trial.evaluation_pictures(backbone, subject.class_noun))
    s_real = likeness(subject.pixels("attack", 64))
    for rate in args.learning_rates:
        attack = dataclasses.replace(method, learning_rate=rate)  # pyright: ignore[reportArgumentType]
        strengths = {}
        for stop, attacked in zip(STOPS, course(backbone, attack, material, 0, STOPS), strict=True):
            s_attacked = likeness(trial.evaluation_pictures(attacked, subject.phrase))
            strengths[stop] = round((s_attacked - s_class) / (s_real - s_class), 3)
        line = json.dumps({"toy": name, "method": args.method, "learning_rate": rate, "strength": strengths})
        print(line, flush=True)
        with (args.output_dir / "attack.jsonl").open("a") as log:
            log.write(line + "\n")


if __name__ == "__main__":
    main()
