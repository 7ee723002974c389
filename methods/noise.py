"""Seeded Gaussian noise that is the same on every device and in every sharding.

Noise is drawn on the CPU in float32 from a generator of its own, derived from (seed, purpose), and only then
moved. A GPU generator would give other numbers than the CPU's, and one generator for all purposes would make
a draw depend on the draws before it.

All methods take the first frame's initial noise from `initial_noise(seed, 0, shape)`, so that for one sample
and seed they start from the same tensor and a comparison between them is a paired one. The frames after it
use `initial_noise(seed, frame, shape)` where a method needs independent draws: as dependency noise turns into
independent noise (large lambda), ZS² therefore turns into exactly the noise of independent DDIM frames.
"""

from __future__ import annotations

import torch

from ..core.seeds import derive_seed


def draw(shape: tuple[int, ...], seed: int, *purpose: int | str) -> torch.Tensor:
    """Standard normal noise for one purpose.

    Args:
        shape: of the result.
        seed: the sample's seed.
        purpose: what the noise is for; other purposes give independent noise.

    Returns:
        float32 on the CPU. The global random state is neither read nor changed.
    """
    generator = torch.Generator("cpu").manual_seed(derive_seed(seed, *purpose))
    return torch.randn(shape, generator=generator, dtype=torch.float32, device="cpu")


def initial_noise(seed: int, frame: int, shape_CHW: tuple[int, int, int]) -> torch.Tensor:
    """The noise that a frame starts from, [C,H,W] float32 on the CPU; `frame` counts from 0."""
    return draw(shape_CHW, seed, "initial noise", frame)


def independent_noise(seed: int, num_frames: int, shape_CHW: tuple[int, int, int]) -> torch.Tensor:
    """Independent initial noise for every frame, [T,C,H,W] float32 on the CPU."""
    return torch.stack([initial_noise(seed, frame, shape_CHW) for frame in range(num_frames)])
