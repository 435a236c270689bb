"""Settings for the Toybox, chosen on its tuning toys (seeds 400,000 to 449,999)."""

from __future__ import annotations

from dataclasses import replace

from apdm.backbones.base import Sampling
from apdm.losses.dpo import Reduction
from apdm.personalizers.base import Personalizer
from apdm.personalizers.custom_diffusion import CustomDiffusion
from apdm.personalizers.dreambooth import DreamBooth
from apdm.personalizers.lora import LoRA
from apdm.personalizers.textual_inversion import TextualInversion
from apdm.protectors.apdm import APDM, PUBLISHED
from apdm.protectors.ascent import Ascent
from apdm.protectors.imma import IMMA
from apdm.protectors.mima import MIMA
from apdm.protectors.table import Nothing, Settings

# A small model wants less guidance than Stable Diffusion; by eye on tuning captions.
SAMPLING = Sampling(num_inference_steps=20, guidance_scale=3.0, sample_batch_size=16)

# The strongest of three tried on tuning dog 400,000: more than 100 of these steps, or a rate of 5e-4.
ATTACK = DreamBooth(learning_rate=2e-4, max_train_steps=150, train_batch_size=4)

# Rates: of two tried on tuning dog 400,001 the one that took better (docs/results/attack.jsonl).
ATTACKS: dict[str, Personalizer] = {
    "dreambooth": ATTACK,
    "lora": LoRA(learning_rate=2e-3, max_train_steps=300, train_batch_size=4),
    "custom-diffusion": CustomDiffusion(
        learning_rate=2e-3, max_train_steps=300, train_batch_size=4, initializer_token="sks", augment=False
    ),
    "textual-inversion": TextualInversion(learning_rate=5e-3, max_train_steps=300),
}

# Chosen on two tuning dogs and two people (docs/papers.md says what it departs in, and why). The simulated
# attack goes as deep as the real one, a step at each update; the margin can only be won on the subject; the
# anchor keeps the class.
PROTECTION = APDM(
    beta=0.2,
    reduction=Reduction.SAMPLE_SUM,
    cap_positives=True,
    prior_loss_weight=20.0,
    learning_rate=2e-4,
    outer_steps=300,
    inner_steps=1,
    train_batch_size=2,
    num_class_images=64,
    simulated=ATTACK,
    restart_every=ATTACK.max_train_steps,
    anchor_weight=300.0,
    anchor_batch_size=4,
)

# Of each protection in `protectors.table.PROTECTORS`. Only "apdm" was chosen on tuning toys; the ablations
# differ from it in their name alone, and the peers have as many steps and class images as it, and the
# attack's rate times their published ratio to it: 4 for an ascent, 2 for MIMA's adaptation.
PROTECTIONS: dict[str, Settings] = {
    "none": Nothing(),
    "apdm": PROTECTION,
    "apdm-published": PUBLISHED,
    "apdm-unpaired": replace(PROTECTION, paired=False),
    "apdm-without-l2p": replace(PROTECTION, inner_steps=0),
    "apdm-leak": replace(PROTECTION, leak=True),
    "ascent": Ascent(learning_rate=2e-4, max_train_steps=300, train_batch_size=4, num_class_images=64),
    "imma": IMMA(learning_rate=8e-4, max_train_steps=300, simulated=ATTACK),
    "mima": MIMA(
        learning_rate=8e-4,
        max_train_steps=300,
        num_class_images=64,
        simulated=replace(ATTACK, learning_rate=4e-4),
    ),
}
