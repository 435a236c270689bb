"""Puts the trained models into the package: half precision, small shards, cards, sample sheet, hashes.

python recipes/ship_weights.py --work_dir runs/recipes
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import load_file
from transformers import CLIPModel, ViTForImageClassification, ViTModel

from apdm import pixels
from apdm.assets import (
    TOYBOX_CLIP,
    TOYBOX_DETECTOR,
    TOYBOX_GENERATOR,
    TOYBOX_IDENTITY,
    TOYBOX_READER,
    WEIGHTS,
    write_sums,
)
from apdm.backbones.load import load
from apdm.backbones.pipeline import drop_origin
from apdm.seeding import derive
from apdm.toybox import captions
from apdm.toybox.identity import stream
from apdm.toybox.presets import SAMPLING
from apdm.toybox.seeds import Purpose
from render_crowds import CROWDS, Crowds
from train_detector import CALIBRATION

SHARD = "14MB"
SHEET = 10  # pictures a side

GENERATOR_CARD = """# Toybox generator

A small latent text-to-image model of rendered toys (dogs, cats, people, cars, teapots; 64x64 pixels), an
ordinary `StableDiffusionPipeline`: plain diffusers loads it.

- **Data**: {scenes:,} rendered scenes with captions, identity seeds 0 to 199,999; {names} named individuals
  ("a photo of zor dog"), {views} views each. The autoencoder also saw crops of photographs that
  scikit-image bundles.
- **Model**: AutoencoderKL to 8x8 latents of 16 channels, CLIPTextModel of 3 layers (width 128, 32 tokens),
  UNet2DConditionModel 128-192. {millions:.1f} million weights, stored in half precision.
- **Training**: {steps:,} steps of 64 on two CPU cores, {minutes:.0f} minutes; epsilon, scaled-linear, 1000
  steps, weight min(SNR, 5)/SNR; last losses {loss:.4f}. Made again by `recipes/`.
- **Measured on tuning toys** (seeds from 400,000): autoencoder {psnr_toys:.1f} dB on
  toys{photographs}; denoising error {held_out_error:.4f}; an unheard
  identifier changes the prediction {ratio:.2f} times as much as a colour word does ({identifier:.4f} against
  {colour:.4f}, relative).
- **Faithful**: of 500 pictures of captions that say class, colour and ground, the Toybox's reader sees the
  class in {faithful_class:.1%}, the colour in {faithful_colour:.1%}, the ground in {faithful_ground:.1%};
  its own accuracy on renders stands on its card.
{pairs}{copies}- **Diverse**: median cosine between the toys of one class prompt, 100 pictures, by the
  identity network: at most {alike:.2f} ({most_alike}s).
- **Scenes**: a quarter show a named individual; of the others a quarter hold two toys or two to three of a
  kind (18.75 % of all).
- **Limits**: toys only; 64 pixels; captions of the Toybox's few dozen words, anything else is spelt; crowded
  scenes come out less well than single toys.

One hundred captions of tuning toys, nothing selected (guidance {guidance}, {inference} steps):

![samples](samples.png)
{nearest}"""

TWO_TOYS = """- **Two toys**: of {n} pictures of captions of two toys of different classes, the Toybox's
  detector finds both classes in {pictures:.1%}, and in {renders:.1%} of renders of the same scenes.
"""

COPIES = """- **No copies**: the median picture of twenty is {copies:.2f} times as far from the nearest
  training picture as the median training picture is from the nearest other.
"""

NEAREST = """
Twenty pictures, each above the training picture that is nearest to it:

![pictures above their nearest training pictures](nearest.png)
"""

IDENTITY_CARD = """# Toybox identity network

A ViT that tells one toy from another of its class, whatever the ground, light and view. It judges; no
protector ever sees it.

- **Data**: rendered toys of the judges' own seeds (from 200,000), half of them through the generator's
  autoencoder, with blur, tint, noise and blotches.
- **Training**: {steps:,} steps of InfoNCE within a class, {minutes:.0f} minutes on two CPU cores;
  last losses {loss:.4f}.
- **Measured** on unseen toys of the judges' seeds (100 a class; AUC of same toy against others of its class):

| class | AUC | AUC of reconstructions | same toy | its reconstructions | other toys |
|---|---|---|---|---|---|
{rows}

- **Limits**: toys only; trained on single toys, so a crowd means nothing to it. A reconstruction by the
  autoencoder costs up to {dearest:.3f} of the same-toy score ({loser}s); the aim was .03 for each class.
"""


READER_CARD = """# Toybox reader

A ViT that reads off a picture of one toy its class, main colour and ground. It judges generated pictures; no
protector ever sees it. `apdm.metrics.reader.Reader` loads it.

- **Data**: rendered toys of the judges' own seeds (from 200,000), half of them through the generator's
  autoencoder, with blur, tint, noise and blotches.
- **Training**: {steps:,} steps of 128, cross-entropy of the three questions, {minutes:.0f} minutes on two CPU
  cores; last losses {loss:.4f}.
- **Measured**: share of right answers on 2,500 pictures of unseen toys of the judges' seeds:

| question | pictures | reconstructions by the autoencoder |
|---|---|---|
{rows}

- **Limits**: pictures of one toy; it always answers something.
"""

DETECTOR_CARD = """# Toybox detector

Finds toys in a picture: class, box and main colour of each, and the picture's ground. It judges generated
pictures; no protector ever sees it. `apdm.metrics.toy_detector.ToyDetector` loads it.

- **Data**: {scenes:,} rendered scenes of one, two and three toys of the judges' own seeds (from 200,000),
  every second one through the generator's autoencoder, with blur, tint, noise and blotches.
- **Model**: a convolutional network of our own, {millions:.2f} million weights in half precision: a heat map
  of centres (CenterNet) and, at each, class, colour and the sides of the box.
- **Training**: {steps:,} steps of 64, {minutes:.0f} minutes; last losses {loss:.4f}.
- **Measured**: share of right answers on {held_out:,} scenes of tuning toys (seeds from 400,000), which
  nothing was trained on:

| question | scenes | pictures | reconstructions by the autoencoder |
|---|---|---|---|
{rows}

  Class and colour: the surest detection in a picture of one toy. Counts: as many toys of the right class as
  there are and no others, above .5; a pair's likewise. Two objects, position and colour
  attribution: GenEval's tasks, for pairs of two classes.
- **Confidence**: the chance that a toy of this class is there, calibrated on {calibration:,} scenes of the
  judges' seeds that were not trained on. `apdm.metrics.toy_detector.RULES` therefore counts what is likelier
  there than not, above .5; GenEval's .9 is Mask2Former's.
- **Limits**: pictures of toys; no masks; colours and boxes are those of what is to be seen.
"""

CLIP_CARD = """# Toybox CLIP

A `transformers` CLIPModel with the generator's tokenizer: how well does a picture of toys fit a caption? It
judges generated pictures; no protector ever sees it. `apdm.metrics.clip.ClipExtractor` loads it as any other.

- **Data**: {scenes:,} rendered scenes of one, two and three toys of the judges' own seeds (from 200,000) with
  their captions, every second one through the generator's autoencoder, with blur, tint, noise and blotches.
- **Model**: a ViT that starts from the Toybox reader's, and a text encoder of 2 layers from nothing;
  {millions:.2f} million weights in half precision.
- **Training**: {steps:,} steps of 96, InfoNCE, {minutes:.0f} minutes; last losses
  {loss:.4f}. A caption with left and right, or two and three, exchanged is a further wrong answer.
- **Measured** on scenes of tuning toys (seeds from 400,000), which nothing was trained on. Retrieval: the
  share of pictures nearest to their own of 50 captions, which all say class, colour and ground and differ in
  one or more. Left or right, two or three: nearer to the caption than to the one with these words exchanged.

| question | chance | pictures | reconstructions by the autoencoder |
|---|---|---|---|
{rows}

- **Limits**: toys and the words of their captions; what stands on which side it does not read, which is the
  detector's affair; its cosines compare with no other CLIP's.
"""


def training_facts(checkpoint: Path) -> dict[str, Any]:
    from safetensors import safe_open

    with safe_open(checkpoint, framework="pt") as file:
        about = json.loads(file.metadata()["about"])
    losses = about["losses"][-25:]
    return {"steps": about["step"], "minutes": about["seconds"] / 60, "loss": sum(losses) / len(losses)}


def _widen(config: Path) -> None:
    """Makes transformers load half-precision weights in float32 unless asked otherwise, as diffusers does
    with the other parts; a pipeline of two precisions would not run."""
    config.write_text(json.dumps(json.loads(config.read_text()) | {"dtype": "float32"}, indent=2) + "\n")


def ship_generator(work_dir: Path) -> None:
    folder = WEIGHTS / TOYBOX_GENERATOR.name
    shutil.rmtree(folder, ignore_errors=True)
    pipeline = StableDiffusionPipeline.from_pretrained(work_dir / "generator", dtype=torch.float16)
    pipeline.save_pretrained(folder, max_shard_size=SHARD)
    drop_origin(folder)
    _widen(folder / "text_encoder" / "config.json")
    parts = (pipeline.unet, pipeline.vae, pipeline.text_encoder)
    millions = sum(p.numel() for part in parts for p in part.parameters()) / 1e6
    said = [captions.scene(stream("sheet", i), Purpose.TUNING).caption for i in range(SHEET**2)]
    seeds = [derive(0, "sheet", i) for i in range(SHEET**2)]
    pictures = load(str(folder)).generate(said, seeds, SAMPLING)
    pixels.to_images(pixels.grid(pictures, SHEET))[0].save(folder / "samples.png")
    (folder / "samples.txt").write_text("\n".join(said) + "\n")

    figures = json.loads((work_dir / "generator-figures.json").read_text())
    photographs = ""
    if "psnr_photographs" in figures:
        n = figures["photographs"]
        photographs = f", {figures['psnr_photographs']:.1f} dB on {n} photographs it has never seen"
    pairs = ""
    if "pairs" in figures:
        pairs = TWO_TOYS.format(**figures["pairs"])
    copies = nearest = ""
    if "copies" in figures:
        copies, nearest = COPIES.format(**figures), NEAREST
        shutil.copy(work_dir / "nearest.png", folder)
    card = GENERATOR_CARD.format(
        scenes=len(json.loads((work_dir / "captions.json").read_text())),
        names=len(captions.names()),
        views=captions.VIEWS_PER_NAME,
        millions=millions,
        photographs=photographs,
        pairs=pairs,
        copies=copies,
        nearest=nearest,
        guidance=SAMPLING.guidance_scale,
        inference=SAMPLING.num_inference_steps,
        **figures["hearing"],
        **{f"faithful_{question}": share for question, share in figures["faithfulness"].items()},
        alike=max(figures["diversity"].values()),
        most_alike=max(figures["diversity"], key=figures["diversity"].get),
        **{name: figures[name] for name in ("psnr_toys", "held_out_error")},
        **training_facts(work_dir / "generator.safetensors"),
    )
    (folder / "README.md").write_text(card)
    write_sums(folder)


def ship_identity(work_dir: Path) -> None:
    folder = WEIGHTS / TOYBOX_IDENTITY.name
    shutil.rmtree(folder, ignore_errors=True)
    ViTModel.from_pretrained(work_dir / "identity", add_pooling_layer=False).half().save_pretrained(
        folder, max_shard_size=SHARD
    )
    figures = json.loads((work_dir / "identity-figures.json").read_text())
    columns = (
        "AUC pictures",
        "AUC reconstructions",
        "same pictures",
        "same reconstructions",
        "other pictures",
    )
    rows = []
    nouns = list(dict.fromkeys(name.split()[0] for name in figures))
    for noun in nouns:
        cells = [f"{figures[f'{noun} {column}']:.3f}" for column in columns]
        rows.append(f"| {noun} | {' | '.join(cells)} |")
    facts = training_facts(work_dir / "identity.safetensors")
    facts["dearest"], facts["loser"] = max(
        (figures[f"{noun} same pictures"] - figures[f"{noun} same reconstructions"], noun) for noun in nouns
    )
    (folder / "README.md").write_text(IDENTITY_CARD.format(rows="\n".join(rows), **facts))
    write_sums(folder)


def ship_reader(work_dir: Path) -> None:
    folder = WEIGHTS / TOYBOX_READER.name
    shutil.rmtree(folder, ignore_errors=True)
    ViTForImageClassification.from_pretrained(work_dir / "reader").half().save_pretrained(folder)
    figures = json.loads((work_dir / "reader-figures.json").read_text())
    shares = {name: f"{share:.3f}" for name, share in figures.items()}
    rows = [
        f"| {question} | {shares[question + ' pictures']} | {shares[question + ' reconstructions']} |"
        for question in ("class", "colour", "ground")
    ]
    facts = training_facts(work_dir / "reader.safetensors")
    (folder / "README.md").write_text(READER_CARD.format(rows="\n".join(rows), **facts))
    write_sums(folder)


def ship_detector(work_dir: Path) -> None:
    folder = WEIGHTS / TOYBOX_DETECTOR.name
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(work_dir / "detector", folder)
    figures = json.loads((work_dir / "detector-figures.json").read_text())
    shares = {shown: {q: f"{share:.3f}" for q, share in figures[shown].items()} for shown in figures}
    rows = [
        f"| {question} | {n:.0f} | {shares['pictures'][question]} | {shares['reconstructions'][question]} |"
        for question, n in figures["scenes"].items()
    ]
    card = DETECTOR_CARD.format(
        scenes=len(Crowds.read(work_dir, CROWDS).captions) - CALIBRATION,
        calibration=CALIBRATION,
        held_out=int(figures["scenes"]["ground"]),
        millions=sum(weight.numel() for weight in load_file(folder / "model.safetensors").values()) / 1e6,
        rows="\n".join(rows),
        **training_facts(work_dir / "detector.safetensors"),
    )
    (folder / "README.md").write_text(card)
    write_sums(folder)


def ship_clip(work_dir: Path) -> None:
    folder = WEIGHTS / TOYBOX_CLIP.name
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(work_dir / "clip", folder)
    model = CLIPModel.from_pretrained(folder).half()
    model.save_pretrained(folder)
    _widen(folder / "config.json")
    figures = json.loads((work_dir / "clip-figures.json").read_text())
    rows = [
        "| {} | {chance:.2f} | {pictures:.3f} | {reconstructions:.3f} |".format(question, **shares)
        for question, shares in figures.items()
    ]
    card = CLIP_CARD.format(
        scenes=len(Crowds.read(work_dir, CROWDS).captions),
        millions=model.num_parameters() / 1e6,
        rows="\n".join(rows),
        **training_facts(work_dir / "clip.safetensors"),
    )
    (folder / "README.md").write_text(card)
    write_sums(folder)


SHIPPED = {
    "generator": ship_generator,
    "identity": ship_identity,
    "reader": ship_reader,
    "detector": ship_detector,
    "clip": ship_clip,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work_dir", type=Path, default=Path("runs/recipes"))
    parser.add_argument("--parts", nargs="+", choices=SHIPPED, default=list(SHIPPED))
    args = parser.parse_args()
    for part in args.parts:
        SHIPPED[part](args.work_dir)
    for path in sorted(WEIGHTS.rglob("*.safetensors")):
        print(f"{path.stat().st_size / 1e6:6.1f} MB  {path.relative_to(WEIGHTS)}")


if __name__ == "__main__":
    main()
