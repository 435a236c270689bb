"""Measures the trained pipeline on toys it has never seen and writes the figures for its card.

    python recipes/measure_generator.py --work_dir runs/recipes --photos DIR
    python recipes/measure_generator.py --model toybox --figures pairs copies    # of the shipped weights

- reconstruction: PSNR of the autoencoder on renders of tuning toys, and on photographs if given;
- error: the denoising error on captioned scenes of tuning toys;
- hearing: how much an unheard identifier changes the prediction, relative to a colour word;
- faithfulness: how often pictures show the class, main colour and ground that their caption asks for, as
  `train_reader.py`'s network reads them (its own accuracy on renders stands in reader-figures.json);
- pairs: how often pictures of two toys of different classes show both, as the shipped detector finds them,
  and how often it finds both in renders of the same scenes;
- diversity: how alike the toys of one class prompt are to the identity network;
- copies: the nearest training picture of twenty pictures, as a sheet to be looked at (nearest.png).
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import ViTForImageClassification

from apdm import pixels
from apdm.assets import TOYBOX_DETECTOR
from apdm.backbones.base import Backbone, draw_noise
from apdm.backbones.load import load
from apdm.losses.denoising import denoising_error
from apdm.metrics.judges import TOYBOX, judge
from apdm.metrics.toy_detector import RULES, ToyDetector
from apdm.seeding import derive, generator
from apdm.toybox import captions, world
from apdm.toybox.identity import CLASS_NOUNS, identity, main_colour, stream
from apdm.toybox.presets import SAMPLING
from apdm.toybox.seeds import Purpose
from apdm.types import Pixels
from train_reader import QUESTIONS, by_question
from train_vae import psnr

SCENES = 256
ASKED = 500  # captions that say class, colour and ground
IDENTIFIERS = ("sks", "t@t", "ohwx")
COLOURS = ("gray", "white", "orange")
CLASSES = ("dog", "cat")


def tuning_scenes() -> tuple[np.ndarray, list[str]]:
    described = [captions.scene(stream("measured scene", i), Purpose.TUNING) for i in range(SCENES)]
    return np.stack([world.render(d.scene) for d in described]), [d.caption for d in described]


@torch.no_grad()
def held_out_error(backbone: Backbone, pictures: np.ndarray, said: list[str]) -> float:
    draws = generator(0, "held-out error")
    moments = backbone.encode_images(pixels.from_uint8(pictures))
    clean = moments.sample(torch.arange(len(said)), draws)
    noise, t = draw_noise(clean, draws), backbone.schedule.sample_times(len(said), draws)
    return float(denoising_error(backbone, clean, backbone.encode_prompts(said), noise, t).mean())


@torch.no_grad()
def change(backbone: Backbone, class_noun: str, word: str) -> float:
    """|prediction("a photo of WORD CLASS") - prediction("a photo of CLASS")| / |the latter|, on toys."""
    draws = generator(0, "hearing", class_noun)
    toys = [identity(class_noun, Purpose.TUNING.seed(i)) for i in range(32)]
    views = np.stack([world.render(world.portrait(t, Purpose.TUNING.seed(i), 0)) for i, t in enumerate(toys)])
    clean = backbone.encode_images(pixels.from_uint8(views)).sample(torch.arange(32), draws)
    noise, t = draw_noise(clean, draws), backbone.schedule.sample_times(32, draws)
    noisy = backbone.schedule.add_noise(clean, noise, t)
    plain, spoken = (
        backbone.predict(noisy, t, backbone.encode_prompts([f"a photo of {said}"] * 32))
        for said in (class_noun, f"{word} {class_noun}")
    )
    return float((spoken - plain).norm() / plain.norm())


def hearing(backbone: Backbone) -> dict[str, float]:
    """Mean relative change by identifiers, by colour words, and their ratio."""
    unheard = np.mean([change(backbone, c, word) for c in CLASSES for word in IDENTIFIERS])
    colour = np.mean([change(backbone, c, word) for c in CLASSES for word in COLOURS])
    return {"identifier": float(unheard), "colour": float(colour), "ratio": float(unheard / colour)}


def answers(described: captions.Described) -> list[int]:
    """What the reader should say of a picture of one toy."""
    toy = described.scene.toys[0].toy
    told = {"class": toy.class_noun, "colour": main_colour(toy).word, "ground": described.scene.view.ground}
    return [known.index(told[question]) for question, known in QUESTIONS.items()]


@torch.no_grad()
def faithfulness(backbone: Backbone, work_dir: Path) -> dict[str, float]:
    """Share of pictures that show what was asked, by question."""
    model = ViTForImageClassification.from_pretrained(work_dir / "reader").eval()
    asked = captions.telling_scenes(Purpose.TUNING, ASKED)
    said = [described.caption for described in asked]
    wanted = torch.tensor([answers(described) for described in asked])
    pictures = backbone.generate(said, [derive(0, "asked", i) for i in range(len(said))], SAMPLING)
    read = by_question(torch.cat([model(pixel_values=piece).logits for piece in pictures.split(100)]))
    return {q: float((read[q].argmax(1) == wanted[:, i]).double().mean()) for i, q in enumerate(QUESTIONS)}


def pair_scenes(count: int) -> list[captions.Described]:
    """The first `count` scenes of two tuning toys of different classes."""
    drawn = (captions.scene(stream("pair scene", i), Purpose.TUNING, "pair") for i in itertools.count())
    apart = (described for described in drawn if len(classes(described)) == 2)
    return list(itertools.islice(apart, count))


def classes(described: captions.Described) -> set[str]:
    return {placed.toy.class_noun for placed in described.scene.toys}


def show_both(pictures: Pixels, asked: list[captions.Described]) -> float:
    """The share of pictures in which either class is likelier there than not."""
    found = ToyDetector(TOYBOX_DETECTOR.folder())(pictures)
    seen = [{it.label for it in some if it.confidence > RULES.counting_threshold} for some in found]
    return float(np.mean([classes(one) <= there for one, there in zip(asked, seen, strict=True)]))


def pairs(backbone: Backbone) -> dict[str, float]:
    """Of pictures that `backbone` draws, and of renders of the scenes whose captions it had."""
    asked = pair_scenes(ASKED)
    seeds = [derive(0, "pair", i) for i in range(ASKED)]
    drawn = backbone.generate([described.caption for described in asked], seeds, SAMPLING)
    renders = pixels.from_uint8(np.stack([world.render(described.scene) for described in asked]))
    return {"pictures": show_both(drawn, asked), "renders": show_both(renders, asked), "n": ASKED}


def diversity(backbone: Backbone) -> dict[str, float]:
    """Median cosine between the toys in a hundred pictures of each class's prompt."""
    eye = judge(TOYBOX)
    figures = {}
    for class_noun in CLASS_NOUNS:
        seeds = [derive(0, "diversity", i) for i in range(100)]
        features = eye(backbone.generate([f"a photo of {class_noun}"] * 100, seeds, SAMPLING))
        cosine = features @ features.T
        figures[class_noun] = float(cosine[~torch.eye(100, dtype=torch.bool)].median())
    return figures


def copies(backbone: Backbone, scenes: np.ndarray, said: list[str], sheet: Path) -> float:
    """Writes twenty pictures, each above its nearest training picture (mean squared difference); returns how
    far apart these are, in units of how far a training picture is from the nearest other; medians both."""
    pictures = backbone.generate(said[:20], [derive(0, "asked", i) for i in range(20)], SAMPLING)
    queries = torch.from_numpy(pixels.to_uint8(pictures)).flatten(1).float() / 255
    pool = torch.from_numpy(scenes).flatten(1)

    def nearest(some: Tensor, but: int = 0) -> tuple[Tensor, Tensor]:
        rows = [torch.cdist(some, piece.float() / 255) for piece in pool.split(4000)]
        found = torch.cat(rows, dim=1).topk(1 + but, largest=False)
        return found.values[:, but], found.indices[:, but]

    distance, index = nearest(queries)
    usual, _ = nearest(pool[:20].float() / 255, but=1)
    shown = torch.cat([pictures, pixels.from_uint8(scenes[index.numpy()])])
    pixels.to_images(pixels.grid(shown, 20))[0].save(sheet)
    return float(distance.median() / usual.median())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work_dir", type=Path, default=Path("runs/recipes"))
    parser.add_argument("--model", default=None, help="another pipeline than work_dir/generator")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--photos", type=Path, help="folder of folders of photographs")
    parser.add_argument("--figures", nargs="+", help="some of those above; the others stay as they were")
    args = parser.parse_args()
    work_dir: Path = args.work_dir
    backbone = load(args.model or str(work_dir / "generator"), args.device)
    measures = measurements(backbone, work_dir, args.photos)
    place = work_dir / "generator-figures.json"
    figures: dict[str, object] = json.loads(place.read_text()) if args.figures and place.exists() else {}
    for name in args.figures or measures:
        figures[name] = measures[name]()
        print(name, figures[name], flush=True)
    place.write_text(json.dumps(figures, indent=1))


def measurements(backbone: Backbone, work_dir: Path, photos: Path | None) -> dict[str, Callable[[], object]]:
    """Every figure that there is something to measure with."""
    vae = backbone.pipeline.vae  # pyright: ignore[reportAttributeAccessIssue]
    known: dict[str, Callable[[], object]] = {
        "psnr_toys": lambda: psnr(vae, tuning_scenes()[0]),
        "held_out_error": lambda: held_out_error(backbone, *tuning_scenes()),
        "hearing": lambda: hearing(backbone),
        "pairs": lambda: pairs(backbone),
        "diversity": lambda: diversity(backbone),
    }
    if (work_dir / "reader").exists():
        known["faithfulness"] = lambda: faithfulness(backbone, work_dir)
    if (work_dir / "scenes.npy").exists():
        scenes = np.load(work_dir / "scenes.npy", mmap_mode="r")
        asked = [described.caption for described in captions.telling_scenes(Purpose.TUNING, 20)]
        known["copies"] = lambda: copies(backbone, scenes, asked, work_dir / "nearest.png")
    if photos:
        paths = sorted(photos.rglob("*.jpg"))
        known["psnr_photographs"] = lambda: psnr(vae, pixels.to_uint8(pixels.load(paths, 64)))
        known["photographs"] = lambda: len(paths)
    return known


if __name__ == "__main__":
    main()
