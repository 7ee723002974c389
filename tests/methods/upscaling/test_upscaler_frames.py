"""Frames at an upscaler's two sizes: shrinking, scaling, and the noise of the low resolution."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from reelbench.methods.upscaling.low_resolution import augmentation_noise, augmented, network_range, shrink


def test_shrinking_takes_the_mean_of_areas() -> None:
    clip = np.array([0, 10, 20, 31, 100, 100, 100, 103], np.uint8).reshape(1, 2, 4, 1).repeat(3, axis=3)
    # Columns 0-1 of both rows: 0, 10, 100, 100; columns 2-3: 20, 31, 100, 103.
    assert shrink(clip, 2)[0, 0, :, 0].tolist() == [52, 64]
    assert np.array_equal(shrink(clip, 1), clip)
    with pytest.raises(ValueError, match="2 by 4 pixels cannot be shrunken by 3"):
        shrink(clip, 3)


def test_the_network_sees_minus_one_to_one() -> None:
    clip = np.array([0, 255], np.uint8).reshape(1, 1, 2, 1).repeat(3, axis=3)
    assert network_range(clip)[0, 0, 0].tolist() == [-1.0, 1.0]


def test_noise_is_shared_by_all_frames_or_by_none() -> None:
    shared = augmentation_noise((4, 3, 8, 8), "shared", 1)
    assert all(torch.equal(frame, shared[0]) for frame in shared)
    each = augmentation_noise((4, 3, 8, 8), "per-frame", 1)
    assert not any(torch.equal(each[0], frame) for frame in each[1:])
    # A frame's noise does not depend on how many frames there are.
    assert torch.equal(augmentation_noise((2, 3, 8, 8), "per-frame", 1), each[:2])


def test_each_picture_has_the_noise_of_its_level() -> None:
    from diffusers import DDPMScheduler

    scheduler = DDPMScheduler(beta_start=0.0001, beta_end=0.02, beta_schedule="scaled_linear")
    pictures, noise = torch.rand(3, 3, 4, 4), torch.randn(3, 3, 4, 4)
    levels = torch.tensor([0, 20, 350])
    expected = scheduler.add_noise(pictures, noise, levels)
    torch.testing.assert_close(augmented(pictures, noise, levels, scheduler.alphas_cumprod), expected)
