"""Files that are there whole or not at all.

Written to a temporary name in the same folder, synced, then renamed: a kill or a full disk leaves
the old file or none, never half of the new one. Leftover temporary files end in `.tmp`.
"""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path to write to; renamed to `path` when the block ends without an exception.

    The temporary name keeps the suffix of `path` before `.tmp`'s place, since encoders choose
    the format by suffix: `.<unique>.tmp<suffix>`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}-{uuid.uuid4().hex[:8]}.tmp{path.suffix}")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    finally:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()


def write_bytes_atomic(path: Path, data: bytes) -> None:
    """Write `data` to `path` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_text_atomic(path: Path, text: str) -> None:
    """Write `text` (UTF-8) to `path` atomically."""
    write_bytes_atomic(path, text.encode())


def is_temporary(path: Path) -> bool:
    """Whether the name is one that `atomic_path` makes for unfinished files."""
    return path.name.startswith(".") and ".tmp" in path.suffixes


def _sync_folder(folder: Path) -> None:
    # The rename itself is only durable once the folder is synced.
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
