"""What FSMG and ASPL share."""

from __future__ import annotations

import pytest

from apdm.backbones.tiny import tiny_stable_diffusion
from apdm.cloaks import aspl, fsmg
from apdm.cloaks.anti_dreambooth import AntiDreamBooth
from apdm.cloaks.aspl import ASPL
from apdm.cloaks.base import CloakMaterial
from apdm.cloaks.fsmg import FSMG
from apdm.errors import InputError


@pytest.mark.parametrize("method", [FSMG, ASPL])
def test_a_target_is_refused_where_time_is_continuous_before_anything_is_trained(
    method: type[AntiDreamBooth], material: CloakMaterial, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_stable_diffusion()
    model.schedule = object()  # pyright: ignore[reportAttributeAccessIssue]
    monkeypatch.setattr(fsmg, "personalize", None)
    monkeypatch.setattr(aspl, "alternating", None)
    with pytest.raises(InputError, match="time is continuous"):
        method(targeted=True)(model, material, 0)  # pyright: ignore[reportCallIssue]


@pytest.mark.parametrize("method", [FSMG, ASPL])
def test_only_the_targeted_variant_uses_the_target(method: type[AntiDreamBooth]) -> None:
    assert [method(targeted=it).uses_target for it in (False, True)] == [False, True]  # pyright: ignore[reportCallIssue]
