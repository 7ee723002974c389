"""Training an upscaler's adapters on videos: an image upscaler learns to enlarge clips.

Source: Xing et al., "SimDA" (CVPR 2024), section 3.4: the adapters alone are trained, on the image upscaler's
own objective, with the low-resolution clip concatenated frame by frame under noise of a random level. How the
levels are drawn, whether frames share that noise, and all other settings of the published training are not
known.

The loop, the checkpoints, the drawing of batches and the adapters' file are those of
`methods.training.adapters`; what differs is that the UNet sees the low-resolution clip of its batch. Its
noise and level, too, are drawn from (seed, step, place in the batch).

Shape suffixes: G clips, T frames, B = G*T, h, w height and width of the low resolution, 3 RGB.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from pydantic import Field

from ...core.errors import RunFileError
from ...core.seeds import derive_seed, generator
from ...core.types import Frames
from ..adapters.adapters import Adapters
from ..pipelines import GuidedPrompts
from ..upscaling.low_resolution import augmentation_noise, augmented, network_range
from ..upscaling.pipeline import UpscalePipeline
from ..upscaling.upscaler import LatentUpscaler, upscale_clip
from .adapter_clips import UpscalingClips
from .adapters import PreviewConfig, VideoTraining
from .schedule import TrainingConfig


class UpscalerTrainingConfig(TrainingConfig):
    """Settings of a training of an upscaler's adapters."""

    max_noise_level: int | None = Field(default=None, ge=0)
    """Levels of the low resolution's noise are drawn from 0 to this, evenly, one for each clip; None is the
    highest level that the upscaler knows."""

    low_res_noise: Literal["shared", "per-frame"] = "per-frame"
    """Whether all frames of a clip get the same augmentation noise or each its own."""


@dataclass(frozen=True, kw_only=True)
class UpscalerPreview(PreviewConfig):
    """What is shown of a training now and then.

    Attributes:
        clips: low-resolution clips, uint8 [T,h,w,3], one for each prompt.
        noise_level: of their augmentation.
    """

    clips: tuple[Frames, ...] = ()
    noise_level: int = 20


class UpscalerTraining(VideoTraining):
    """One training of an upscaler's adapters: its objects, where it stands, its files.

    Args:
        pipeline: the frozen image upscaler, at the size of the clips. With `precision` float32 it must be
            loaded in float32.
        adapters: for its network, fresh or from a file; trained in place.
        clips, config, work, preview: as of `Training`.

    Raises:
        RunFileError: the clips are of another size than the pipeline, the upscaler does not know the noise
            level, or the work folder holds another training.
    """

    pipeline: UpscalePipeline
    clips: UpscalingClips
    config: UpscalerTrainingConfig

    def __init__(
        self,
        pipeline: UpscalePipeline,
        adapters: Adapters,
        clips: UpscalingClips,
        config: UpscalerTrainingConfig,
        work: Path,
        preview: UpscalerPreview | None = None,
    ) -> None:
        found = tuple(clips.latents(0).shape[1:])
        if found != pipeline.latent_shape_CHW:
            raise RunFileError(
                f"the clips' latents are {list(found)}, the pipeline is at {list(pipeline.latent_shape_CHW)}",
                "encode the clips with the same upscaler at the same size",
            )
        highest = config.max_noise_level
        self._max_level = pipeline.checked_level(pipeline.max_noise_level if highest is None else highest)
        self._low_res_alphas = torch.tensor(pipeline.low_res_alphas_cumprod)
        super().__init__(pipeline, adapters, clips, config, work, preview)

    @contextlib.contextmanager
    def _attached(self, prompts: Sequence[str]) -> Iterator[None]:
        """The adapters in the network, and the low resolution of this step's batch in place."""
        pipeline, config, accelerator = self.pipeline, self.config, self.accelerator
        batch, mine = self._batch(), self._mine()
        levels = generator(config.seed, "low-resolution levels", self.step).integers(
            self._max_level + 1, size=config.batch_size
        )
        pictures, noises = [], []
        for place in mine:
            pictures.append(network_range(self.clips.low_res(batch.clips[place]).numpy()))
            seed = derive_seed(config.seed, "low-resolution training noise", self.step, place)
            noises.append(augmentation_noise(pictures[-1].shape, config.low_res_noise, seed))
        level_B = torch.from_numpy(levels[list(mine)]).repeat_interleave(self._num_frames)
        low_res_B3hw = augmented(torch.cat(pictures), torch.cat(noises), level_B, self._low_res_alphas)
        _, height, width = pipeline.latent_shape_CHW
        network, device = pipeline.unet.network, accelerator.device
        with (
            pipeline.unet.conditioned(low_res_B3hw.to(device), level_B.to(device)),
            self.adapters.attached(network, self._num_frames, height, width, prompts),
        ):
            yield

    @torch.no_grad()
    def sample(self, prompts: Sequence[str], num_steps: int, guidance_scale: float) -> list[Frames]:
        """The preview's clips, enlarged with the averaged adapters; the seed of a clip is its number."""
        assert isinstance(self.preview, UpscalerPreview)
        settings = LatentUpscaler.Config(
            num_steps=num_steps,
            guidance_scale=guidance_scale,
            noise_level=self.preview.noise_level,
            low_res_noise=self.config.low_res_noise,
        )
        guided = GuidedPrompts(self.pipeline, guidance_scale, settings.negative_prompt)
        made = []
        with self._averaged(), self.accelerator.autocast(), self._attention():
            for number, (prompt, clip) in enumerate(zip(prompts, self.preview.clips, strict=True)):
                made.append(
                    upscale_clip(self.pipeline, self.adapters, settings, guided, clip, prompt, number)
                )
        return made
