"""The image-to-video pipeline on a device.

Shape suffixes: T frames, H height, W width, 3 RGB.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ...core.errors import ClipRefusedError, RunFileError
from ...core.seeds import derive_seed
from ...core.types import Frames, Sample
from ..cogvideox.session import CogVideoXSession
from ..frames import fit_frames
from .given_frames import given_frames
from .image_to_video import CogVideoXImageToVideo


class ImageToVideoSession(CogVideoXSession):
    """Loads an image-to-video pipeline and makes clips that go on from the last given frame.

    Raises:
        WeightsError: the folder is not an image-to-video pipeline.
        RunFileError: `model_frames` is not 8k+1.
    """

    def __init__(self, config: CogVideoXImageToVideo.Config, device: str) -> None:
        from diffusers import (
            CogVideoXDDIMScheduler,
            CogVideoXDPMScheduler,
            CogVideoXImageToVideoPipeline,
        )

        if config.model_frames % 8 != 1:
            raise RunFileError(
                f"model_frames is {config.model_frames}; the VAE gives back 8k+1 frames after a picture",
                "change model_frames of the method in the run file to 9, 17, 25, ...",
            )
        super().__init__(config, device, kind="image")
        self._config = config
        scheduler: Any = self.pipeline.scheduler
        if config.sampler != "auto":
            kind = CogVideoXDDIMScheduler if config.sampler == "ddim" else CogVideoXDPMScheduler
            scheduler = kind.from_config(scheduler.config)
        self.diffusers: Any = CogVideoXImageToVideoPipeline(
            tokenizer=self.pipeline.tokenizer,
            text_encoder=self.pipeline.text_encoder,
            vae=self.pipeline.vae,
            transformer=self.pipeline.transformer,
            scheduler=scheduler,
        )
        self.diffusers.set_progress_bar_config(disable=True)

    @torch.no_grad()
    def _clip(self, sample: Sample, seed: int) -> Frames:
        config = self._config
        given_THW3 = given_frames(sample, "cogvideox-i2v", config.num_frames)
        pixels = fit_frames(given_THW3, self.pipeline.height, self.pipeline.width)
        clip_THW3: Frames = np.ascontiguousarray(pixels.round().to(torch.uint8).permute(0, 2, 3, 1).numpy())
        text_GLD = self.prompts(sample.prompt)
        number = 0
        while len(clip_THW3) < config.num_frames:
            window_seed = seed if number == 0 else derive_seed(seed, "window", number)
            made_THW3 = self._window(clip_THW3[-1], text_GLD, window_seed)
            if number == 0 and not config.show_given:
                # The one frame that the model was given is shown as it made it.
                clip_THW3 = np.concatenate([clip_THW3[:-1], made_THW3])
            else:
                clip_THW3 = np.concatenate([clip_THW3, made_THW3[1:]])
            number += 1
        return clip_THW3[: config.num_frames]

    def _window(self, first_HW3: Frames, text_GLD: torch.Tensor, seed: int) -> Frames:
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
