"""A latent upscaler, loaded from the diffusers folder format of StableDiffusionUpscalePipeline.

What is read: super-resolution by latent diffusion (Rombach et al. 2022, section 4.4) in the format of the x4
upscaler of Stable Diffusion 2: a UNet whose input is the noisy latents and the low-resolution picture, which
has the latents' size, so that the VAE's factor is the upscaler's. The embedded upscaler of the Sprites world
has the same format and factor 2.

Deviations from diffusers' own pipeline: no safety checker and no watermark, which would change what is
measured; a low resolution that the UNet's levels do not divide is refused; the VAE always computes in
float32, where diffusers widens it for decoding if its configuration says so; the sampler is ours
(`methods.stable_diffusion.ddim`), on the checkpoint's betas.

Importing this imports no torch.

Shape suffixes: T frames, C latent channels, h, w height and width of the low resolution, H, W of the result.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...core.errors import RunFileError, WeightsError
from ...core.types import Dtype, Frames
from ...core.weights import resolve
from ...core.weights_format import SCHEDULER, PipelineFolder
from ..pipelines import loading, spatial_factor, torch_device, trained_size, unet_dtype
from ..stable_diffusion.pipeline import NOT_WITH_A_UNET, UNET_PARTS, StableDiffusion, unet_channels

if TYPE_CHECKING:
    import torch


def _upscaler_fault(configs: Mapping[str, Mapping[str, Any]]) -> str | None:
    takes, gives, latents = unet_channels(configs)
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


UPSCALER = PipelineFolder(
    "a latent upscaler",
    parts={**UNET_PARTS, "low_res_scheduler": SCHEDULER},
    not_with=NOT_WITH_A_UNET,
    fault=_upscaler_fault,
    pipeline_class="StableDiffusionUpscalePipeline",
)


@dataclass(frozen=True)
class UpscalePipeline(StableDiffusion):
    """The networks of a latent upscaler on a device. `unet` is a ConditionedUNet.

    Attributes:
        low_res_alphas_cumprod: abar of every level of the noise on the low-resolution picture.
        max_noise_level: highest level that the upscaler knows.
        factor: pixels of the result for one of the low resolution, along each axis.
        divisor: height and width of the low resolution must be multiples of this.
    """

    low_res_alphas_cumprod: tuple[float, ...]
    max_noise_level: int
    factor: int
    divisor: int

    def at(self, low_res_height: int, low_res_width: int) -> UpscalePipeline:
        """The same networks for a low resolution of this size.

        Raises:
            RunFileError: the size does not fit the UNet.
        """
        if (
            min(low_res_height, low_res_width) < 1
            or low_res_height % self.divisor
            or low_res_width % self.divisor
        ):
            raise RunFileError(
                f"frames of {low_res_height} by {low_res_width} pixels do not fit this upscaler: height and "
                f"width must be multiples of {self.divisor}",
                "let the method make clips of such a size (height and width in the run file)",
            )
        return dataclasses.replace(
            self, height=low_res_height * self.factor, width=low_res_width * self.factor
        )

    def checked_level(self, noise_level: int) -> int:
        """The noise level, if the upscaler knows it.

        Raises:
            RunFileError: it does not.
        """
        if not 0 <= noise_level <= self.max_noise_level:
            raise RunFileError(
                f"noise_level is {noise_level}; this upscaler knows 0 to {self.max_noise_level}",
                "change noise_level of the upscaler in the run file",
            )
        return noise_level

    def decode(self, latents_TCHW: torch.Tensor) -> Frames:
        """Latents to frames, uint8 [T,H,W,3]; in float32, as this kind of VAE overflows in float16.

        Raises:
            ClipRefusedError: the latents or the decoded frames hold NaN or infinity.
        """
        import torch

        return StableDiffusion.decode(dataclasses.replace(self, dtype=torch.float32), latents_TCHW)


def load_upscaler(location: str, *, device: str, dtype: Dtype = "auto") -> UpscalePipeline:
    """Load an upscaler.

    Args:
        location: as `core.weights` describes it.
        device: "cpu", "cuda" or "cuda:0".
        dtype: of UNet and text encoder; "auto" is float16 on a GPU and float32 on a CPU.

    Returns:
        The networks, at the size that the UNet was trained at.

    Raises:
        WeightsError: the folder is not such a pipeline; the message names what is missing.
        ResourcesError: a GPU is asked for and there is none.
    """
    from diffusers import StableDiffusionUpscalePipeline

    from .low_resolution import ConditionedUNet

    where = torch_device(device)
    number_format = unet_dtype(dtype, where)
    folder = resolve(location, UPSCALER)
    with loading(folder, UPSCALER, "StableDiffusionUpscalePipeline", "upscaler") as view:
        pipe = StableDiffusionUpscalePipeline.from_pretrained(
            view,
            use_safetensors=True,
            local_files_only=True,
            dtype=number_format,
            safety_checker=None,
            feature_extractor=None,
            watermarker=None,
        )
    for part in ("scheduler", "low_res_scheduler"):
        if getattr(getattr(pipe, part), "alphas_cumprod", None) is None:
            raise WeightsError(
                f"the {part} in {folder} ({type(getattr(pipe, part)).__name__}) has no betas",
                "give a pipeline whose schedulers are of the DDPM kind",
            )
    pipe.vae.float()
    for module in (pipe.unet, pipe.vae, pipe.text_encoder):
        module.to(where).requires_grad_(False).eval()
    low_res_alphas = tuple(pipe.low_res_scheduler.alphas_cumprod.double().tolist())
    factor = spatial_factor(pipe.vae)
    height, width = trained_size(pipe.unet)
    labels = pipe.unet.class_embedding.num_embeddings
    return UpscalePipeline(
        unet=ConditionedUNet(pipe.unet),
        vae=pipe.vae,
        text_encoder=pipe.text_encoder,
        tokenizer=pipe.tokenizer,
        alphas_cumprod=tuple(pipe.scheduler.alphas_cumprod.double().tolist()),
        prediction=pipe.scheduler.config.get("prediction_type", "epsilon"),
        device=where,
        dtype=number_format,
        height=height * factor,
        width=width * factor,
        low_res_alphas_cumprod=low_res_alphas,
        max_noise_level=min(pipe.config.max_noise_level, labels - 1, len(low_res_alphas) - 1),
        factor=factor,
        divisor=2 ** (len(pipe.unet.config.block_out_channels) - 1),
    )
