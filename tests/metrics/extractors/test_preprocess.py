"""Resizing under a protocol, against PIL, torch and values by hand."""

from __future__ import annotations

import numpy as np
import pytest

from reelbench.core.errors import MetricError
from reelbench.metrics.extractors.backbone import check_frames, resize_frames
from reelbench.metrics.settings import ResizeStep


def noise(t: int = 2, h: int = 60, w: int = 90, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (t, h, w, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", ["bilinear", "bicubic"])
@pytest.mark.parametrize("shape", [(60, 90), (300, 250)])
def test_antialiased_filters_are_those_of_pil(name: str, shape: tuple[int, int]) -> None:
    from PIL import Image

    frames = noise(1, *shape)
    ours = resize_frames(frames, (ResizeStep(size=128, filter=name, quantise="round"),), 128)[0].permute(
        1, 2, 0
    )
    pil = Image.fromarray(frames[0]).resize((128, 128), getattr(Image.Resampling, name.upper()))
    difference = np.abs(ours.numpy() - np.asarray(pil, dtype=np.float32))
    # PIL keeps its weights in fixed point.
    assert difference.max() <= 1
    assert difference.mean() < 0.03


def test_plain_bilinear_by_hand() -> None:
    frames = np.zeros((1, 1, 2, 3), dtype=np.uint8)
    frames[0, 0, 1] = 100
    step = ResizeStep(size=4, antialias=False)
    row = resize_frames(frames, (step,), 4)[0, 0, 0].tolist()
    assert row == pytest.approx([0, 25, 75, 100])


def test_corner_phase_by_hand() -> None:
    frames = np.zeros((1, 1, 2, 3), dtype=np.uint8)
    frames[0, 0, 1] = 100
    step = ResizeStep(size=4, antialias=False, phase="corner")
    # Samples lie at 0, 0.5, 1, 1.5; beyond the last pixel it is repeated.
    row = resize_frames(frames, (step,), 4)[0, 0, 0].tolist()
    assert row == pytest.approx([0, 50, 100, 100])


@pytest.mark.parametrize("shape", [(60, 90), (90, 60), (64, 64)])
def test_short_side_crop_keeps_the_centre(shape: tuple[int, int]) -> None:
    frames = np.zeros((1, *shape, 3), dtype=np.uint8)
    middle = (shape[0] // 2, shape[1] // 2)
    frames[:, middle[0] - 3 : middle[0] + 3, middle[1] - 3 : middle[1] + 3] = 255
    x = resize_frames(frames, (ResizeStep(geometry="short-side-crop"),), 32)[0, 0].numpy()
    assert x.shape == (32, 32)
    centre = np.array(np.unravel_index(np.argmax(x), x.shape))
    assert np.abs(centre - 15.5).max() <= 2


def test_same_size_is_untouched() -> None:
    frames = noise(2, 32, 32)
    x = resize_frames(frames, (ResizeStep(),), 32)
    np.testing.assert_array_equal(x.permute(0, 2, 3, 1).numpy(), frames)


def test_bicubic_overshoot_is_clamped_and_quantising_gives_whole_numbers() -> None:
    frames = np.zeros((1, 8, 8, 3), dtype=np.uint8)
    frames[:, :, 4:] = 255
    free = resize_frames(frames, (ResizeStep(filter="bicubic"),), 50)
    assert free.min() == 0
    assert free.max() == 255
    for how in ("round", "truncate"):
        whole = resize_frames(frames, (ResizeStep(filter="bicubic", quantise=how),), 50)
        assert (whole == whole.round()).all()
    assert (free != free.round()).any()


def test_steps_are_applied_in_order() -> None:
    frames = noise(1, 100, 140)
    two = (ResizeStep(size=64, geometry="short-side-crop", quantise="truncate"), ResizeStep(antialias=False))
    x = resize_frames(frames, two, 56)
    assert tuple(x.shape) == (1, 3, 56, 56)
    middle = resize_frames(frames, two[:1], 56).permute(0, 2, 3, 1).numpy().astype(np.uint8)
    assert (x == resize_frames(middle, two[1:], 56)).all()


def test_a_frame_does_not_depend_on_the_others() -> None:
    frames = noise(5, 60, 90)
    steps = (ResizeStep(),)
    whole = resize_frames(frames, steps, 224)
    for t in range(5):
        assert (resize_frames(frames[t : t + 1], steps, 224)[0] == whole[t]).all()


def test_read_only_and_strided_frames_are_taken() -> None:
    frames = noise(4)[::2, :, ::-1]
    frozen = np.ascontiguousarray(frames)
    frozen.flags.writeable = False
    assert (resize_frames(frames, (ResizeStep(),), 8) == resize_frames(frozen, (ResizeStep(),), 8)).all()


@pytest.mark.parametrize(
    "frames",
    [
        np.zeros((4, 8, 8, 3), np.float32),
        np.zeros((8, 8, 3), np.uint8),
        np.zeros((4, 8, 8, 4), np.uint8),
        np.zeros((4, 0, 8, 3), np.uint8),
    ],
)
def test_what_is_not_a_clip_is_refused(frames: np.ndarray) -> None:
    with pytest.raises(MetricError):
        check_frames(frames)
