"""Names for the tensors that cross a function's border. Shapes are jaxtyping's; b is the batch."""

from __future__ import annotations

from jaxtyping import Float, Num
from torch import Tensor

Pixels = Float[Tensor, "b 3 h w"]  # RGB in [-1, 1]
Latents = Float[Tensor, "b c h w"]  # scaled to about unit variance, as the network sees them
Timesteps = Num[Tensor, "b"]  # what the schedule draws and the network takes
Errors = Float[Tensor, "b c h w"]  # squared errors, not reduced at all
Scalar = Float[Tensor, ""]
