"""The files of a store: where they lie, how a failed write is told, and where damaged ones go."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from ..atomic_write import delete_if_abandoned, is_temporary, write_text_atomic
from ..errors import StoreError
from ..held_files import file_system_time

FOLDERS = ("clips", "artifacts", "features", "failures", "cache", "quarantine")
"""Those of a store; what else lies beside them is not ours."""


class StoreFiles:
    """The folder of a store.

    Args:
        read_only: nothing is made or moved; the folder need not be there.

    Attributes:
        damaged: each file that was found to be damaged, and why.

    Raises:
        StoreError: it cannot be made.
    """

    def __init__(self, root: Path, read_only: bool) -> None:
        self.root = root
        self.damaged: list[tuple[Path, str]] = []
        self._read_only = read_only
        try:
            if read_only:
                next(self._existing().iterdir(), None)  # an error where it is not a folder
            else:
                root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"cannot create the store {root}: {error.strerror}", "choose another `output` or `store`"
            ) from error

    def path(self, kind: str, key: str, suffix: str = "") -> Path:
        """`<root>/<kind>/<ab>/<key><suffix>`, of 64 hexadecimal digits that begin with "ab"."""
        return self.root / kind / checked(key)[:2] / f"{key}{suffix}"

    def quarantine(self, path: Path, reason: str) -> None:
        """Move a damaged file aside, with the reason; of a store that is only read, the run does that.

        Raises:
            StoreError: it cannot be moved.
        """
        self.damaged.append((path, reason))
        if self._read_only:
            return
        target = self.root / "quarantine" / f"{time.time_ns()}-{path.parent.name[:16]}-{path.name}"
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)
            write_text_atomic(target.with_name(target.name + ".reason.txt"), f"{path}\n{reason}\n")
        except FileNotFoundError:
            return  # another process moved it already
        except OSError as error:
            raise StoreError(
                f"{path} is damaged ({reason}) and cannot be moved aside: {error.strerror}",
                f"delete {path} by hand and run again",
            ) from error

    def sweep(self) -> int:
        """Delete temporary files that a killed process left in the store's own folders; how many.

        No clock of this machine is asked; see `delete_if_abandoned`.
        """
        swept = 0
        now: float | None = None
        for name in FOLDERS:
            for folder, _, files in os.walk(self.root / name):
                for path in (Path(folder, name) for name in files):
                    with contextlib.suppress(OSError):
                        if is_temporary(path):
                            now = file_system_time(self.root) if now is None else now
                            swept += delete_if_abandoned(path, now)
        return swept

    def free_bytes(self) -> int:
        """Free space of the disk that holds the store."""
        return shutil.disk_usage(self._existing()).free

    def _existing(self) -> Path:
        """The folder, or the nearest above it that is there."""
        path = self.root.absolute()
        return next(folder for folder in (path, *path.parents) if folder.exists())


def checked(key: str) -> str:
    """The key, if it is one: only keys become paths."""
    if len(key) != 64 or not set(key) <= set("0123456789abcdef"):
        raise StoreError(f"not a key: {key!r} (64 hexadecimal digits)")
    return key


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Raises an OSError of the block as a `StoreError` about the path."""
    try:
        yield
    except OSError as error:
        if error.errno == 28:  # ENOSPC
            free = shutil.disk_usage(path if path.exists() else path.parent).free
            raise StoreError(
                f"the disk is full: cannot write {path} ({free / 2**20:.0f} MiB free)",
                "free some space and run the same command again: finished work is kept",
            ) from error
        raise StoreError(
            f"cannot write {path}: {error.strerror or error}", "check the disk and the permissions"
        ) from error
