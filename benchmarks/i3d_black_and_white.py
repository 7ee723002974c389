"""Whether I3D weights are the published ones, by a number that their users have published.

    .venv/bin/python benchmarks/i3d_black_and_white.py LOCATION

Frames of one colour make every resize irrelevant, and a set of one clip has no covariance: the FVD between
an all-black and an all-white clip is the squared distance of their logits. The values below are those that a
public collection of FVD implementations prints for StyleGAN-V's TorchScript file. They were not measured
here; they hold for BatchNorm's epsilon of 1e-3.
"""

from __future__ import annotations

import sys

import numpy as np

from reelbench.metrics.extractors.i3d.i3d import I3dLogits

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


def black_and_white_distance(location: str, num_frames: int = 10) -> float:
    """Squared distance between the logits of an all-black and an all-white clip, on the CPU.

    Args:
        location: of I3D's weights, as a run file gives it.
        num_frames: at least 9.
    """
    clips = [np.full((num_frames, 224, 224, 3), value, np.uint8) for value in (0, 255)]
    extractor = I3dLogits(I3dLogits.Config(weights=location, num_frames=num_frames))
    black, white = (logits.astype(np.float64) for logits in extractor.load("cpu").extract(clips))
    return float(((black - white) ** 2).sum())


def agrees_with_published(distance: float, num_frames: int = 10) -> bool:
    """Whether `black_and_white_distance` gave what is published, within 0.2%.

    Raises:
        KeyError: nothing is published for this number of frames.
    """
    published = PUBLISHED_DISTANCES[num_frames]
    return abs(distance - published) <= _TOLERANCE * published


if __name__ == "__main__":
    for frames, expected in PUBLISHED_DISTANCES.items():
        found = black_and_white_distance(sys.argv[1], frames)
        verdict = "agrees" if agrees_with_published(found, frames) else "differs"
        print(f"{frames} frames: {found:.4f}, published {expected:.4f}: {verdict}")
