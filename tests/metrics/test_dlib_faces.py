"""dlib's faces, where it is installed; what is said where it is not."""

from __future__ import annotations

import sys

import pytest
import torch
from PIL import Image
from torch.nn.functional import cosine_similarity

from apdm.errors import InputError
from apdm.metrics.dlib_faces import DlibFaces
from apdm.metrics.face import largest_faces
from apdm.pixels import from_image


def test_without_its_packages_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dlib", None)
    with pytest.raises(InputError, match=r"pip install 'apdm\[dlib\]'"):
        DlibFaces()


def test_without_the_networks_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dlib", sys)  # any module will do: it is not asked for anything
    monkeypatch.setattr("apdm.metrics.dlib_faces.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'apdm\[dlib\]'"):
        DlibFaces()


@pytest.mark.parametrize("cnn", [True, False])
def test_an_astronauts_face_is_found_and_known_again(cnn: bool) -> None:
    pytest.importorskip("dlib")
    from skimage import data

    portrait = from_image(Image.fromarray(data.astronaut()))
    pixels = torch.cat([portrait, portrait.flip(3), torch.zeros_like(portrait)])
    before = pixels.clone()
    one, mirrored, nothing = largest_faces(DlibFaces(cnn), pixels)
    assert torch.equal(pixels, before)
    assert nothing is None
    assert one is not None
    assert mirrored is not None
    left, top, right, bottom = one.box
    assert left < 225 < right  # where her nose is
    assert top < 115 < bottom
    assert one.embedding.shape == (128,)
    assert (one.embedding - mirrored.embedding).norm() < 0.6  # dlib's own threshold for one person
    assert cosine_similarity(one.embedding, mirrored.embedding, dim=0) > 0.95
