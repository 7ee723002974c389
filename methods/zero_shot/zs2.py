"""ZS²: dependency noise and temporal momentum attention on a text-to-image model, without training.

Source: "Fine-gained Zero-shot Video Sampling" (arXiv 2407.21475).

1. Dependency noise (section 3): the initial noise of a frame resembles that of the frame before it by lambda.
2. Temporal momentum attention (section 4.1): self-attention looks at a running mean of the keys and values of
   the frames so far, with momentum mu.
3. DDIM on all frames together. One frame is plain DDIM (section 5), here bit for bit.

lambda = 0.01 and mu = 0.98 are the paper's (section 6.1). Number of steps and guidance scale are not given in
the paper: 50 and 7.5 are assumed, as Stable Diffusion is commonly run.

Deviations: alpha has a closed form here by default (`methods.zero_shot.dependency_noise` says why, and what the
two-stage search does differently); the paper's matrix form of attention is followed, not the pseudocode's
(`methods.stable_diffusion.attention`). The paper makes 8 frames, the default here is 16. Chaining of chunks into longer videos
is left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import AliasChoices, Field, model_validator

from ...core.contracts import Session
from ...core.types import Conditioning, Resources, WeightsRef
from ..stable_diffusion.config import PipelineConfig
from ..stable_diffusion.formats import STABLE_DIFFUSION

if TYPE_CHECKING:
    import torch

    from ..stable_diffusion.guidance import Denoiser

Momentum = Annotated[float, Field(ge=0.0, le=1.0)]


class Zs2:
    """ZS²: dependency noise and temporal momentum attention on a text-to-image model, without training."""

    class Config(PipelineConfig):
        """Settings of ZS². `num_steps` 50 and `guidance_scale` 7.5 are assumed; the paper names neither."""

        # `lambda` is a keyword of Python but not of YAML: run files may write either.
        lambda_: float = Field(
            default=0.01, ge=0.0, allow_inf_nan=False, validation_alias=AliasChoices("lambda_", "lambda")
        )
        """Divergence between the noise of neighbouring frames: 0 is one noise, 1.65 and more independent."""

        mu: Momentum | tuple[Momentum, ...] = 0.98
        """Momentum, one for all frames or one for each from the second on: 0 is plain self-attention, 1 looks
        at frame 1 only."""

        noise: Literal["closed-form", "two-stage-search"] = "closed-form"
        """How alpha is found: solved for, or searched for as the paper does."""

        search_variant: Literal["paper", "pseudocode"] = "paper"
        """Algorithm 1 of the paper or the authors' listing; they differ in the steps of the search."""

        search_precision: Literal["float32", "float64"] = "float32"
        """Number format in which the search computes."""

        search_draws: int = Field(default=10, ge=1)
        """Draws of the search's random stage."""

        search_iterations: int = Field(default=15, ge=1)
        """Iterations of the search's linear stage."""

        @model_validator(mode="after")
        def _one_mu_for_each_frame(self) -> Self:
            if isinstance(self.mu, tuple) and len(self.mu) != self.num_frames - 1:
                raise ValueError(
                    f"mu has {len(self.mu)} values for {self.num_frames} frames; allowed: one number, or "
                    f"{self.num_frames - 1} (for the second frame to the last)"
                )
            return self

    name: ClassVar[str] = "zs2"
    version: ClassVar[str] = "1"
    conditioning: ClassVar[Conditioning] = Conditioning.TEXT

    def __init__(self, config: Config) -> None:
        self.config = config

    def resources(self) -> Resources:
        """One GPU where there is one. Memory depends on the pipeline and is not known before it is loaded."""
        return Resources(num_gpus=1.0, num_cpus=1.0, vram_gib=None)

    def weights(self) -> tuple[WeightsRef, ...]:
        return (WeightsRef("pipeline", self.config.weights, STABLE_DIFFUSION),)

    def load(self, device: str) -> Session:
        from ..stable_diffusion.session import TextToVideoSession

        return TextToVideoSession(self.config, device, sample_latents)


def sample_latents(denoiser: Denoiser, config: Zs2.Config, seed: int) -> torch.Tensor:
    """Latents of a clip, float32 [T,C,H,W]."""
    import torch

    from ..stable_diffusion.attention import TemporalMomentumAttention, self_attention
    from .dependency_noise import dependency_noise

    noise_TCHW = dependency_noise(
        seed,
        config.num_frames,
        denoiser.latent_shape_CHW,
        config.lambda_,
        kind=config.noise,
        variant=config.search_variant,
        num_draws=config.search_draws,
        num_iterations=config.search_iterations,
        dtype=torch.float64 if config.search_precision == "float64" else torch.float32,
    )
    with self_attention(denoiser.unet, TemporalMomentumAttention(config.num_frames, config.mu)):
        return denoiser.denoise(noise_TCHW, denoiser.schedule.timesteps)
