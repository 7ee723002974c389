"""The frames of a reference that a method takes."""

from __future__ import annotations

from typing import Any

import pytest

from reelbench.core.errors import VideoError
from reelbench.core.frame_choice import chosen_frames


def test_frames_of_the_published_settings() -> None:
    assert chosen_frames(80, 24, "stride", 0, 2) == list(range(0, 48, 2))
    assert chosen_frames(186, 32, "uniform", 0, 2)[::31] == [0, 185]
    assert len(set(chosen_frames(32, 32, "uniform", 0, 2))) == 32
    assert chosen_frames(10, 3, "stride", 4, 2) == [4, 6, 8]


@pytest.mark.parametrize(
    ("available", "choice", "message"),
    [(46, "stride", "46 frames; 24 frames at stride 2 from frame 0 on need 47"), (23, "uniform", "need 24")],
)
def test_a_reference_that_is_too_short_is_refused(available: int, choice: Any, message: str) -> None:
    with pytest.raises(VideoError, match=message):
        chosen_frames(available, 24, choice, 0, 2)
