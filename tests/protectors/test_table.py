"""Every protection by its name, run alike on the tiny model."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import torch

from apdm.backbones.execution import Execution
from apdm.backbones.stable_diffusion import StableDiffusion
from apdm.errors import InputError
from apdm.personalizers.dreambooth import DreamBooth
from apdm.protectors import table
from apdm.protectors.apdm import APDM, PUBLISHED
from apdm.protectors.ascent import Ascent, ascend
from apdm.protectors.imma import IMMA, immunize
from apdm.protectors.material import ProtectionMaterial
from apdm.protectors.mima import MIMA
from apdm.protectors.table import PROTECTORS, Nothing, protector
from apdm.steps import State
from apdm.toybox.presets import PROTECTION, PROTECTIONS

INSTANCE, CLASS = "a photo of sks dog", "a photo of dog"
QUICK = {
    Nothing: {},
    APDM: {"outer_steps": 1, "learning_rate": 1e-3},
    Ascent: {"max_train_steps": 1, "learning_rate": 1e-3},
    IMMA: {"max_train_steps": 2, "learning_rate": 1e-3, "simulated": DreamBooth(learning_rate=1e-3)},
    MIMA: {"max_train_steps": 2, "learning_rate": 1e-3},
}


@pytest.fixture
def material(pattern_set) -> ProtectionMaterial:
    sets = pattern_set(1, INSTANCE), pattern_set(2, INSTANCE), pattern_set(3, CLASS)
    return ProtectionMaterial(replace(sets[0], prompt=INSTANCE), *sets[1:])


@pytest.mark.parametrize("name", PROTECTORS)
def test_each_runs_by_one_signature_and_leaves_the_input(
    name: str, tiny: StableDiffusion, material: ProtectionMaterial, heard
) -> None:
    known = protector(name)
    quick = QUICK[type(known.settings)]
    if name in ("apdm", "apdm-published", "apdm-unpaired", "apdm-leak"):
        quick = quick | {"inner_steps": 1}
    short = known.using(replace(known.settings, **quick))
    protected = short(tiny, [material], 0, heard)
    same = [torch.equal(w, tiny.weights()[n]) for n, w in protected.weights().items()]
    assert all(same) if name == "none" else not all(same)
    assert protected is not tiny
    assert not any(weight.requires_grad for weight in protected.weights().values())
    assert bool(heard.steps) == (name != "none")


@pytest.mark.parametrize("name", [name for name in PROTECTORS if name != "none"])
def test_every_optimizer_remembers_in_8_bits_where_that_is_asked_for(
    name: str, tiny: StableDiffusion, material: ProtectionMaterial, eight_bit
) -> None:
    known, model = protector(name), tiny.copy()
    if isinstance(known.settings, APDM):
        known = known.using(replace(known.settings, restart_every=2))
    model.run_as(Execution(use_8bit_adam=True))
    heard: dict[str, set[str]] = {}

    def none(total: int, state: State) -> range:
        heard.update({part: {of.rpartition(".")[2] for of in tensors} for part, tensors in state.items()})
        return range(0)

    known(model, [material], 0, steps=none)
    optimizers = {part for part, names in heard.items() if "state1" in names}
    assert not any("exp_avg" in names for names in heard.values())
    assert optimizers == {
        "imma": {"adaptation", "ascent"},
        "mima": {"adaptation", "ascent"},
        "ascent": {"optimizer"},
        "apdm-without-l2p": {"optimizer"},
    }.get(name, {"optimizer", "attack_optimizer"})


def test_the_ablations_are_the_paper_without_one_thing() -> None:
    found = {name: known.settings for name, known in PROTECTORS.items() if isinstance(known.settings, APDM)}
    assert found == {
        "apdm": PUBLISHED,
        "apdm-published": PUBLISHED,
        "apdm-unpaired": replace(PUBLISHED, paired=False),
        "apdm-without-l2p": replace(PUBLISHED, inner_steps=0),
        "apdm-leak": replace(PUBLISHED, leak=True),
    }


def test_the_toybox_has_settings_for_each() -> None:
    assert PROTECTIONS.keys() == PROTECTORS.keys()
    assert all(PROTECTORS[name].using(settings) for name, settings in PROTECTIONS.items())
    assert PROTECTIONS["apdm"] == PROTECTION
    assert PROTECTIONS["apdm-unpaired"] == replace(PROTECTION, paired=False)
    assert PROTECTIONS["apdm-published"] == PUBLISHED


def test_a_name_that_is_none_offers_the_nearest_and_settings_must_fit() -> None:
    with pytest.raises(InputError, match="did you mean 'apdm-unpaired'"):
        protector("apdm-unpairde")
    with pytest.raises(TypeError, match="takes IMMA"):
        PROTECTORS["imma"].using(PUBLISHED)


def test_ascent_and_imma_get_the_subject_and_the_class(
    tiny: StableDiffusion, material: ProtectionMaterial
) -> None:
    ascent = Ascent(max_train_steps=2, learning_rate=1e-3)
    found = PROTECTORS["ascent"].using(ascent)(tiny, [material], 3).weights()
    alone = ascend(tiny, material.attack, ascent, 3).weights()
    assert all(torch.equal(weight, alone[name]) for name, weight in found.items())
    for images, prior in ((0, None), (4, material.prior)):
        config = IMMA(learning_rate=1e-3, max_train_steps=2, num_class_images=images)
        found = PROTECTORS["imma"].using(config)(tiny, [material], 3).weights()
        alone = immunize(tiny, table.Material(material.negatives, prior), config, 3).weights()
        assert all(torch.equal(weight, alone[name]) for name, weight in found.items())


@pytest.mark.parametrize("name", PROTECTORS)
def test_several_subjects_are_protected_or_refused(
    name: str, tiny: StableDiffusion, material: ProtectionMaterial
) -> None:
    known = protector(name)
    if known.several:
        known.check(Execution(), 2)
        return
    with pytest.raises(
        InputError, match=f"{re.escape(known.title)} protects against one subject, and 2 are"
    ) as said:
        known(tiny, [material, material], 0)
    assert "--method: none, apdm" in said.value.fix


def test_mima_takes_each_for_a_concept(tiny, material, monkeypatch: pytest.MonkeyPatch) -> None:
    concepts = []
    monkeypatch.setattr(table.mima, "immunize", lambda model, given, *rest: concepts.extend(given))
    protector("mima")(tiny, [material, material], 0)
    assert [concept.instance for concept in concepts] == [material.negatives] * 2
