"""Files are there whole or not at all."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from reelbench.core.atomic_write import atomic_path, is_temporary, write_text_atomic


def test_a_file_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "clip.mkv"
    with atomic_path(path) as temporary:
        temporary.write_text("half")
        assert not path.exists()
        assert is_temporary(temporary)
        assert temporary.suffix == ".mkv"  # encoders choose the format by it
    assert path.read_text() == "half"
    assert not is_temporary(path)


def test_a_link_is_replaced_and_not_written_through(tmp_path: Path) -> None:
    victim, path = tmp_path / "victim", tmp_path / "comparison.md"
    victim.write_text("somebody else's")
    path.symlink_to(victim)
    write_text_atomic(path, "ours")
    assert victim.read_text() == "somebody else's"
    assert not path.is_symlink()
    assert path.read_text() == "ours"


def test_an_exception_leaves_the_old_file_and_no_temporary_one(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text_atomic(path, "old")
    with pytest.raises(OSError), atomic_path(path) as temporary:  # noqa: PT012
        temporary.write_text("new")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert path.read_text() == "old"
    assert [item.name for item in tmp_path.iterdir()] == ["a.txt"]
