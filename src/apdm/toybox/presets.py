"""Settings for the Toybox, chosen on its tuning toys (seeds 400,000 to 449,999)."""

from __future__ import annotations

from apdm.backbones.base import Sampling
from apdm.personalizers.dreambooth import DreamBooth
from apdm.protectors.apdm import APDM

# A small model wants less guidance than Stable Diffusion; by eye on tuning captions.
SAMPLING = Sampling(num_inference_steps=20, guidance_scale=3.0, sample_batch_size=16)

# The learning rate and length at which one tuning dog was learnt best among a few tried; part of what
# the frozen evaluation will settle.
ATTACK = DreamBooth(learning_rate=5e-4, max_train_steps=150, train_batch_size=4)

# In the paper's proportions: outer steps x rate about the attack's steps x rate, N_per a fraction.
PROTECTION = APDM(
    learning_rate=2e-4,
    outer_steps=120,
    inner_steps=6,
    train_batch_size=4,
    num_class_images=64,
    simulated=ATTACK,
)
