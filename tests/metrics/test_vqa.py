"""The answers of small random BLIP and ViLT networks are those that they give when called by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import (
    BertTokenizer,
    BlipConfig,
    BlipForQuestionAnswering,
    BlipImageProcessorPil,
    BlipProcessor,
    BlipTextConfig,
    BlipVisionConfig,
    ViltConfig,
    ViltForQuestionAnswering,
    ViltImageProcessorPil,
    ViltProcessor,
)

from apdm.errors import InputError
from apdm.metrics.vqa import WORDS, QuestionAnswerer
from apdm.pixels import to_images
from apdm.seeding import generator

WORDS_KNOWN = ("is", "it", "red", "what", "the", "dog", "?", "yes", "no", "blue", "color")
TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]", *WORDS_KNOWN)
QUESTIONS = ("is it red ?", "what color is the dog ?", "is it", "what is it ?")
SHAPE = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}


@pytest.fixture(scope="module")
def blip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vqa") / "tiny-blip"
    marks = {"bos_token_id": 5, "eos_token_id": 3, "sep_token_id": 3, "pad_token_id": 0}
    text = BlipTextConfig(
        vocab_size=len(TOKENS),
        encoder_hidden_size=16,
        projection_dim=8,
        initializer_range=0.5,
        **SHAPE,
        **marks,
    )
    vision = BlipVisionConfig(image_size=16, patch_size=8, projection_dim=8, initializer_range=0.5, **SHAPE)
    torch.manual_seed(0)
    BlipForQuestionAnswering(BlipConfig(text_config=text, vision_config=vision)).save_pretrained(folder)
    tokenizer = BertTokenizer(vocab={t: i for i, t in enumerate(TOKENS)}, bos_token="[DEC]")
    BlipProcessor(BlipImageProcessorPil(size={"height": 16, "width": 16}), tokenizer).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def vilt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vqa") / "tiny-vilt"
    labels = {0: "yes", 1: "no", 2: "red", 3: "two"}
    config = ViltConfig(
        vocab_size=len(TOKENS), image_size=32, patch_size=16, id2label=labels, initializer_range=0.5, **SHAPE
    )
    torch.manual_seed(0)
    ViltForQuestionAnswering(config).save_pretrained(folder)
    tokenizer = BertTokenizer(vocab={t: i for i, t in enumerate(TOKENS)})
    ViltProcessor(ViltImageProcessorPil(size={"shortest_edge": 32}), tokenizer).save_pretrained(folder)
    return folder


def pictures() -> Tensor:
    return torch.rand(len(QUESTIONS), 3, 32, 32, generator=generator(0, "vqa")) * 2 - 1


def test_blip_generates_an_answer_for_each_picture_and_question(blip: Path) -> None:
    network, processor = BlipForQuestionAnswering.from_pretrained(blip), BlipProcessor.from_pretrained(blip)
    expected = []
    for image, question in zip(to_images(pictures()), QUESTIONS, strict=True):
        tokens = network.generate(**processor(image, question, return_tensors="pt"), max_new_tokens=WORDS)
        expected.append(processor.decode(tokens[0], skip_special_tokens=True))
    answers = QuestionAnswerer(blip)(pictures(), QUESTIONS)
    assert answers == expected
    assert len(set(answers)) > 1
    assert not any("[" in answer or answer != answer.strip() for answer in answers)


def test_vilt_names_its_likeliest_label(vilt: Path) -> None:
    network, processor = ViltForQuestionAnswering.from_pretrained(vilt), ViltProcessor.from_pretrained(vilt)
    with torch.no_grad():
        likeliest = [
            int(network(**processor(image, question, return_tensors="pt")).logits.argmax())
            for image, question in zip(to_images(pictures()), QUESTIONS, strict=True)
        ]
    assert QuestionAnswerer(vilt)(pictures(), QUESTIONS) == [network.config.id2label[i] for i in likeliest]


def test_an_answer_does_not_depend_on_its_neighbours(blip: Path) -> None:
    answerer, seen = QuestionAnswerer(blip), pictures()
    alone = [answerer(seen[i : i + 1], [question])[0] for i, question in enumerate(QUESTIONS)]
    assert answerer(seen, QUESTIONS) == alone


def test_an_answer_is_the_likeliest_one_whatever_the_network_was_saved_with(blip: Path) -> None:
    answerer, seen = QuestionAnswerer(blip), pictures()
    likeliest = answerer(seen, QUESTIONS)
    saved = answerer.network.text_decoder.generation_config
    saved.do_sample, saved.temperature = True, 9.0
    assert [answerer(seen, QUESTIONS) for _ in range(3)] == [likeliest] * 3


def test_it_is_named_after_what_was_loaded(blip: Path, vilt: Path) -> None:
    assert (QuestionAnswerer(blip).name, QuestionAnswerer(vilt).name) == ("tiny-blip", "tiny-vilt")
    assert QuestionAnswerer(blip).fingerprint != QuestionAnswerer(vilt).fingerprint


def test_another_kind_of_network_is_refused(clip_folder: Path) -> None:
    with pytest.raises(InputError, match="is a clip: give a BLIP or ViLT"):
        QuestionAnswerer(clip_folder)
