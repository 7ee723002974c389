"""CogVideoX image-to-video: a pretrained model that is given one frame, through diffusers' own pipeline.

Source: Yang et al., "CogVideoX" (ICLR 2025), its image-to-video models (5B and 1.5-5B; FCA compares with
CogVideoX1.5-5B-I2V); the pipeline is diffusers' CogVideoXImageToVideoPipeline, sampler and all.

It knows one given frame, so the last one is the picture it starts from: what is predicted joins on to it, and
frame 0 of its clip is that frame. A clip longer than the model is sampled at is rolled forward from the last
frame.

Uncertain: number of steps and guidance scale of the comparison in FCA's paper.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from ...core.contracts import Session
from ...core.types import Conditioning, Resources, WeightsRef
from ..cogvideox.config import COGVIDEOX_I2V
from .config import PredictionConfig


class CogVideoXImageToVideo:
    """CogVideoX image-to-video: a pretrained model that is given one frame."""

    class Config(PredictionConfig):
        """Settings of the image-to-video pipeline."""

        base: str = "THUDM/CogVideoX1.5-5B-I2V"
        """Where the pipeline lies: a diffusers folder, a name below the weights root, or a hub id."""

        model_frames: int = Field(default=17, ge=9)
        """Frames that the model makes at once, 8k+1, the picture it starts from included. It was trained on
        49 (1.5: 81), and makes shorter clips."""

    name: ClassVar[str] = "cogvideox-i2v"
    version: ClassVar[str] = "1"
    conditioning: ClassVar[Conditioning] = Conditioning.TEXT_AND_FRAMES

    def __init__(self, config: Config) -> None:
        self.config = config

    def resources(self) -> Resources:
        """One GPU where there is one. Memory depends on the pipeline and is not known before it is loaded."""
        return Resources(num_gpus=1.0, num_cpus=1.0, vram_gib=None)

    def weights(self) -> tuple[WeightsRef, ...]:
        return (WeightsRef("cogvideox_i2v", self.config.base, COGVIDEOX_I2V),)

    def load(self, device: str) -> Session:
        from .image_to_video_session import ImageToVideoSession

        return ImageToVideoSession(self.config, device)
