"""The floor that lets everything move on: a thing keeps its speed, and what it uncovers is filled in."""

from __future__ import annotations

import numpy as np
import pytest

from reelbench.core.contracts import Method
from reelbench.core.errors import DatasetError
from reelbench.core.types import Conditioning, Frames, Sample
from reelbench.methods.prediction.constant_velocity import ConstantVelocity, extrapolate
from reelbench.methods.prediction.floors import RepeatLastFrame


def moving(num_frames: int, dx: float = 2.0, dy: float = 0.0, textured: bool = True) -> Frames:
    """A soft blob that moves over a still, textured ground."""
    rows, columns = np.mgrid[:64, :64].astype(np.float64)
    ground = 60 + 40 * np.sin(rows / 5) * np.cos(columns / 7) if textured else np.full((64, 64), 60.0)
    frames = []
    for t in range(num_frames):
        blob = np.exp(-((((columns - 16 - dx * t) ** 2 + (rows - 30 - dy * t) ** 2) / 60.0) ** 2))
        frames.append(np.stack([ground * (1 - blob) + level * blob for level in (230, 120, 40)], axis=-1))
    return np.rint(np.stack(frames)).astype(np.uint8)


def error(a: Frames, b: Frames) -> float:
    return float(((a.astype(np.float64) - b) ** 2).mean())


def test_it_keeps_the_contract() -> None:
    made: Method = ConstantVelocity(ConstantVelocity.Config())
    assert made.name == "constant-velocity"
    assert made.conditioning is Conditioning.TEXT_AND_FRAMES
    assert made.weights() == ()
    given = moving(2)
    sample = Sample(id="s", prompt="", source="v", num_context_frames=2, context=given)
    clip = next(made.load("cpu").generate([sample], None, [0]))
    assert (clip.dtype, clip.shape) == (np.uint8, (16, 64, 64, 3))
    assert np.array_equal(clip[:2], given)


@pytest.mark.parametrize(("dx", "dy"), [(2.0, 0.0), (1.5, 1.0), (2.5, -1.0)])
def test_a_moving_thing_keeps_its_velocity(dx: float, dy: float) -> None:
    truth = moving(10, dx, dy)
    predicted = extrapolate(truth[:2], 8)
    still = RepeatLastFrame(RepeatLastFrame.Config()).predict(truth[:2], 8)
    assert error(predicted, truth[2:]) < 0.35 * error(still, truth[2:])
    red = predicted[-1, ..., 0].astype(np.float64) - predicted[-1, ..., 2]
    rows, columns = np.mgrid[:64, :64]
    centre = [
        (where * red.clip(20) - 20 * where).sum() / (red.clip(20) - 20).sum() for where in (columns, rows)
    ]
    assert np.allclose(centre, [16 + dx * 9, 30 + dy * 9], atol=2.5)


def test_what_stands_still_stays_as_it_is() -> None:
    frame = moving(1)[0]
    assert np.array_equal(extrapolate(np.stack([frame, frame]), 3), np.stack([frame] * 3))


def test_what_a_thing_uncovers_is_filled_in_from_around_it() -> None:
    truth = moving(10, 3.0, textured=False)
    last = extrapolate(truth[:2], 8)[-1]
    where_it_was = last[26:35, 14:20].astype(np.float64)
    assert np.abs(where_it_was - 60).mean() < 25
    assert last.min() > 0


def test_the_number_of_threads_changes_nothing_and_is_left_as_it_was() -> None:
    import cv2

    before = cv2.getNumThreads()
    cv2.setNumThreads(2)
    try:
        many = extrapolate(moving(2), 2)
        assert cv2.getNumThreads() == 2
    finally:
        cv2.setNumThreads(before)
    assert np.array_equal(many, extrapolate(moving(2), 2))


def test_one_given_frame_or_tiny_frames_are_refused() -> None:
    ready = ConstantVelocity(ConstantVelocity.Config()).load("cpu")
    one = Sample(id="s", prompt="", source="v", num_context_frames=1, context=moving(1))
    with pytest.raises(DatasetError, match="gives 1 first frames, and constant-velocity needs at least 2"):
        next(iter(ready.generate([one], None, [0])))
    with pytest.raises(DatasetError, match="at least 16 pixels"):
        extrapolate(np.zeros((2, 8, 64, 3), np.uint8), 1)
