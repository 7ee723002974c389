"""The floor without motion, and what it shares with the other floor and with every prediction method."""

from __future__ import annotations

import numpy as np
import pytest

from reelbench.core.contracts import Method
from reelbench.core.errors import DatasetError, RunFileError
from reelbench.core.types import Conditioning, Frames, Sample
from reelbench.methods.prediction.floors import RepeatLastFrame
from reelbench.methods.prediction.session import roll_forward


def given(num_frames: int = 2) -> Frames:
    return np.random.default_rng(0).integers(0, 256, (num_frames, 20, 24, 3), dtype=np.uint8)


def sample(context: Frames | None) -> Sample:
    return Sample(id="s", prompt="pushing it", source="v", num_context_frames=2, context=context)


def ready(num_frames: int = 16) -> object:
    return RepeatLastFrame(RepeatLastFrame.Config(num_frames=num_frames)).load("cpu")


def test_it_keeps_the_contract() -> None:
    made: Method = RepeatLastFrame(RepeatLastFrame.Config())
    assert made.name == "repeat-last-frame"
    assert made.conditioning is Conditioning.TEXT_AND_FRAMES
    assert made.weights() == ()
    assert made.resources().num_gpus == 0
    assert made.config.num_frames == 16


def test_the_given_frames_come_first_and_the_last_one_stays() -> None:
    clip = next(ready().generate([sample(given())], None, [0]))  # type: ignore[attr-defined]
    assert clip.shape == (16, 20, 24, 3)
    assert np.array_equal(clip[:2], given())
    assert all(np.array_equal(frame, given()[1]) for frame in clip[2:])


def test_a_size_can_be_asked_for() -> None:
    config = RepeatLastFrame.Config(height=10, width=12)
    (clip,) = RepeatLastFrame(config).load("cpu").generate([sample(given())], None, [0])
    assert clip.shape == (16, 10, 12, 3)
    assert clip.dtype == np.uint8
    mean_of_four = given()[0].reshape(10, 2, 12, 2, 3).mean((1, 3))
    # Resizing by a half with antialiasing is close to, and not quite, the mean of four pixels.
    assert np.corrcoef(clip[0].ravel(), mean_of_four.ravel())[0, 1] > 0.85
    with pytest.raises(ValueError, match="height is 10 and width is None"):
        RepeatLastFrame.Config(height=10)


@pytest.mark.parametrize("context", [None, given(2)[:0]])
def test_a_sample_without_given_frames_is_refused_and_the_next_is_made(context: Frames | None) -> None:
    clips = ready().generate([sample(context), sample(given())], None, [0, 0])  # type: ignore[attr-defined]
    with pytest.raises(DatasetError, match=r"'s' gives 0 first frames, and repeat-last-frame needs"):
        next(clips)
    assert len(next(clips)) == 16


def test_nothing_left_to_predict_is_refused() -> None:
    with pytest.raises(RunFileError, match="make 2 frames, and the sample 's' gives 2"):
        next(ready(2).generate([sample(given())], None, [0]))  # type: ignore[attr-defined]


class TestRollingForward:
    def window(self, seen: list[Frames]) -> object:
        """A method of 6 frames that adds one to the last given frame, again and again."""

        def make(given_THW3: Frames, number: int) -> Frames:
            assert number == len(seen)
            seen.append(given_THW3.copy())
            more = [given_THW3[-1] + step for step in range(1, 5)]
            return np.stack([given_THW3[0] * 0, given_THW3[1] * 0, *more])

        return make

    def test_each_window_is_given_the_last_frames_so_far(self) -> None:
        first = np.arange(2, dtype=np.uint8)[:, None, None, None] * np.ones((2, 1, 1, 3), np.uint8)
        seen: list[Frames] = []
        clip = roll_forward(self.window(seen), first, 13, show_given=True)  # type: ignore[arg-type]
        assert clip[:, 0, 0, 0].tolist() == list(range(13))
        assert [frames[:, 0, 0, 0].tolist() for frames in seen] == [[0, 1], [4, 5], [8, 9]]

    @pytest.mark.parametrize(("num_frames", "windows"), [(3, 1), (6, 1), (7, 2), (10, 2), (11, 3)])
    def test_as_many_windows_as_needed_are_made(self, num_frames: int, windows: int) -> None:
        seen: list[Frames] = []
        clip = roll_forward(self.window(seen), given(2), num_frames, show_given=True)  # type: ignore[arg-type]
        assert (len(clip), len(seen)) == (num_frames, windows)

    def test_the_given_frames_may_be_shown_as_the_method_made_them(self) -> None:
        clip = roll_forward(self.window([]), given(2), 6, show_given=False)  # type: ignore[arg-type]
        assert not clip[:2].any()
