"""Inception's architecture by its shapes, its size and the activations of random weights.

`inception_activations.json` was made with torchvision 0.29.1's `Inception3`, its nine average pools replaced
(eight without counting the padding, the last a maximum, as in the graph of 2015), the fully connected layer
left out, under the weights and the picture that are drawn below.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from apdm.assets import sha256
from apdm.errors import InputError
from apdm.metrics import inception
from apdm.metrics.inception import FIDInceptionV3, InceptionExtractor, load, weights_file
from apdm.pixels import resize_tf1, to_unit
from apdm.seeding import generator

ACTIVATIONS = Path(__file__).with_name("inception_activations.json")
SHAPES = {  # channels and side behind each layer (Szegedy et al. 2016, table 1, and the graph's own)
    "Conv2d_1a_3x3": (32, 149),
    "Conv2d_2a_3x3": (32, 147),
    "Conv2d_2b_3x3": (64, 147),
    "maxpool1": (64, 73),
    "Conv2d_3b_1x1": (80, 73),
    "Conv2d_4a_3x3": (192, 71),
    "maxpool2": (192, 35),
    "Mixed_5b": (256, 35),
    "Mixed_5c": (288, 35),
    "Mixed_5d": (288, 35),
    "Mixed_6a": (768, 17),
    "Mixed_6b": (768, 17),
    "Mixed_6c": (768, 17),
    "Mixed_6d": (768, 17),
    "Mixed_6e": (768, 17),
    "Mixed_7a": (1280, 8),
    "Mixed_7b": (2048, 8),
    "Mixed_7c": (2048, 8),
}


def draw(name: str, weight: Tensor) -> Tensor:
    """Convolutions at He's scale, batch normalisation around its neutral values."""
    rng = generator(0, "inception", name)
    if weight.ndim > 1:
        return torch.randn(weight.shape, generator=rng) * (2 / weight[0].numel()) ** 0.5
    if name.endswith(("bn.weight", "running_var")):
        return torch.rand(weight.shape, generator=rng) + 0.5
    return torch.randn(weight.shape, generator=rng) * 0.1 if weight.is_floating_point() else weight


@pytest.fixture(scope="module")
def network() -> FIDInceptionV3:
    network = FIDInceptionV3()
    network.load_state_dict({name: draw(name, weight) for name, weight in network.state_dict().items()})
    return network.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def file(network: FIDInceptionV3, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The weights as they are published: with the classifier of 1008 classes."""
    path = tmp_path_factory.mktemp("weights") / "random.pth"
    classifier = {"fc.weight": torch.zeros(1008, 2048), "fc.bias": torch.zeros(1008)}
    torch.save(network.state_dict() | classifier, path)
    return path


@pytest.fixture
def pinned(file: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, as if its hash were the published one."""
    monkeypatch.setattr(inception, "SHA256_PREFIX", sha256(file)[:8])
    return file


def test_each_layer_has_the_known_shape(network: FIDInceptionV3) -> None:
    x = torch.zeros(1, 3, 299, 299)
    seen = {}
    for name, layer in network.named_children():
        x = layer(x)
        seen[name] = tuple(x.shape[1:])
    assert {name: seen[name] for name in SHAPES} == {n: (c, side, side) for n, (c, side) in SHAPES.items()}
    assert x.shape == (1, 2048)


def test_it_has_as_many_parameters_as_inception_v3_has() -> None:
    """Keras' InceptionV3 without its top has 21,802,784: for each of the 17,216 channels of batch
    normalisation it counts three (it has no scale), torch two."""
    network = FIDInceptionV3()
    channels = sum(layer.num_features for layer in network.modules() if isinstance(layer, nn.BatchNorm2d))
    count = sum(weight.numel() for weight in network.parameters())
    assert channels == 17_216
    assert count == 21_802_784 - channels
    with_classifier = FIDInceptionV3(with_classifier=True)
    assert sum(w.numel() for w in with_classifier.parameters()) == count + 1008 * 2048 + 1008


def test_the_classifier_is_a_layer_on_the_features() -> None:
    network = FIDInceptionV3(with_classifier=True)
    assert list(dict(network.named_children()))[-1] == "fc"
    assert network.eval()(torch.zeros(1, 3, 299, 299)).shape == (1, 1008)


def test_activations_of_random_weights_are_those_of_another_implementation(network: FIDInceptionV3) -> None:
    recorded = json.loads(ACTIVATIONS.read_text())
    picture = torch.rand(1, 3, 299, 299, generator=generator(0, "inception", "picture")) * 2 - 1
    features = network(picture)[0].double()
    assert features.mean().item() == pytest.approx(recorded["mean"], abs=1e-5)
    assert features.std().item() == pytest.approx(recorded["std"], rel=1e-4)
    assert features[::64].tolist() == pytest.approx(recorded["every_64th"], abs=1e-4)


def test_the_extractor_resizes_and_scales_as_the_graph_did(pinned: Path, network: FIDInceptionV3) -> None:
    pixels = torch.rand(2, 3, 40, 64, generator=generator(0, "pixels")) * 2 - 1
    extractor = InceptionExtractor(pinned)
    levels = to_unit(resize_tf1(pixels, 299)) * 255
    assert torch.allclose(extractor(pixels), network((levels - 128) / 128), atol=1e-4)
    assert (extractor.name, extractor.dim) == ("inception-2015-12-05", 2048)


def test_a_file_with_another_hash_is_not_read(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "load", lambda *a, **k: pytest.fail("the file was read"))
    with pytest.raises(InputError, match=r"has the SHA-256 [0-9a-f]{8}\.\.\., not 6726825d\.\.\."):
        InceptionExtractor(file)


def test_the_pinned_digits_are_those_of_the_published_name() -> None:
    assert Path(inception.PUBLISHED).stem.endswith(f"-{inception.SHA256_PREFIX}")


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no file"):
        weights_file(tmp_path / "none.pth")


def test_a_url_is_fetched_once_and_checked(
    pinned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str]] = []

    def fetch(url: str, to: str, hash_prefix: str, progress: bool) -> None:
        asked.append((url, hash_prefix))
        Path(to).write_bytes(pinned.read_bytes())

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", fetch)
    first, again = (weights_file("https://example.org/w-6726825d.pth") for _ in range(2))
    assert first == again == tmp_path / "checkpoints" / "w-6726825d.pth"
    assert asked == [("https://example.org/w-6726825d.pth", inception.SHA256_PREFIX)]
    first.write_bytes(b"another file under that name")
    with pytest.raises(InputError, match="has the SHA-256"):
        weights_file("https://example.org/w-6726825d.pth")


def test_a_url_that_gives_nothing_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    with pytest.raises(InputError, match=r"cannot be fetched \(no network\)"):
        weights_file("https://example.org/w.pth")


@pytest.mark.parametrize("content", [{"conv1.weight": torch.zeros(1)}, torch.zeros(1)])
def test_weights_of_another_network_are_refused(content: object, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(InputError, match="is no FID Inception"):
        load(tmp_path / "w.pth")


class Trap:
    """Unpickled, it makes the folder that it names."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.folder),)


def test_a_pickle_with_code_is_refused_and_not_run(tmp_path: Path) -> None:
    torch.save({"conv1.weight": Trap(tmp_path / "caught")}, tmp_path / "w.pth")
    with pytest.raises(InputError, match="is no FID Inception"):
        load(tmp_path / "w.pth")
    assert not (tmp_path / "caught").exists()
