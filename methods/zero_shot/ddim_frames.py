"""Independent DDIM frames: every frame is an image of the prompt by itself. The floor.

Nothing relates the frames but the prompt, so it shows what image quality and text alignment the pretrained
model has, and what every measure of motion and consistency says about frames that have nothing to do with
each other. ZS² uses it as its baseline (arXiv 2407.21475, section 6.1, the "DDIM" row).

Frame 1 starts from the same noise as frame 1 of the other methods with the same seed (see `methods.noise`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ...core.contracts import Session
from ...core.types import Conditioning, Resources, WeightsRef
from ..stable_diffusion.config import PipelineConfig
from ..stable_diffusion.formats import STABLE_DIFFUSION

if TYPE_CHECKING:
    import torch

    from ..stable_diffusion.guidance import Denoiser


class DdimFrames:
    """Independent DDIM frames, the floor: every frame is an image of the prompt by itself."""

    class Config(PipelineConfig):
        """No settings but those of the pipeline."""

    name: ClassVar[str] = "ddim-frames"
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


def sample_latents(denoiser: Denoiser, config: DdimFrames.Config, seed: int) -> torch.Tensor:
    """Latents of a clip, float32 [T,C,H,W]."""
    from ..noise import independent_noise

    noise_TCHW = independent_noise(seed, config.num_frames, denoiser.latent_shape_CHW)
    return denoiser.denoise(noise_TCHW, denoiser.schedule.timesteps)
