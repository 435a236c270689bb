"""Trains the Toybox's CLIP: does a picture show what a caption says?

    python recipes/train_clip.py --work_dir runs/recipes

A `transformers` CLIPModel (Radford et al. 2021) on the captioned scenes of `render_crowds.py`, all of them
disturbed. Its eye starts from the reader's, for speed. Captions in which the words left and right, or two and
three, are exchanged are further wrong answers (Yuksekgonul et al. 2023): CLIP's own loss hardly needs them.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor
from torch.nn import functional as F
from transformers import (
    AutoTokenizer,
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    CLIPVisionModel,
    PreTrainedTokenizerBase,
    ViTConfig,
    ViTForImageClassification,
    ViTModel,
)

from apdm.metrics.clip import ClipExtractor
from apdm.seeding import generator
from apdm.toybox import captions
from apdm.toybox.identity import main_colour, stream
from apdm.toybox.seeds import Purpose
from apdm.toybox.world import render
from apdm.types import Pixels
from render_crowds import CROWDS, HELD_OUT, Crowds
from train_detector import reconstruction
from train_identity import spoil
from train_vae import pixels
from training import Training

SIDES, NUMBERS = ("left", "right"), ("two", "three")
EXCHANGED = {"left": "right", "right": "left", "two": "three", "three": "two"}
WIDTH = 96  # of the text encoder and of the common space
CHOICES = 50  # captions, of which one is right
ROUNDS = 10


# What CLIP calls the parts of the reader's ViT.
RENAMED = {
    "layers.": "encoder.layers.",
    "attention.o_proj": "self_attn.out_proj",
    "attention.": "self_attn.",
    "layernorm_before": "layer_norm1",
    "layernorm_after": "layer_norm2",
    "embeddings.cls_token": "embeddings.class_embedding",
    "embeddings.position_embeddings": "embeddings.position_embedding.weight",
    "embeddings.patch_embeddings.projection": "embeddings.patch_embedding",
    "layernorm.": "post_layernorm.",
}


def clip(words: PreTrainedTokenizerBase, vit: ViTConfig) -> CLIPModel:
    return CLIPModel(
        CLIPConfig(
            text_config={
                "vocab_size": len(words),
                "hidden_size": WIDTH,
                "intermediate_size": 4 * WIDTH,
                "num_hidden_layers": 2,
                "num_attention_heads": 4,
                "max_position_embeddings": words.model_max_length,
                "bos_token_id": words.bos_token_id,
                "eos_token_id": words.eos_token_id,
                "pad_token_id": words.pad_token_id,
            },
            vision_config={
                "image_size": vit.image_size,
                "patch_size": vit.patch_size,
                "hidden_size": vit.hidden_size,
                "intermediate_size": vit.intermediate_size,
                "num_hidden_layers": vit.num_hidden_layers,
                "num_attention_heads": vit.num_attention_heads,
                "hidden_act": vit.hidden_act,
            },
            projection_dim=WIDTH,
        )
    )


@torch.no_grad()
def start_from(vision: CLIPVisionModel, vit: ViTModel, pictures: Pixels) -> None:
    """Gives CLIP's vision tower the weights of a ViT.

    A ViT has a bias for its patches, which the positions take over, and no norm before the first layer:
    CLIP's gets the deviation that the embeddings of `pictures` have, so that it changes little at first.
    """
    weights = {_renamed(name): weight.clone() for name, weight in vit.state_dict().items()}
    bias = weights.pop("embeddings.patch_embedding.bias")
    class_embedding, position = "embeddings.class_embedding", "embeddings.position_embedding.weight"
    weights[class_embedding], weights[position] = weights[class_embedding][0, 0], weights[position][0]
    weights[position][1:] += bias
    embedded = vit.embeddings(pictures)
    weights["pre_layrnorm.weight"] = embedded.std(-1).mean().expand(len(bias))
    weights["pre_layrnorm.bias"] = torch.zeros(len(bias))
    vision.load_state_dict(weights)


def _renamed(name: str) -> str:
    for old, new in RENAMED.items():
        name = name.replace(old, new)
    return name


def exchanged(caption: str, words: Sequence[str]) -> str:
    """The caption with each of `words` in the other's place."""
    return re.sub(rf"\b({'|'.join(words)})\b", lambda word: EXCHANGED[word[0]], caption)


def untrue(crowds: Crowds) -> list[str]:
    """Each caption with left and right, or two and three, exchanged; the caption itself where that would be
    as true, as with two toys of one class."""
    alike = (crowds.kinds == "pair") & (crowds.classes[:, 0] == crowds.classes[:, 1])
    said = zip(crowds.captions, alike, strict=True)
    return [caption if same else exchanged(caption, SIDES + NUMBERS) for caption, same in said]


def contrastive_loss(images: Tensor, texts: Tensor, scale: Tensor, tokens: Tensor) -> Tensor:
    """InfoNCE both ways between images [b d] and the first b of the texts [2b d]; the others are further
    wrong answers. A text of the same `tokens` [2b length] as an image's own is no wrong answer to it."""
    images, texts = (F.normalize(vectors.float(), dim=1) for vectors in (images, texts))
    same = (tokens[: len(images), None] == tokens).all(2).fill_diagonal_(False)
    logits = (scale * images @ texts.T).masked_fill(same, -torch.inf)
    right = torch.arange(len(images))
    return (F.cross_entropy(logits, right) + F.cross_entropy(logits[:, : len(images)].T, right)) / 2


def retrieval(judge: ClipExtractor, vae: AutoencoderKL) -> dict[str, float]:
    """Share of pictures whose own caption is the nearest of 50, all of which say class, main colour and
    ground and differ in at least one of these: no other one is true."""
    told = captions.telling_scenes(Purpose.TUNING, 2 * CHOICES * ROUNDS)
    rounds: list[dict[tuple[str, ...], captions.Described]] = [{}]
    for one in told:
        toy = one.scene.toys[0].toy
        rounds[-1].setdefault((toy.class_noun, main_colour(toy).word, one.scene.view.ground), one)
        if len(rounds[-1]) == CHOICES:
            rounds.append({})
    right: dict[str, list[bool]] = {"pictures": [], "reconstructions": []}
    for scenes in rounds[:-1][:ROUNDS]:
        shown = pixels(np.stack([render(one.scene) for one in scenes.values()]))
        said = judge.text([one.caption for one in scenes.values()])
        for name, pictures in (("pictures", shown), ("reconstructions", reconstruction(vae, shown))):
            nearest = (judge(pictures) @ said.T).argmax(1)
            right[name] += (nearest == torch.arange(CHOICES)).tolist()
    return {name: float(np.mean(hits)) for name, hits in right.items()}


def prefers_truth(judge: ClipExtractor, shown: Pixels, crowds: Crowds, words: Sequence[str]) -> float:
    """Share of pictures nearer to their caption than to the one with `words` exchanged."""
    said = list(zip(crowds.captions, untrue(crowds), strict=True))
    asked = [n for n, (true, false) in enumerate(said) if true != false and re.search("|".join(words), true)]
    vectors = judge(shown[asked])
    true, false = (judge.text([said[n][which] for n in asked]) for which in (0, 1))
    return float(((vectors * true).sum(1) > (vectors * false).sum(1)).double().mean())


def measure(judge: ClipExtractor, crowds: Crowds, vae: AutoencoderKL) -> dict[str, dict[str, float]]:
    figures = {"retrieval": {"chance": 1 / CHOICES, **retrieval(judge, vae)}}
    shown = pixels(crowds.pictures)
    again = torch.cat([reconstruction(vae, piece) for piece in shown.split(100)])
    for words in (SIDES, NUMBERS):
        figures[" or ".join(words)] = {
            "chance": 0.5,
            "pictures": prefers_truth(judge, shown, crowds, words),
            "reconstructions": prefers_truth(judge, again, crowds, words),
        }
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work_dir", type=Path, default=Path("runs/recipes"))
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--train_batch_size", type=int, default=96)
    parser.add_argument("--learning_rate", type=float, default=1e-3)
    args = parser.parse_args()
    crowds = Crowds.read(args.work_dir, CROWDS)
    words = AutoTokenizer.from_pretrained(args.work_dir / "generator", subfolder="tokenizer")
    told = [crowds.captions, untrue(crowds)]
    told += [[exchanged(caption, SIDES) for caption in some] for some in told]
    flat = [caption for some in told for caption in some]
    texts = words(flat, padding=True, truncation=True, return_tensors="pt").input_ids
    texts = texts.view(2, 2, len(crowds.captions), -1)  # as seen or mirrored, true or untrue
    torch.manual_seed(0)
    vit = ViTForImageClassification.from_pretrained(args.work_dir / "reader", dtype=torch.float32).vit
    model = clip(words, vit.config)
    start_from(model.vision_model, vit, pixels(crowds.pictures[:100]))

    def loss(step: int) -> Tensor:
        rng, draws = stream("clip batch", step), generator(0, "clip", step)
        picked = rng.integers(len(crowds.captions), size=args.train_batch_size)
        mirror = rng.uniform(size=len(picked)) < 0.5
        shown = crowds.pictures[picked]
        shown[mirror] = shown[mirror, :, ::-1]
        tokens = texts[mirror.astype(int), :, picked].transpose(0, 1).flatten(0, 1)
        with torch.autocast("cpu", torch.bfloat16):
            pictures = model.get_image_features(pixel_values=spoil(pixels(shown), rng, draws)).pooler_output
            said = model.get_text_features(input_ids=tokens).pooler_output
        return contrastive_loss(pictures, said, model.logit_scale.exp().clamp(max=100), tokens)

    training = Training(model, args.work_dir / "clip.safetensors", args.learning_rate, args.steps)
    training.run(loss)
    training.use_average()
    folder = args.work_dir / "clip"
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    half = [0.5] * 3
    CLIPImageProcessorPil(
        size={"shortest_edge": 64}, crop_size=64, image_mean=half, image_std=half
    ).save_pretrained(folder)
    vae = AutoencoderKL.from_pretrained(args.work_dir / "vae").eval()
    figures = measure(ClipExtractor(folder), Crowds.read(args.work_dir, HELD_OUT), vae)
    (args.work_dir / "clip-figures.json").write_text(json.dumps(figures, indent=1))
    for question, shares in figures.items():
        print(question, {shown: round(share, 3) for shown, share in shares.items()})


if __name__ == "__main__":
    main()
