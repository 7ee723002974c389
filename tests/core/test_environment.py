"""Environment variables for a while."""

from __future__ import annotations

import os

import pytest

from reelbench.core.environment import changed_environment


def test_variables_are_as_they_were_afterwards_also_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REELBENCH_TEST_OLD", "old")
    monkeypatch.delenv("REELBENCH_TEST_NEW", raising=False)

    def fails_inside() -> None:
        with changed_environment({"REELBENCH_TEST_OLD": "1", "REELBENCH_TEST_NEW": "2"}):
            assert (os.environ["REELBENCH_TEST_OLD"], os.environ["REELBENCH_TEST_NEW"]) == ("1", "2")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fails_inside()
    assert os.environ["REELBENCH_TEST_OLD"] == "old"
    assert "REELBENCH_TEST_NEW" not in os.environ
