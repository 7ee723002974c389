"""Whether I3D weights are the published ones, by a number that their users have published.

Frames of one colour make every resize irrelevant, and a set of one clip has no covariance: the FVD between
an all-black and an all-white clip is the squared distance of their logits. The values below are those that a
public collection of FVD implementations prints for StyleGAN-V's TorchScript file. They were not measured
here; they hold for BatchNorm's epsilon of 1e-3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .network import I3dProgram, InceptionI3d

PUBLISHED_DISTANCES: dict[int, float] = {
    10: 569.2296,
    11: 486.3584,
    12: 551.9610,
    13: 146.3664,
    14: 172.8545,
    15: 133.7031,
    16: 152.9175,
    17: 357.7403,
    30: 151.2565,
}
"""By the number of frames. The swing shows how much the length of the clips alone moves FVD."""

_TOLERANCE = 0.002
"""Relative; TensorFlow's own value at 30 frames, 151.39, differs by 0.0009 from the port's."""


def black_and_white_distance(network: InceptionI3d | I3dProgram, num_frames: int = 10) -> float:
    """Squared distance between the logits of an all-black and an all-white clip, on the CPU.

    Args:
        network: of `i3d_weights`, with BatchNorm's epsilon 1e-3.
        num_frames: at least 9.
    """
    import torch

    from ..precision import reference_precision
    from .network import FRAME_SIDE

    with reference_precision("cpu"):
        shape = (1, 3, num_frames, FRAME_SIDE, FRAME_SIDE)
        black, white = (network(torch.full(shape, value)).double() for value in (-1.0, 1.0))
        return float(((black - white) ** 2).sum())


def agrees_with_published(distance: float, num_frames: int = 10) -> bool:
    """Whether `black_and_white_distance` gave what is published, within 0.2%.

    Raises:
        KeyError: nothing is published for this number of frames.
    """
    published = PUBLISHED_DISTANCES[num_frames]
    return abs(distance - published) <= _TOLERANCE * published
