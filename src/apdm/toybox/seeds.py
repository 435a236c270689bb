"""Which identity seeds may be used for what.

A figure is only worth something if the toys it was measured on were seen neither by the generator
nor by the judges nor while settings were searched. The ranges are disjoint and every consumer asks
for its seeds here, so mixing them up is an error and not an oversight.
"""

from __future__ import annotations

from enum import Enum

from apdm.errors import InputError


class Purpose(Enum):
    """Half-open ranges of identity seeds. Seeds from 500,000 on are left to others for good."""

    GENERATOR = (0, 200_000)
    JUDGES = (200_000, 400_000)
    TUNING = (400_000, 450_000)
    REPORTED = (450_000, 500_000)

    @property
    def first(self) -> int:
        return self.value[0]

    @property
    def end(self) -> int:
        return self.value[1]

    def seed(self, index: int) -> int:
        """The `index`-th seed of this purpose.

        Raises `InputError` when the range holds no such seed.
        """
        seed = self.first + index
        self.require(seed)
        return seed

    def require(self, seed: int) -> None:
        """Raises `InputError` unless `seed` belongs to this purpose."""
        if not self.first <= seed < self.end:
            raise InputError(
                f"identity seed {seed} is not one for {self.name.lower()}",
                fix=f"use a seed from {self.first} to {self.end - 1}",
            )
