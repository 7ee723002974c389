"""What a Stable Diffusion pipeline and an upscaler must be, and which of their files are loaded (no torch).

Safety checkers, feature extractors, image encoders and watermarks are not named here: they are not loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...core.weights_format import SCHEDULER, TOKENIZER, PipelineFolder, network, text_encoder

Configs = Mapping[str, Mapping[str, Any]]


def _text_to_image_fault(configs: Configs) -> str | None:
    takes, gives = (configs["unet"].get(f"{side}_channels", 4) for side in ("in", "out"))
    latents = configs["vae"].get("latent_channels", 4)
    if takes == gives == latents:
        return None
    return (
        f"the UNet takes {takes} channels and gives {gives}, the VAE has {latents}: not a text-to-image "
        "model (inpainting, depth, upscaling?)"
    )


def _upscaler_fault(configs: Configs) -> str | None:
    takes, gives = (configs["unet"].get(f"{side}_channels", 4) for side in ("in", "out"))
    latents = configs["vae"].get("latent_channels", 4)
    if takes != latents + 3 or gives != latents:
        return (
            f"the UNet takes {takes} channels and gives {gives}; an upscaler with this VAE of {latents} "
            f"channels takes {latents + 3} and gives {latents}"
        )
    if configs["unet"].get("num_class_embeds") is None:
        return (
            "the UNet has no class labels (num_class_embeds), so it cannot be told the noise level of the "
            "low resolution"
        )
    return None


_UNET_PARTS = {
    "unet": network("UNet2DConditionModel"),
    "vae": network("AutoencoderKL", "AutoencoderTiny"),
    "text_encoder": text_encoder("CLIPTextModel"),
    "tokenizer": TOKENIZER,
    "scheduler": SCHEDULER,
}
_NOT_WITH_A_UNET = {"text_encoder_2": "it has two text encoders, as SDXL has"}

STABLE_DIFFUSION = PipelineFolder(
    "a Stable Diffusion 1.x or 2.x pipeline",
    parts=_UNET_PARTS,
    not_with=_NOT_WITH_A_UNET,
    fault=_text_to_image_fault,
    pipeline_class="StableDiffusionPipeline",
)

UPSCALER = PipelineFolder(
    "a latent upscaler",
    parts={**_UNET_PARTS, "low_res_scheduler": SCHEDULER},
    not_with=_NOT_WITH_A_UNET,
    fault=_upscaler_fault,
    pipeline_class="StableDiffusionUpscalePipeline",
)
