"""CogVideoX image-to-video: a pretrained model that is given one frame, through diffusers' own pipeline.

Source: Yang et al., "CogVideoX" (ICLR 2025), its image-to-video models (5B and 1.5-5B; FCA compares with
CogVideoX1.5-5B-I2V); the pipeline is diffusers' CogVideoXImageToVideoPipeline, sampler and all.

It knows one given frame: the last one is the picture it starts from, frame 0 of its clip. A longer clip is
rolled forward from the last frame.

Uncertain: number of steps and guidance scale of the comparison in FCA's paper.

Shape suffixes: T frames, H height, W width, 3 RGB, G guidance halves, L text tokens, D width of the text
encoder.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field

from ...core.contracts import Method, Session
from ...core.errors import ClipRefusedError, RunFileError
from ...core.types import Conditioning, Frames, Sample, WeightsRef
from ..cogvideox.config import COGVIDEOX_I2V
from ..frames import frames_at_size, given_frames
from ..pipelines import PipelineSession
from .config import PredictionConfig

if TYPE_CHECKING:
    import torch


class ImageToVideoConfig(PredictionConfig):
    """Settings of the image-to-video pipeline."""

    base: str = "THUDM/CogVideoX1.5-5B-I2V"
    """Where the pipeline lies: a diffusers folder, a name below the weights root, or a hub id."""

    model_frames: int = Field(default=17, ge=9)
    """Frames that the model makes at once, 8k+1, the picture it starts from included. It was trained on
    49 (1.5: 81), and makes shorter clips."""


class CogVideoXImageToVideo(Method):
    """CogVideoX image-to-video: a pretrained model that is given one frame."""

    Config = ImageToVideoConfig
    name: ClassVar[str] = "cogvideox-i2v"
    version: ClassVar[str] = "1"
    conditioning: ClassVar[Conditioning] = Conditioning.TEXT_AND_FRAMES
    config: ImageToVideoConfig

    def weights(self) -> tuple[WeightsRef, ...]:
        """The image-to-video pipeline."""
        return (WeightsRef("cogvideox_i2v", self.config.base, COGVIDEOX_I2V),)

    def load(self, device: str) -> Session:
        """The image-to-video pipeline, which starts from the last given frame."""
        return ImageToVideoSession(self.config, device)


class ImageToVideoSession(PipelineSession):
    """Loads an image-to-video pipeline and makes clips that continue from the last given frame.

    Raises:
        WeightsError: the folder is not an image-to-video pipeline.
        RunFileError: `model_frames` is not 8k+1, or size or number of steps do not fit the pipeline.
    """

    def __init__(self, config: ImageToVideoConfig, device: str) -> None:
        from diffusers import CogVideoXDDIMScheduler, CogVideoXDPMScheduler, CogVideoXImageToVideoPipeline

        from ..cogvideox.pipeline import load_cogvideox

        if config.model_frames % 8 != 1:
            raise RunFileError(
                f"model_frames is {config.model_frames}; the VAE gives back 8k+1 frames after a picture",
                "change model_frames of the method in the run file to 9, 17, 25, ...",
            )
        pipeline = load_cogvideox(
            config.base,
            device=device,
            dtype=config.dtype,
            height=config.height,
            width=config.width,
            kind="image",
        )
        super().__init__(pipeline, config.guidance_scale, config.negative_prompt)
        pipeline.schedule(config.num_steps, config.sampler)  # refuses what diffusers would stumble over
        self._config = config
        scheduler: Any = pipeline.scheduler
        if config.sampler != "auto":
            kind = CogVideoXDDIMScheduler if config.sampler == "ddim" else CogVideoXDPMScheduler
            scheduler = kind.from_config(scheduler.config)
        self.diffusers: Any = CogVideoXImageToVideoPipeline(
            tokenizer=pipeline.tokenizer,
            text_encoder=pipeline.text_encoder,
            vae=pipeline.vae,
            transformer=pipeline.transformer,
            scheduler=scheduler,
        )
        self.diffusers.set_progress_bar_config(disable=True)

    def _clip(self, sample: Sample, seed: int) -> Frames:
        import torch

        from .session import roll_forward, window_seed

        config = self._config
        given_THW3 = given_frames(sample, "cogvideox-i2v", config.num_frames)
        fitted_THW3 = frames_at_size(given_THW3, self.pipeline.height, self.pipeline.width)
        with torch.no_grad():
            text_GLD = self.prompts(sample.prompt)

            def window(frames_1HW3: Frames, number: int) -> Frames:
                return self._window(frames_1HW3[0], text_GLD, window_seed(seed, number))

            # The model is given one frame; those before it are shown as they are.
            before_THW3, last_1HW3 = fitted_THW3[:-1], fitted_THW3[-1:]
            num_frames = config.num_frames - len(before_THW3)
            made_THW3 = roll_forward(window, last_1HW3, num_frames, config.show_given)
        return np.concatenate([before_THW3, made_THW3])

    def _window(self, first_HW3: Frames, text_GLD: torch.Tensor, seed: int) -> Frames:
        import torch
        from PIL import Image

        config = self._config
        pixels = self.diffusers(
            image=Image.fromarray(first_HW3),
            height=self.pipeline.height,
            width=self.pipeline.width,
            num_frames=config.model_frames,
            num_inference_steps=config.num_steps,
            guidance_scale=config.guidance_scale,
            use_dynamic_cfg=config.dynamic_guidance,
            # On the CPU, so that a clip is the same on every device.
            generator=torch.Generator("cpu").manual_seed(seed),
            prompt_embeds=text_GLD[-1:],
            negative_prompt_embeds=text_GLD[:1] if len(text_GLD) > 1 else None,
            max_sequence_length=self.pipeline.transformer.config.max_text_seq_length,
            output_type="np",
        ).frames[0]
        if not np.isfinite(pixels).all():
            raise ClipRefusedError(
                "the decoded frames hold NaN or infinity",
                "float16 overflows on some models and GPUs: set dtype to bfloat16 for the method",
            )
        return np.rint(pixels * 255).clip(0, 255).astype(np.uint8)
