"""Progress where there is no terminal, and on one."""

from __future__ import annotations

import io

import pytest

from reelbench.stages import progress
from reelbench.stages.progress import RunProgress
from reelbench.stages.schedule import Stage, Step


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59, "59 s"), (61, "1 min 01 s"), (3600 * 2 + 300, "2 h 05 min")]
)
def test_durations_in_words(seconds: float, text: str) -> None:
    assert progress.duration(seconds) == text


def steps_of_a_run() -> list[Step]:
    return [Step(Stage.SAMPLE, "a", 4, list), Step(Stage.EXTRACT, "a", 4, list)]


def test_a_run_says_what_there_is_to_do_and_what_became_of_it() -> None:
    stream = io.StringIO()
    sample, extract = steps_of_a_run()
    with RunProgress(lambda: 2, stream) as shown:
        shown.planned([sample, extract])
        shown.started(sample)
        sample.num_done, sample.num_failed, sample.seconds = 3, 1, 8.0
        shown.advanced(sample)
        shown.ended(sample)
    assert stream.getvalue().splitlines() == [
        "sample 0/4, extract 0/4; starting workers",
        "sample a: 4/4, 1 failed (8 s of work)",
    ]


def test_the_time_left_is_that_of_the_stages_over_the_workers() -> None:
    sample, extract = steps_of_a_run()
    other = Step(Stage.SAMPLE, "b", 6, list)
    with RunProgress(lambda: 2, io.StringIO()) as shown:
        shown.planned([sample, other, extract])
        sample.num_done, sample.seconds = 2, 6.0
        assert shown.remaining_s() is None, "nothing is known of extraction yet"
        extract.num_done, extract.seconds = 1, 1.0
        # 2 and 6 clips of 3 s, 3 inputs of 1 s, two workers.
        assert shown.remaining_s() == pytest.approx((8 * 3.0 + 3 * 1.0) / 2)


def test_a_run_with_nothing_to_do_shows_nothing() -> None:
    stream = io.StringIO()
    with RunProgress(lambda: None, stream) as shown:
        shown.planned([Step(Stage.SAMPLE, "a", 0, list)])
    assert stream.getvalue() == ""


def test_a_run_on_a_terminal_has_a_bar_for_each_step() -> None:
    stream = Terminal()
    sample, extract = steps_of_a_run()
    with RunProgress(lambda: 1, stream) as shown:
        shown.planned([sample, extract])
        shown.started(sample)
        sample.num_done, sample.seconds = 4, 4.0
        shown.advanced(sample)
        shown.ended(sample)
    assert "sample a: 4/4" in stream.getvalue()
