"""What the Toybox's CLIP is taught by, and that its eye starts where the reader's is."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy, normalize
from transformers import CLIPVisionConfig, CLIPVisionModel, ViTConfig, ViTModel

from render_crowds import UNSEEN, Crowds
from train_clip import NUMBERS, SIDES, contrastive_loss, exchanged, start_from, untrue


def test_words_change_places() -> None:
    said = "a photo of a dog to the left of two cats"
    assert exchanged(said, SIDES) == "a photo of a dog to the right of two cats"
    assert exchanged(said, NUMBERS) == "a photo of a dog to the left of three cats"
    assert exchanged(exchanged(said, SIDES), SIDES) == said


def test_two_of_a_kind_stand_both_ways() -> None:
    """A dog to the left of a dog is as true as to the right."""
    said = ["a dog to the left of a dog", "a dog to the left of a cat", "two dogs", "a dog"]
    none = np.zeros(4)
    classes = np.array([[0, 0, UNSEEN], [0, 1, UNSEEN], [0, 0, UNSEEN], [0, UNSEEN, UNSEEN]])
    kinds = np.array(["pair", "pair", "several", "alone"])
    told = untrue(Crowds(none, none, classes, none, none, said, kinds))
    assert told == [said[0], "a dog to the right of a cat", "three dogs", "a dog"]


VECTORS = torch.randn(2 + 4, 5, generator=torch.Generator().manual_seed(0))


def test_the_loss_is_clips_both_ways_with_more_wrong_answers_for_pictures() -> None:
    images, texts = normalize(VECTORS[:2], dim=1), normalize(VECTORS[2:], dim=1)
    tokens = torch.arange(4)[:, None]
    cosines, right = 7 * images @ texts.T, torch.arange(2)
    expected = (cross_entropy(cosines, right) + cross_entropy(cosines[:, :2].T, right)) / 2
    found = contrastive_loss(3 * VECTORS[:2], VECTORS[2:], torch.tensor(7.0), tokens)
    assert found.item() == pytest.approx(expected.item())


def test_a_caption_that_says_the_same_is_no_wrong_answer() -> None:
    """All captions alike: nothing is left to be wrong."""
    loss = contrastive_loss(VECTORS[:2], VECTORS[2:], torch.tensor(7.0), torch.zeros(4, 3))
    assert loss.item() == 0


def test_the_eye_starts_from_the_readers() -> None:
    """Where the embeddings have no mean and one deviation, the norm that a ViT lacks changes nothing: the
    same features come out."""
    torch.manual_seed(0)
    sizes = {
        "image_size": 8,
        "patch_size": 4,
        "hidden_size": 8,
        "intermediate_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "hidden_act": "gelu",
    }
    vit = ViTModel(ViTConfig(**sizes, layer_norm_eps=1e-5), add_pooling_layer=False).eval()
    with torch.no_grad():
        for name, weight in vit.named_parameters():
            weight.normal_(1.0 if "norm" in name and "weight" in name else 0.0, 0.2)
        even = torch.tensor([1.0, -1.0]).repeat(4)
        vit.embeddings.patch_embeddings.projection.weight.zero_()
        vit.embeddings.patch_embeddings.projection.bias.copy_(3 * even)
        vit.embeddings.cls_token.copy_(-even[None, None])
        vit.embeddings.position_embeddings.zero_()
        vit.embeddings.position_embeddings[:, 0] = 4 * even  # 3 everywhere, with the bias and the class token
    pictures = torch.rand(2, 3, 8, 8) * 2 - 1
    vision = CLIPVisionModel(CLIPVisionConfig(**sizes)).eval()
    start_from(vision, vit, pictures)
    with torch.no_grad():
        wanted = vit(pictures).last_hidden_state[:, 0]
        found = vision(pixel_values=pictures).pooler_output
    assert torch.allclose(found, wanted, atol=0.05)
