"""How the given frames become latents: a decision that FCA's paper does not tell.

The VAE merges four frames into one latent frame, so two given frames are no clean slice of a 16-frame clip's
latents: latent frame 0 holds frames 0 to 3, and whoever slices it has seen two frames that were to be
predicted (a test shows it). The given frames are therefore always encoded by themselves, in one of three
ways:

- "each" (default): every frame as a clip of one frame, which the VAE makes one latent frame of. k frames are
  k latent frames, nothing is merged, and the order of the frames, the motion so far, is plain to see.
- "repeat": as one clip, filled up with the last frame to a length that the VAE gives back; kept are the
  latent frames that hold a given frame. 2 frames are 1 latent frame, of frames 0, 1, 1, 1.
- "together": as one clip of the frames that there are. 2 frames are 1 latent frame, of frames 0 and 1 alone;
  the VAE was trained on 1, 8k and 8k+1 frames, not on this.
"""

from __future__ import annotations

import torch

from ...core.types import Frames
from ..cogvideox.pipeline import FRAMES_PER_LATENT, CogVideoX
from .fca_config import ContextEncoding


def encode_given(pipeline: CogVideoX, given_THW3: Frames, how: ContextEncoding) -> torch.Tensor:
    """Latents of the given frames, float32 [F,C,H,W]; the mean of the VAE's posterior.

    Args:
        pipeline: whose VAE is used.
        given_THW3: uint8, at least one frame, of any size.
        how: see the module's docstring.
    """
    if how == "each":
        return torch.cat([pipeline.encode(frame_HW3[None]) for frame_HW3 in given_THW3])
    if how == "together":
        return pipeline.encode_as_is(given_THW3)
    return pipeline.encode(given_THW3)[: -(-len(given_THW3) // FRAMES_PER_LATENT)]
