"""Random models of each family, a megabyte each: what tests and dry runs stand on. No network."""

# pyright: reportArgumentType=false
# diffusers declares tuples of one element where it takes any number, and None nowhere.

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from string import ascii_lowercase
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    T5Config,
    T5EncoderModel,
    T5Tokenizer,
)

from apdm.backbones.flux import Flux
from apdm.backbones.pipeline import PipelineBackbone
from apdm.backbones.sd3 import StableDiffusion3
from apdm.backbones.sdxl import StableDiffusionXL
from apdm.backbones.stable_diffusion import StableDiffusion
from apdm.backbones.tokenizer import word_tokenizer

WORDS = ("a", "photo", "portrait", "of", "dog", "cat", "person")
LENGTH = 20  # tokens of a prompt
DDPM: dict[str, Any] = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "steps_offset": 1,
}


def tiny_stable_diffusion(prediction_type: str = "epsilon", seed: int = 0) -> StableDiffusion:
    """Stable Diffusion 1.x: 16x16 pixels, 8x8x4 latents, about 130,000 weights drawn from `seed`."""
    with _drawn_from(seed):
        text_encoder, unet, vae = CLIPTextModel(_clip()), _unet(attention_head_dim=4), _vae()
    return _stable_diffusion(text_encoder, unet, vae, prediction_type, "tiny-stable-diffusion")


def tiny_stable_diffusion_2(prediction_type: str = "epsilon", seed: int = 0) -> StableDiffusion:
    """Stable Diffusion 2.x: exact GELU, linear projections, heads of one size."""
    with _drawn_from(seed):
        text_encoder = CLIPTextModel(_clip(hidden_act="gelu"))
        unet, vae = _unet(attention_head_dim=(2, 4), use_linear_projection=True), _vae()
    return _stable_diffusion(text_encoder, unet, vae, prediction_type, "tiny-stable-diffusion-2")


def tiny_sdxl(seed: int = 0) -> StableDiffusionXL:
    """Stable Diffusion XL, its encoders of two widths as in the large one."""
    with _drawn_from(seed):
        parts = {
            "text_encoder": CLIPTextModel(_clip()),
            "text_encoder_2": CLIPTextModelWithProjection(_clip(hidden_size=64, hidden_act="gelu")),
            "unet": _unet(
                cross_attention_dim=32 + 64,
                attention_head_dim=(2, 4),
                use_linear_projection=True,
                transformer_layers_per_block=(1, 2),
                addition_embed_type="text_time",
                addition_time_embed_dim=8,
                projection_class_embeddings_input_dim=32 + 6 * 8,
                down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
                up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            ),
            "vae": _vae(scaling_factor=0.13025),
        }
    pipeline = StableDiffusionXLPipeline(
        **parts,
        tokenizer=word_tokenizer(WORDS, LENGTH),
        tokenizer_2=word_tokenizer(WORDS, LENGTH),
        scheduler=EulerDiscreteScheduler(**DDPM, timestep_spacing="leading"),
        add_watermarker=False,
    )
    return StableDiffusionXL(pipeline, "tiny-sdxl")


def tiny_sd3(with_t5: bool = True, seed: int = 0) -> StableDiffusion3:
    """Stable Diffusion 3: two blocks of joint attention."""
    with _drawn_from(seed):
        parts = {
            "text_encoder": CLIPTextModelWithProjection(_clip()),
            "text_encoder_2": CLIPTextModelWithProjection(_clip(hidden_act="gelu")),
            "transformer": SD3Transformer2DModel(
                sample_size=8,
                patch_size=1,
                in_channels=4,
                out_channels=4,
                num_layers=2,
                attention_head_dim=8,
                num_attention_heads=4,
                joint_attention_dim=64,
                caption_projection_dim=32,
                pooled_projection_dim=64,
                pos_embed_max_size=16,
            ),
            "vae": _vae(
                use_quant_conv=False, use_post_quant_conv=False, shift_factor=0.0609, scaling_factor=1.5305
            ),
        }
        letters, t5 = _t5()
    pipeline = StableDiffusion3Pipeline(
        **parts,
        tokenizer=word_tokenizer(WORDS, LENGTH),
        tokenizer_2=word_tokenizer(WORDS, LENGTH),
        tokenizer_3=letters if with_t5 else None,
        text_encoder_3=t5 if with_t5 else None,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
    )
    return StableDiffusion3(pipeline, "tiny-sd3" if with_t5 else "tiny-sd3-without-t5")


def tiny_flux(guidance_embeds: bool = True, seed: int = 0) -> Flux:
    """FLUX.1: a block of two streams and one of a single one; with `guidance_embeds` dev, without schnell."""
    with _drawn_from(seed):
        parts = {
            "text_encoder": CLIPTextModel(_clip()),
            "transformer": FluxTransformer2DModel(
                in_channels=16,
                num_layers=1,
                num_single_layers=1,
                attention_head_dim=16,
                num_attention_heads=2,
                joint_attention_dim=64,
                pooled_projection_dim=32,
                guidance_embeds=guidance_embeds,
                axes_dims_rope=(4, 4, 8),
            ),
            "vae": _vae(
                use_quant_conv=False, use_post_quant_conv=False, shift_factor=0.1159, scaling_factor=0.3611
            ),
        }
        letters, t5 = _t5()
    pipeline = FluxPipeline(
        **parts,
        tokenizer=word_tokenizer(WORDS, LENGTH),
        tokenizer_2=letters,
        text_encoder_2=t5,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True),
    )
    return Flux(pipeline, "tiny-flux" if guidance_embeds else "tiny-flux-without-guidance")


FAMILIES: dict[str, Callable[[], PipelineBackbone]] = {
    "sd1": tiny_stable_diffusion,
    "sd2": tiny_stable_diffusion_2,
    "sd2-v": partial(tiny_stable_diffusion_2, "v_prediction"),
    "sdxl": tiny_sdxl,
    "sd3": tiny_sd3,
    "flux": tiny_flux,
}


@contextmanager
def _drawn_from(seed: int) -> Iterator[None]:
    """Weights that begin inside come from `seed`; the global stream goes on as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def _stable_diffusion(
    text_encoder: CLIPTextModel,
    unet: UNet2DConditionModel,
    vae: AutoencoderKL,
    prediction_type: str,
    name: str,
) -> StableDiffusion:
    scheduler = DDIMScheduler(
        **DDPM, clip_sample=False, set_alpha_to_one=False, prediction_type=prediction_type
    )
    pipeline = StableDiffusionPipeline(
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=word_tokenizer(WORDS, LENGTH),
        unet=unet,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    return StableDiffusion(pipeline, f"{name}-{prediction_type}")


def _clip(**changes: Any) -> CLIPTextConfig:
    size = len(word_tokenizer(WORDS, LENGTH))
    settings: dict[str, Any] = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": LENGTH,
        "projection_dim": 32,
        "bos_token_id": size - 2,
        "eos_token_id": size - 1,
        "pad_token_id": size - 1,
    }
    return CLIPTextConfig(vocab_size=size, **settings | changes)


def _unet(**changes: Any) -> UNet2DConditionModel:
    settings: dict[str, Any] = {
        "sample_size": 8,
        "block_out_channels": (8, 16),
        "layers_per_block": 1,
        "norm_num_groups": 4,
        "cross_attention_dim": 32,
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    }
    return UNet2DConditionModel(**settings | changes)


def _vae(**changes: Any) -> AutoencoderKL:
    return AutoencoderKL(
        latent_channels=4,
        block_out_channels=(8, 16),
        layers_per_block=1,
        norm_num_groups=4,
        sample_size=16,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        **changes,
    )


def _t5() -> tuple[T5Tokenizer, T5EncoderModel]:
    """A real `T5Tokenizer` that spells, and who reads it."""
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
    letters = T5Tokenizer(
        vocab=pieces + [(letter, -3.0) for letter in ascii_lowercase], extra_ids=0, model_max_length=LENGTH
    )
    config = T5Config(vocab_size=len(letters), d_model=64, d_kv=16, d_ff=64, num_layers=1, num_heads=4)
    return letters, T5EncoderModel(config)
