"""Independent DDIM frames: every frame is an image of the prompt by itself. The floor.

Nothing relates the frames but the prompt, so it shows what image quality and text alignment the pretrained
model has, and what every measure of motion and consistency says about frames that have nothing to do with
each other. ZS² uses it as its baseline (arXiv 2407.21475, section 6.1, the "DDIM" row).

Frame 1 starts from the same noise as frame 1 of the other methods with the same seed (see `methods.noise`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ..stable_diffusion.ddim import Denoiser
from ..stable_diffusion.pipeline import PipelineConfig, ZeroShotMethod

if TYPE_CHECKING:
    import torch


class DdimFrames(ZeroShotMethod):
    """Independent DDIM frames, the floor: every frame is an image of the prompt by itself."""

    class Config(PipelineConfig):
        """No settings but those of the pipeline."""

    name: ClassVar[str] = "ddim-frames"
    version: ClassVar[str] = "1"

    def sample_latents(self, denoiser: Denoiser, seed: int) -> torch.Tensor:
        """Latents of a clip, float32 [T,C,H,W]."""
        from ..noise import independent_noise

        noise_TCHW = independent_noise(seed, self.config.num_frames, denoiser.latent_shape_CHW)
        return denoiser.denoise(noise_TCHW)
