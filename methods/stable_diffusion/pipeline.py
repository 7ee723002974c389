"""A Stable Diffusion pipeline: its settings, its networks (text in, latents to frames), and methods on it.

What is read: Rombach et al., "High-Resolution Image Synthesis with Latent Diffusion Models" (CVPR 2022) in
the folder format of diffusers: Stable Diffusion 1.x, 2.x (also those that predict the velocity) and the
embedded pipeline of the Sprites world. The same code loads all of them. Pickled weights are never read, and
nothing is fetched here: a hub id is resolved to a local folder by `core.weights` first.

Deviations from diffusers' own pipeline: the safety checker is not loaded (it would blacken frames, which a
benchmark must see as they are); the sampler is ours (`methods.stable_diffusion.ddim`), on the checkpoint's
betas.

A clip's frames (times the guidance halves) are the batch of the UNet, and nothing else is: a clip depends on
its sample and seed alone, whatever else is in the call and however the samples are sharded.

Importing this imports no torch.

Shape suffixes: T frames, C latent channels, H, W height and width (of latents or pixels), L text tokens, D
width of the text encoder.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field

from ...core.contracts import FrozenConfig, Method, Session
from ...core.errors import RunFileError, WeightsError
from ...core.types import Conditioning, Dtype, Frames, Sample, WeightsRef
from ...core.weights import resolve
from ...core.weights_format import SCHEDULER, TOKENIZER, PipelineFolder, network, text_encoder
from ..pipelines import (
    EncodedPrompt,
    PipelineSession,
    loading,
    refuse_non_finite,
    spatial_factor,
    torch_device,
    trained_size,
    unet_dtype,
)
from .ddim import DdimSchedule, Denoiser, Spacing, schedule_of

if TYPE_CHECKING:
    import torch

_DECODED_PIXELS = 2**21
"""Pixels that the VAE decodes at once: 8 frames of 512 by 512. Bounds memory, and depends on the frame size
alone, so that a clip's numbers do not depend on the machine."""

UNET_PARTS = {
    "unet": network("UNet2DConditionModel"),
    "vae": network("AutoencoderKL", "AutoencoderTiny"),
    "text_encoder": text_encoder("CLIPTextModel"),
    "tokenizer": TOKENIZER,
    "scheduler": SCHEDULER,
}
"""What is loaded of a pipeline with a UNet. Safety checkers, feature extractors, image encoders and
watermarks are not."""

NOT_WITH_A_UNET = {"text_encoder_2": "it has two text encoders, as SDXL has"}


def unet_channels(configs: Mapping[str, Mapping[str, Any]]) -> tuple[int, int, int]:
    """Channels that a folder's UNet takes and gives, and those of its VAE's latents."""
    unet, vae = configs["unet"], configs["vae"]
    return unet.get("in_channels", 4), unet.get("out_channels", 4), vae.get("latent_channels", 4)


def _text_to_image_fault(configs: Mapping[str, Mapping[str, Any]]) -> str | None:
    takes, gives, latents = unet_channels(configs)
    if takes == gives == latents:
        return None
    return (
        f"the UNet takes {takes} channels and gives {gives}, the VAE has {latents}: not a text-to-image "
        "model (inpainting, depth, upscaling?)"
    )


STABLE_DIFFUSION = PipelineFolder(
    "a Stable Diffusion 1.x or 2.x pipeline",
    parts=UNET_PARTS,
    not_with=NOT_WITH_A_UNET,
    fault=_text_to_image_fault,
    pipeline_class="StableDiffusionPipeline",
)


class PipelineConfig(FrozenConfig):
    """How a clip is sampled from a Stable Diffusion pipeline.

    The defaults of `num_steps` and `guidance_scale` are those of Stable Diffusion and of Text2Video-Zero.
    """

    younger: ClassVar[Mapping[str, Any]] = {"timesteps": "leading"}

    weights: str = "pipeline"
    """Where the pipeline lies: a diffusers folder, a name below the weights root, or a hub id."""

    num_frames: int = Field(default=16, ge=1)
    """Frames of a clip. The papers make 8; the default is 16 because the I3D behind FVD needs at least 9."""

    height: int | None = Field(default=None, ge=8)
    """Height of a frame in pixels; None takes the size that the UNet was trained at."""

    width: int | None = Field(default=None, ge=8)
    """Width of a frame in pixels; None takes the size that the UNet was trained at."""

    num_steps: int = Field(default=50, ge=1, le=999)
    """DDIM steps."""

    timesteps: Spacing = "leading"
    """Where the steps lie: at 981, 961, ..., 1 for 50 of them ("leading", as Stable Diffusion is published),
    or at 999, 979, ..., 19 ("trailing"), which checkpoints with a terminal SNR of zero need."""

    guidance_scale: float = Field(default=7.5, ge=1.0, allow_inf_nan=False)
    """Weight of classifier-free guidance; 1.0 switches it off and halves the work."""

    negative_prompt: str = ""
    """What guidance leads away from."""

    dtype: Dtype = "auto"
    """Number format of the networks; "auto" is float16 on a GPU and float32 on a CPU."""


@dataclass(frozen=True)
class StableDiffusion:
    """The networks of a pipeline on a device.

    Attributes:
        unet, vae, text_encoder, tokenizer: diffusers' and transformers' objects.
        alphas_cumprod: abar of every training timestep.
        prediction: "epsilon", "v_prediction" or "sample".
        device, dtype: where and in which number format the networks are.
        height, width: of the frames, in pixels.
    """

    unet: Any
    vae: Any
    text_encoder: Any
    tokenizer: Any
    alphas_cumprod: tuple[float, ...]
    prediction: str
    device: torch.device
    dtype: torch.dtype
    height: int
    width: int

    @property
    def latent_shape_CHW(self) -> tuple[int, int, int]:
        """Shape of one frame's latent."""
        factor = spatial_factor(self.vae)
        return (self.vae.config.latent_channels, self.height // factor, self.width // factor)

    def schedule(self, num_steps: int, timesteps: Spacing = "leading") -> DdimSchedule:
        """The DDIM schedule of this checkpoint."""
        return schedule_of(self.alphas_cumprod, self.prediction, num_steps, timesteps)

    def encode_prompt(self, prompt: str) -> EncodedPrompt:
        """Text to hidden states; a prompt that is too long loses its end, as in every CLIP pipeline."""
        # A tokenizer without a limit of its own reports an astronomical one.
        length = min(self.tokenizer.model_max_length, self.text_encoder.config.max_position_embeddings)
        num_tokens = len(self.tokenizer(prompt, truncation=False, verbose=False).input_ids)
        tokens = self.tokenizer(
            prompt, padding="max_length", max_length=length, truncation=True, return_tensors="pt"
        )
        mask = None
        if getattr(self.text_encoder.config, "use_attention_mask", False):
            mask = tokens.attention_mask.to(self.device)
        hidden = self.text_encoder(tokens.input_ids.to(self.device), attention_mask=mask)[0]
        return EncodedPrompt(embedding_LD=hidden[0].to(self.dtype), truncated=num_tokens > length)

    def decode(self, latents_TCHW: torch.Tensor) -> Frames:
        """Latents to frames, uint8 [T,H,W,3].

        Raises:
            ClipRefusedError: the latents or the decoded frames hold NaN or infinity.
        """
        refuse_non_finite(latents_TCHW, "the latents")
        latents_TCHW = latents_TCHW / self.vae.config.scaling_factor
        if getattr(self.vae.config, "shift_factor", None):
            latents_TCHW = latents_TCHW + self.vae.config.shift_factor
        chunk = max(1, _DECODED_PIXELS // (self.height * self.width))
        clips: list[np.ndarray] = []
        for part_TCHW in latents_TCHW.to(self.dtype).split(chunk):
            pixels_TCHW = self.vae.decode(part_TCHW, return_dict=False)[0].float()
            refuse_non_finite(pixels_TCHW, "the decoded frames")
            levels_TCHW = ((pixels_TCHW / 2 + 0.5).clamp(0, 1) * 255).round().byte()
            clips.append(levels_TCHW.permute(0, 2, 3, 1).cpu().numpy())
        return np.ascontiguousarray(np.concatenate(clips))


def load_pipeline(
    location: str, *, device: str, dtype: Dtype = "auto", height: int | None = None, width: int | None = None
) -> StableDiffusion:
    """Load a pipeline.

    Args:
        location: as `core.weights` describes it.
        device: "cpu", "cuda" or "cuda:0".
        dtype: "auto" is float16 on a GPU and float32 on a CPU.
        height, width: of the frames in pixels; None is the size that the UNet was trained at.

    Raises:
        WeightsError: the folder is not a Stable Diffusion pipeline; the message names what is missing.
        RunFileError: the size does not fit the VAE.
        ResourcesError: a GPU is asked for and there is none.
    """
    from diffusers import StableDiffusionPipeline

    where = torch_device(device)
    number_format = unet_dtype(dtype, where)
    folder = resolve(location, STABLE_DIFFUSION)
    with loading(folder, STABLE_DIFFUSION, "StableDiffusionPipeline") as view:
        pipe = StableDiffusionPipeline.from_pretrained(
            view,
            use_safetensors=True,
            local_files_only=True,
            dtype=number_format,
            safety_checker=None,
            feature_extractor=None,
            image_encoder=None,
            requires_safety_checker=False,
        )
    if getattr(pipe.scheduler, "alphas_cumprod", None) is None:
        raise WeightsError(
            f"the scheduler in {folder} ({type(pipe.scheduler).__name__}) has no betas, so DDIM has no "
            "schedule",
            "give a pipeline whose scheduler is of the DDPM kind (PNDM, DDIM, Euler, DPM-Solver)",
        )
    factor = spatial_factor(pipe.vae)
    trained_height, trained_width = trained_size(pipe.unet)
    height, width = height or trained_height * factor, width or trained_width * factor
    if height % factor or width % factor:
        raise RunFileError(
            f"frames of {height} by {width} pixels do not fit this VAE: both must be multiples of {factor}",
            "change height and width of the method in the run file, or leave them out",
        )
    for module in (pipe.unet, pipe.vae, pipe.text_encoder):
        module.to(where).requires_grad_(False).eval()
    return StableDiffusion(
        unet=pipe.unet,
        vae=pipe.vae,
        text_encoder=pipe.text_encoder,
        tokenizer=pipe.tokenizer,
        alphas_cumprod=tuple(pipe.scheduler.alphas_cumprod.double().tolist()),
        prediction=pipe.scheduler.config.get("prediction_type", "epsilon"),
        device=where,
        dtype=number_format,
        height=height,
        width=width,
    )


class StableDiffusionMethod(Method):
    """A method on a Stable Diffusion pipeline."""

    config: PipelineConfig
    conditioning: ClassVar[Conditioning] = Conditioning.TEXT

    def weights(self) -> tuple[WeightsRef, ...]:
        """The pipeline."""
        return (WeightsRef("pipeline", self.config.weights, STABLE_DIFFUSION),)


class StableDiffusionSession(PipelineSession):
    """A Stable Diffusion pipeline on a device.

    Args:
        config: of the method.
        device: "cpu", "cuda" or "cuda:0".

    Raises:
        WeightsError: the pipeline is missing or malformed.
        RunFileError: the size of the frames, the number of steps or where they lie does not fit it.
    """

    pipeline: StableDiffusion

    def __init__(self, config: PipelineConfig, device: str) -> None:
        pipeline = load_pipeline(
            config.weights, device=device, dtype=config.dtype, height=config.height, width=config.width
        )
        super().__init__(pipeline, config.guidance_scale, config.negative_prompt)
        self.schedule = pipeline.schedule(config.num_steps, config.timesteps).for_sampling()
        self._config = config

    def denoiser(self, prompt: str) -> Denoiser:
        """The UNet with guidance by a prompt."""
        return Denoiser(
            unet=self.pipeline.unet,
            schedule=self.schedule,
            text_GLD=self.prompts(prompt),
            guidance_scale=self._config.guidance_scale,
            latent_shape_CHW=self.pipeline.latent_shape_CHW,
        )


class ZeroShotMethod(StableDiffusionMethod):
    """A method that trains nothing: all of it is how latents are sampled."""

    @abstractmethod
    def sample_latents(self, denoiser: Denoiser, seed: int) -> torch.Tensor:
        """Latents of a clip, float32 [T,C,H,W]."""

    def load(self, device: str) -> Session:
        """A session that makes clips from `sample_latents`."""
        return ZeroShotSession(self.config, device, self.sample_latents)


class ZeroShotSession(StableDiffusionSession):
    """The session of a method that trains nothing.

    Args:
        config: of the method.
        device: "cpu", "cuda" or "cuda:0".
        sample_latents: (denoiser, seed) -> latents [T,C,H,W]; the method itself.
        prompt_suffix: appended to every prompt after a comma; empty for none.
    """

    def __init__(
        self,
        config: PipelineConfig,
        device: str,
        sample_latents: Callable[[Denoiser, int], torch.Tensor],
        prompt_suffix: str = "",
    ) -> None:
        super().__init__(config, device)
        self._sample_latents = sample_latents
        self._prompt_suffix = prompt_suffix

    def _clip(self, sample: Sample, seed: int) -> Frames:
        import torch

        prompt = f"{sample.prompt}, {self._prompt_suffix}" if self._prompt_suffix else sample.prompt
        with torch.inference_mode():
            return self.pipeline.decode(self._sample_latents(self.denoiser(prompt), seed))
