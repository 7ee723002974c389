"""Progress where there is no terminal, and on one."""

from __future__ import annotations

import io

import pytest

from reelbench.evaluation import progress
from reelbench.evaluation.progress import EvaluationProgress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_counts_and_failures_are_said_at_the_end() -> None:
    stream = io.StringIO()
    with EvaluationProgress("sample a/b", 8, stream) as stage:
        stage.advance(3, 1)
        stage.advance(4, 0)
    assert stream.getvalue().splitlines() == ["sample a/b: 8 to do", "sample a/b: 8/8, 1 failed in 0 s"]


def test_a_line_now_and_then_with_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    stream = io.StringIO()
    with EvaluationProgress("sample", 10, stream) as stage:
        assert stage.remaining_s() is None
        for _ in range(5):
            now[0] += 6.0
            stage.advance(1, 0)
        assert stage.remaining_s() == pytest.approx(30.0)
    lines = stream.getvalue().splitlines()
    assert lines[1:-1] == ["sample: 2/10, about 48 s left", "sample: 4/10, about 36 s left"]


def test_a_terminal_gets_a_bar() -> None:
    stream = Terminal()
    with EvaluationProgress("sample [x]", 2, stream) as stage:
        stage.advance(1, 1)
    shown = stream.getvalue()
    assert "sample [x]" in shown
    assert "2/2" in shown
    assert "1 failed" in shown
