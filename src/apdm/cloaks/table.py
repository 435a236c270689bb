"""Cloaks by name."""

from __future__ import annotations

from apdm.cloaks.advdm import AdvDM
from apdm.cloaks.aspl import ASPL
from apdm.cloaks.base import Cloak
from apdm.cloaks.fsmg import FSMG
from apdm.cloaks.mist import Mist
from apdm.cloaks.pap import PAP
from apdm.cloaks.simac import SimAC

CLOAKS: dict[str, type[Cloak]] = {
    "advdm": AdvDM,
    "mist": Mist,
    "fsmg": FSMG,
    "aspl": ASPL,
    "simac": SimAC,
    "pap": PAP,
}
