"""Who is at work on a file is told by its lock."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from reelbench.core.held_files import delete_unless_held, file_system_time, hold, is_held


def test_a_file_is_held_while_the_block_lasts_and_by_one_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    with hold(path) as ours:
        assert ours
        assert is_held(path)
        with hold(path, wait=False) as second:
            assert not second
        assert not delete_unless_held(path, unlockable=True)
    assert is_held(path) is False
    with hold(path, wait=False) as ours:
        assert ours
    assert delete_unless_held(path, unlockable=False)
    assert not path.exists()


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with pytest.raises(OSError, match="symbolic links"), hold(tmp_path / "link"):
        pass
    assert not (tmp_path / "target").exists()


def test_the_file_systems_clock_is_not_this_machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = file_system_time(tmp_path)
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert file_system_time(tmp_path) >= before > 0
    assert list(tmp_path.iterdir()) == []
