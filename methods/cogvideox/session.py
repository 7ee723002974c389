"""From a prompt to a clip of CogVideoX: guidance, the sampling loop, and the session that runs it.

One clip is one batch (times the guidance halves), so a clip depends on its sample and seed alone.

Shape suffixes: T frames, F latent frames, C latent channels, H, W height and width, 3 RGB, G guidance halves
(2 with guidance, 1 without), L text tokens, D width of the text encoder.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from ...core.types import Frames, Sample
from ..noise import draw, independent_noise
from ..pipelines import PipelineSession
from .config import CogVideoXConfig
from .pipeline import CogVideoX, load_cogvideox
from .schedule import VideoSchedule

Predict = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
"""(latents [G,F,C,H,W], timestep [G], text [G,L,D]) -> prediction [G,F,C,H,W]: a transformer, whatever is
attached to it."""


@dataclass(frozen=True)
class Guidance:
    """Classifier-free guidance.

    Attributes:
        scale: at least 1; 1 switches it off.
        dynamic: whether the scale rises over the run from 1 to 1 + `scale`, as 1 + scale (1 - cos(pi s^5)) /
            2 with s the share of steps that are done. CogVideoX's own sampling has this. diffusers puts the
            training timestep where the number of the step belongs, and its scale jumps about.
    """

    scale: float = 6.0
    dynamic: bool = False

    def at(self, index: int, num_steps: int) -> float:
        """The scale in the step with this number, from 0."""
        if not self.dynamic:
            return self.scale
        return 1 + self.scale * (1 - math.cos(math.pi * (index / num_steps) ** 5)) / 2


@torch.no_grad()
def denoise(
    predict: Predict,
    schedule: VideoSchedule,
    noise_FCHW: torch.Tensor,
    text_GLD: torch.Tensor,
    guidance: Guidance,
    seed: int,
) -> torch.Tensor:
    """Sample latents, float32 [F,C,H,W] on the device of the text.

    Args:
        predict: the transformer.
        schedule: timesteps and sampler.
        noise_FCHW: the state to start from, on any device; F a multiple of the patch size over time.
        text_GLD: embeddings of (negative prompt, prompt), or of the prompt alone when the scale is 1.
        guidance: how the two predictions are combined.
        seed: of the noise that the sampler "dpm" adds.
    """
    assert text_GLD.shape[0] == (2 if guidance.scale > 1 else 1)
    device = text_GLD.device
    latents_FCHW = noise_FCHW.to(device, torch.float32)
    earlier_clean: torch.Tensor | None = None
    for index, timestep in enumerate(schedule.timesteps):
        batch_GFCHW = latents_FCHW.expand(text_GLD.shape[0], -1, -1, -1, -1)
        timestep_G = torch.full((text_GLD.shape[0],), timestep, device=device)
        prediction = predict(batch_GFCHW, timestep_G, text_GLD).float()
        if guidance.scale > 1:
            scale = guidance.at(index, len(schedule.timesteps))
            combined = prediction[0] + scale * (prediction[1] - prediction[0])
        else:
            combined = prediction[0]
        clean = schedule.clean(combined, latents_FCHW, timestep)
        added = None
        if schedule.sampler == "dpm":
            added = draw(tuple(noise_FCHW.shape), seed, "sampler noise", index).to(device)
        latents_FCHW = schedule.step(index, clean, latents_FCHW, earlier_clean, added)
        earlier_clean = clean
    return latents_FCHW


def initial_latents(seed: int, shape_FCHW: tuple[int, int, int, int]) -> torch.Tensor:
    """The noise that a clip starts from, [F,C,H,W] float32 on the CPU: one draw for each latent frame, so
    that a longer clip starts from the same noise and more."""
    num_latents, *shape_CHW = shape_FCHW
    return independent_noise(seed, num_latents, (shape_CHW[0], shape_CHW[1], shape_CHW[2]))


def sample_clip(
    pipeline: CogVideoX,
    predict: Predict,
    schedule: VideoSchedule,
    text_GLD: torch.Tensor,
    guidance: Guidance,
    num_frames: int,
    seed: int,
) -> Frames:
    """A clip from noise, uint8 [num_frames,H,W,3]: one of the next valid length is sampled, and cut.

    Args:
        predict: the pipeline's transformer, whatever is attached to it.
        seed: of all noise.

    Raises:
        ClipRefusedError: the clip holds NaN.
    """
    num_latents, *shape_CHW = pipeline.latent_shape_FCHW(num_frames)
    padding = pipeline.padding(num_latents)
    noise = initial_latents(seed, (num_latents + padding, shape_CHW[0], shape_CHW[1], shape_CHW[2]))
    latents_FCHW = denoise(predict, schedule, noise, text_GLD, guidance, seed)
    return pipeline.decode(latents_FCHW[padding:])[:num_frames]


class CogVideoXSession(PipelineSession):
    """Loads a pipeline and makes clips from text; methods that are given frames derive from it.

    Args:
        config: of the method.
        device: "cpu", "cuda" or "cuda:0".

    Raises:
        WeightsError: the folder is not such a pipeline.
        RunFileError: size or number of steps do not fit the pipeline.
    """

    pipeline: CogVideoX

    def __init__(self, config: CogVideoXConfig, device: str) -> None:
        pipeline = load_cogvideox(
            config.base, device=device, dtype=config.dtype, height=config.height, width=config.width
        )
        super().__init__(pipeline, config.guidance_scale, config.negative_prompt)
        self.config = config
        self.schedule = pipeline.schedule(config.num_steps, config.sampler)
        self.guidance = Guidance(config.guidance_scale, config.dynamic_guidance)

    @torch.no_grad()
    def _clip(self, sample: Sample, seed: int) -> Frames:
        text_GLD, num_frames = self.prompts(sample.prompt), self.config.num_frames
        predict = self.pipeline.predict
        return sample_clip(self.pipeline, predict, self.schedule, text_GLD, self.guidance, num_frames, seed)
