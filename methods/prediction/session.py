"""A predictor with its pipeline on a device: clips that begin with the given frames.

FCA's paper does not tell how the given frames become latents. The VAE merges four frames into one latent
frame, which has seen frames that were to be predicted (a test shows it). So the given frames are encoded by
themselves, in one of three ways:

- "each" (default): every frame as a clip, and so a latent frame, of its own; the motion so far is plain.
- "repeat": as one clip, filled up with the last frame to a length that the VAE gives back; kept are the
  latent frames that hold a given frame. 2 frames are 1 latent frame, of frames 0, 1, 1, 1.
- "together": as one clip of the frames that there are. 2 frames are 1 latent frame, of frames 0 and 1 alone;
  the VAE was trained on 1, 8k and 8k+1 frames, not on this.

Shape suffixes: T frames, F latent frames, C latent channels, H height, W width, 3 RGB, G guidance halves, L
text tokens, D width of the text encoder.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from ...core.seeds import derive_seed
from ...core.types import Frames, Sample
from ..cogvideox.pipeline import FRAMES_PER_LATENT, CogVideoX
from ..cogvideox.schedule import VideoSchedule
from ..cogvideox.session import CogVideoXSession, Guidance, sample_clip
from ..frames import frames_at_size, given_frames
from .config import ContextEncoding, PredictionConfig
from .predictor import Predictor

Window = Callable[[Frames, int], Frames]
"""(given frames, number of the window from 0) -> a clip that begins with its version of the given frames."""


def encode_given(pipeline: CogVideoX, given_THW3: Frames, how: ContextEncoding) -> torch.Tensor:
    """Latents of the given frames (uint8, any size), float32 [F,C,H,W]; the mean of the VAE's posterior."""
    if how == "each":
        return torch.cat([pipeline.encode(frame_HW3[None]) for frame_HW3 in given_THW3])
    if how == "together":
        return pipeline.encode_as_is(given_THW3)
    return pipeline.encode(given_THW3)[: -(-len(given_THW3) // FRAMES_PER_LATENT)]


def roll_forward(window: Window, given_THW3: Frames, num_frames: int, show_given: bool) -> Frames:
    """A clip of any length by a method that makes shorter ones: each window is given the last frames so far.

    Args:
        window: the method; makes more frames than it is given.
        given_THW3: the first frames, of the size that the method makes.
        num_frames: of the result.
        show_given: whether the result begins with the given frames themselves, or with what the method made
            of them. The first window of a rolled prediction sees the given frames either way.

    Returns:
        uint8 [num_frames,H,W,3].
    """
    num_given = len(given_THW3)
    clip_THW3 = window(given_THW3, 0)
    if show_given:
        clip_THW3 = np.concatenate([given_THW3, clip_THW3[num_given:]])
    number = 1
    while len(clip_THW3) < num_frames:
        more_THW3 = window(clip_THW3[-num_given:], number)
        clip_THW3 = np.concatenate([clip_THW3, more_THW3[num_given:]])
        number += 1
    return clip_THW3[:num_frames]


def window_seed(seed: int, number: int) -> int:
    """The seed of a window of a rolled prediction; the first one's is that of the clip."""
    return seed if number == 0 else derive_seed(seed, "window", number)


@torch.no_grad()
def predicted_clip(
    predictor: Predictor,
    given_THW3: Frames,
    text_GLD: torch.Tensor,
    schedule: VideoSchedule,
    guidance: Guidance,
    seed: int,
    num_frames: int | None = None,
    show_given: bool = True,
) -> Frames:
    """A clip that continues from the given frames, uint8 [num_frames,H,W,3].

    A clip that is longer than one pass is rolled forward (`roll_forward`). The first pass starts from the
    same noise as the base does for this seed, so that a comparison is a paired one.

    Args:
        given_THW3: of any size; resized and cropped to the pipeline's.
        text_GLD: embeddings of (negative prompt, prompt), or of the prompt alone without guidance.
        schedule, guidance: of the sampling.
        seed: of the noise.
        num_frames: of the result; None is one pass.
        show_given: whether the given frames themselves are shown in the result.
    """
    pipeline = predictor.pipeline

    def window(frames_THW3: Frames, number: int) -> Frames:
        context = encode_given(pipeline, frames_THW3, predictor.context_encoding)
        with predictor.given(context.expand(text_GLD.shape[0], *context.shape), text_GLD):
            return sample_clip(
                pipeline,
                predictor,
                schedule,
                text_GLD,
                guidance,
                predictor.num_frames,
                window_seed(seed, number),
            )

    fitted_THW3 = frames_at_size(given_THW3, pipeline.height, pipeline.width)
    return roll_forward(window, fitted_THW3, num_frames or predictor.num_frames, show_given)


class PredictionSession(CogVideoXSession):
    """Loads a pipeline and makes clips of any length that begin with the given frames.

    Args:
        name, config: of the method.
        make: a predictor on the pipeline.

    Raises:
        WeightsError: the pipeline or the trained parameters are missing, or do not fit each other.
    """

    config: PredictionConfig

    def __init__(
        self, name: str, config: PredictionConfig, device: str, make: Callable[[CogVideoX], Predictor]
    ) -> None:
        super().__init__(config, device)
        self._name = name
        predictor = make(self.pipeline).to(self.pipeline.device, self.pipeline.dtype)
        self.predictor = predictor.requires_grad_(False).eval()
        self.trainable_parameters = predictor.num_parameters

    @torch.no_grad()
    def _clip(self, sample: Sample, seed: int) -> Frames:
        config = self.config
        given_THW3 = given_frames(sample, self._name, min(config.num_frames, self.predictor.num_frames))
        return predicted_clip(
            self.predictor,
            given_THW3,
            self.prompts(sample.prompt),
            self.schedule,
            self.guidance,
            seed,
            config.num_frames,
            config.show_given,
        )
