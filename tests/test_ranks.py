"""Several processes with a share of each batch do what one does with all of it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor

from apdm import ranks
from apdm.backbones.base import Backbone, EncodedImages, Moments, Sampling
from apdm.errors import InputError
from apdm.personalizers.base import Material, class_images, personalize
from apdm.personalizers.dreambooth import DreamBooth
from apdm.protectors import l2p
from apdm.protectors.apdm import APDM
from apdm.protectors.ascent import Ascent
from apdm.protectors.imma import IMMA
from apdm.protectors.material import ProtectionMaterial
from apdm.protectors.mima import MIMA
from apdm.protectors.table import PROTECTORS
from apdm.seeding import generator

if TYPE_CHECKING:
    from apdm.backbones.stable_diffusion import StableDiffusion

APART, ROWS = "each with an attack of its own", "rows that went through this process's networks"
ATTACK = DreamBooth(learning_rate=1e-3, max_train_steps=2, train_batch_size=2)
OURS = APDM(
    learning_rate=1e-3, outer_steps=2, inner_steps=2, train_batch_size=2, simulated=ATTACK, anchor_weight=1
)
PROTECTIONS = {  # whose batches have 4, 6, 4 and 5 rows; and 2, 3 and 2; and with the leak
    "apdm": replace(OURS, anchor_batch_size=5),
    "apdm-published": replace(OURS, train_batch_size=1, simulated=replace(ATTACK, train_batch_size=1)),
    "apdm-leak": replace(OURS, leak=True),
    "ascent": Ascent(learning_rate=1e-3, max_train_steps=2, train_batch_size=2),
    "imma": IMMA(learning_rate=1e-3, max_train_steps=3, simulated=ATTACK),
    "mima": MIMA(learning_rate=1e-3, max_train_steps=3, simulated=ATTACK),
}


def results() -> Iterator[tuple[str, dict[str, Tensor]]]:
    """What methods make of a tiny model, in double precision: there AdamW makes no large steps of what is
    rounded otherwise. And pictures."""
    from apdm.backbones.tiny import tiny_stable_diffusion  # loads diffusers

    tiny = tiny_stable_diffusion()
    yield "pictures", {"pictures": class_images(tiny, "a photo of dog", 3, 0, Sampling(1))}
    tiny.network.double()
    tiny.text["text_encoder"].double()
    material = patterns(tiny)
    told: list[float] = []

    def watch(task: str, done: int, total: int, figures: Mapping[str, float]) -> None:
        told.extend(figures.values())

    def made(model: Backbone) -> dict[str, Tensor]:
        """Its weights, and the losses on the way there."""
        losses = torch.tensor(told, dtype=torch.float64)
        told.clear()
        return {**model.weights(), "losses": losses}

    for name, chosen in PROTECTIONS.items():
        yield name, made(PROTECTORS[name].using(chosen)(tiny, [material], 0, watch))
    attacked = personalize(tiny, replace(ATTACK, train_text_encoder=True), material.attack, 0, watch)
    encoder = {f"text {name}": weight for name, weight in attacked.text["text_encoder"].named_parameters()}
    yield "dreambooth", {**made(attacked), **encoder}
    single = replace(ATTACK, train_batch_size=1)  # one row: the first process's does not count
    yield "one row", made(personalize(tiny, single, Material(material.negatives, None), 0, watch))
    yield from unshared(tiny, material)


def patterns(tiny: StableDiffusion) -> ProtectionMaterial:
    """Four random latents each, in double precision."""

    def images(pattern: int, prompt: str) -> EncodedImages:
        mean = torch.randn(4, 4, 8, 8, generator=generator(pattern, "pattern")).double()
        return EncodedImages(Moments(mean, 0.1 * mean), tiny.encode_prompts([prompt]), prompt)

    subject, positives = images(1, "a photo of sks dog"), images(2, "a photo of sks dog")
    return ProtectionMaterial(subject, positives, images(3, "a photo of dog"))


def unshared(tiny: StableDiffusion, material: ProtectionMaterial) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """A protection whose look-aheads are not averaged, and the rows that it took."""
    average, l2p.average = l2p.average, lambda weights: None
    rows: list[int] = []
    hook = tiny.network.register_forward_hook(lambda network, given, output: rows.append(len(output[0])))
    yield APART, dict(PROTECTORS["apdm"].using(PROTECTIONS["apdm"])(tiny, [material], 0).weights())
    hook.remove()
    l2p.average = average
    yield ROWS, {"rows": torch.tensor(sum(rows))}


def written(folder: Path) -> None:
    """Writes all results; by the first process, where there are several."""
    from safetensors.torch import save_file

    torch.set_num_threads(1)
    with ranks.joined() if ranks.launched() > 1 else nullcontext():
        for name, tensors in results():
            if ranks.first():
                save_file({n: t.detach().contiguous() for n, t in tensors.items()}, folder / name)


def launch(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """`command`, a Python file or "-m" and a module, in two processes on the CPU."""
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    ports = ["--main_process_port", "0"]
    return subprocess.run(
        [*launcher, *ports, *map(str, command)], capture_output=True, text=True, check=False, timeout=900
    )


def test_two_processes_make_what_one_makes(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    done = launch(__file__, tmp_path)
    assert done.returncode == 0, done.stderr
    for name, alone in results():
        together = load_file(tmp_path / name)
        apart = max(float((together[n] - tensor).abs().max()) for n, tensor in alone.items())
        if name == ROWS:  # two updates of two steps of 4 + 6 + 4 rows, and of an anchor's 2 x 5
            assert (int(alone["rows"]), int(together["rows"])) == (2 * (28 + 10), 2 * (14 + 4))
        elif name == APART:
            assert apart > 1e-4
        else:
            assert apart < (1e-5 if name == "pictures" else 1e-9), name


def test_one_process_has_its_batch_to_itself() -> None:
    batch, weight = torch.ones(2), torch.ones(1, requires_grad=True)
    weight.grad = torch.ones(1)
    assert ranks.shared(lambda rows: rows, batch) is batch
    ranks.average([weight])
    assert weight.grad.item() == 1
    assert ranks.first()
    assert ranks.own_device("cuda:1") == "cuda:1"


def test_several_take_a_gpu_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranks, "count", lambda: 4)
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert ranks.own_device("cuda") == "cuda:3"
    assert ranks.own_device("cpu") == "cpu"
    with pytest.raises(InputError, match="4 processes cannot share cuda:1: give cuda or cpu"):
        ranks.own_device("cuda:1")


def test_gradients_travel_in_buckets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranks, "BUCKET", 5)
    one, many, other = torch.ones(2), torch.ones(9), torch.ones(2).double()
    found = [len(bucket) for bucket in ranks._buckets([one, one, one, many, one, other])]
    assert found == [2, 1, 1, 1, 1]


if __name__ == "__main__":
    written(Path(sys.argv[1]))
