"""Frames of an upscaler's two sizes: shrunken by area, scaled for the network, and made noisy.

Noise augmentation: Ho et al., "Cascaded Diffusion Models for High Fidelity Image Generation" (JMLR 2022),
section 4.2, in the form that latent upscalers have in diffusers: the low-resolution picture gets the noise of
a DDPM schedule of its own at some level, and the network is told the level as a class label.

Shape suffixes: T frames, B pictures, H, W height and width, h, w those of the low resolution, 3 RGB.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch

from ...core.types import Frames
from ..noise import draw

LowResNoise = Literal["shared", "per-frame"]
"""Whether all frames of a clip get the same augmentation noise or each its own."""


def shrink(frames_THW3: Frames, factor: int) -> Frames:
    """Frames at 1/factor of their size, each pixel the mean of its area, uint8 [T,H/factor,W/factor,3].

    Raises:
        ValueError: the size is no multiple of the factor.
    """
    num_frames, height, width, _ = frames_THW3.shape
    if height % factor or width % factor:
        raise ValueError(f"frames of {height} by {width} pixels cannot be shrunken by {factor}")
    areas = frames_THW3.reshape(num_frames, height // factor, factor, width // factor, factor, 3)
    return np.rint(areas.mean(axis=(2, 4), dtype=np.float64)).astype(np.uint8)


def network_range(frames_Thw3: Frames) -> torch.Tensor:
    """uint8 frames as the networks take them, float32 [T,3,h,w] in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(frames_Thw3)).permute(0, 3, 1, 2).float() / 127.5 - 1


def augmentation_noise(shape_T3hw: Sequence[int], kind: LowResNoise, seed: int) -> torch.Tensor:
    """Standard normal noise for a low-resolution clip, float32 [T,3,h,w] on the CPU."""
    num_frames, *shape = shape_T3hw
    if kind == "shared":
        one = draw((1, *shape), seed, "low-resolution noise")
        return one.expand(num_frames, *shape).clone()
    return torch.cat([draw((1, *shape), seed, "low-resolution noise", i) for i in range(num_frames)])


def augmented(
    low_res_B3hw: torch.Tensor, noise_B3hw: torch.Tensor, level_B: torch.Tensor, alphas_cumprod: torch.Tensor
) -> torch.Tensor:
    """Low-resolution pictures with noise at their levels, [B,3,h,w].

    Args:
        low_res_B3hw: in [-1, 1].
        noise_B3hw: standard normal.
        level_B: timestep of the low-resolution schedule of each picture, int64.
        alphas_cumprod: of that schedule.
    """
    abar_B = alphas_cumprod.to(low_res_B3hw.device)[level_B].to(low_res_B3hw.dtype).view(-1, 1, 1, 1)
    return abar_B.sqrt() * low_res_B3hw + (1 - abar_B).sqrt() * noise_B3hw
