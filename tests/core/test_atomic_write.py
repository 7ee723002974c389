"""Files are there whole or not at all."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest

from reelbench.core.atomic_write import atomic_path, is_temporary, write_output, write_text_atomic
from reelbench.core.errors import StoreError


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


def test_what_a_user_names_is_written_through_a_link(tmp_path: Path) -> None:
    for target in (tmp_path / "mine.md", tmp_path / "new" / "made.md"):
        link = tmp_path / f"link-{target.name}"
        link.symlink_to(target)
        write_output(link, "ours")
        assert link.is_symlink()
        assert target.read_text() == "ours"


def test_a_pipe_that_a_user_names_is_written_into(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    write_output(pipe, "ours")
    reader.join()
    assert read == ["ours"]
    assert pipe.is_fifo()


def test_a_device_stays_one_and_its_error_is_told(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("/dev/null")
    write_output(link, "ours")
    assert Path("/dev/null").is_char_device()
    if not Path("/dev/full").is_char_device():
        pytest.skip("no /dev/full")
    with pytest.raises(OSError, match="No space left"):
        write_output(Path("/dev/full"), "ours")
    assert Path("/dev/full").is_char_device()


def test_an_open_stream_that_is_a_file_is_written_into(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as file:
        file.write("before\n")
        file.flush()
        write_output(Path(f"/dev/fd/{file.fileno()}"), "ours\n")
    assert (tmp_path / "log").read_text() == "before\nours\n"


def test_a_folder_is_no_output(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is a folder"):
        write_output(tmp_path, "ours")
    assert not list(tmp_path.iterdir())
