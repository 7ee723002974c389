"""Files that are there whole or not at all.

Written to a temporary name in the same folder, synced, then renamed: a kill or a full disk leaves
the old file or none, never half of the new one. A temporary file is held (`held_files`) for as long as
its writer lives, so `delete_if_abandoned` knows which ones a killed process left.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

from .errors import StoreError
from .held_files import delete_unless_held, hold, this_boot

_TEMPORARY = re.compile(r"\..*\.(?P<boot>[0-9a-f]{8}|\d+)-[0-9a-f]{8}\.tmp(\.[^.]*)?", re.DOTALL)
"""The names that `atomic_path` makes; earlier ones had the process id in the place of the boot."""

_FORGOTTEN_S = 86400.0


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path to write to; renamed to `path` when the block ends without an exception.

    The temporary name keeps the suffix of `path` before `.tmp`'s place, since encoders choose
    the format by suffix: `.<stem>.<boot>-<unique>.tmp<suffix>`. The file is there already, empty and held.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{this_boot()}-{uuid.uuid4().hex[:8]}.tmp{path.suffix}")
    try:
        with hold(temporary):
            yield temporary
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
        _sync_folder(path.parent)
    finally:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()


@contextlib.contextmanager
def output_path(path: Path) -> Iterator[Path]:
    """As `atomic_path`, for a file that a user names: what is no regular file is never replaced by one.

    Through a link its target is replaced, not the link; a device, a pipe and an open stream (/dev/stdout) are
    written into when the block ends.

    Raises:
        StoreError: it is a folder.
        OSError: it cannot be written.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        mode = stat.S_IFREG
    if stat.S_ISDIR(mode):
        raise StoreError(f"{str(path)!r} is a folder", f"name a file in it: {path / 'NAME'}")
    if stat.S_ISREG(mode) and not _is_stream(path):
        with atomic_path(Path(os.path.realpath(path))) as temporary:
            yield temporary
        return
    with tempfile.TemporaryDirectory(prefix="reelbench-") as folder:
        whole = Path(folder) / f"output{path.suffix}"
        whole.touch()
        yield whole
        with whole.open("rb") as source, path.open("ab") as target:
            shutil.copyfileobj(source, target)


def _is_stream(path: Path) -> bool:
    """Whether it stands for a stream of this process, which may be a file that others write to as well."""
    names = [path, path.readlink()] if path.is_symlink() else [path]
    return any(re.fullmatch(r"(/proc/(self|\d+)|/dev)/fd/\d+", str(name)) for name in names)


def write_bytes_atomic(path: Path, data: bytes) -> None:
    """Write `data` to `path` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_text_atomic(path: Path, text: str) -> None:
    """Write `text` (UTF-8) to `path` atomically."""
    write_bytes_atomic(path, text.encode())


def write_output(path: Path, data: str | bytes) -> None:
    """Write a file that a user named, text as UTF-8, see `output_path`."""
    with output_path(path) as temporary:
        temporary.write_bytes(data.encode() if isinstance(data, str) else data)


def is_temporary(path: Path) -> bool:
    """Whether the name is one that `atomic_path` makes for unfinished files."""
    return _TEMPORARY.fullmatch(path.name) is not None


def delete_if_abandoned(path: Path, now: float) -> bool:
    """Delete a temporary file whose writer is gone; whether it was.

    A writer of this machine has it locked, whatever the clocks say. One of another machine may not be seen
    where the file system does not share locks, and one of an earlier version holds none: these files are left
    until the file system's clock is a day from their last change, before it or after, as clocks can be set.

    Args:
        now: `file_system_time` of their file system.

    Raises:
        OSError: it is not there, or cannot be opened or deleted.
    """
    name = _TEMPORARY.fullmatch(path.name)
    if name is None:
        return False
    forgotten = abs(now - path.lstat().st_mtime) > _FORGOTTEN_S
    if name["boot"] != this_boot() and not forgotten:
        return False
    return delete_unless_held(path, unlockable=forgotten)


def _sync_folder(folder: Path) -> None:
    # The rename itself is only durable once the folder is synced.
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
