"""The files of a store: where they lie, how a failed write is told, and where damaged ones go."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from ... import __version__
from ..atomic_write import delete_if_abandoned, is_temporary, write_text_atomic
from ..errors import StoreError
from ..held_files import file_system_time
from ..records import SCHEMA_VERSION, newer_version

FOLDERS = ("clips", "artifacts", "features", "failures", "cache", "quarantine")
"""Those of a store; what else lies beside them is not ours."""


def newer_json(path: Path) -> StoreError | None:
    """What to tell of a JSON file that a newer Reelbench wrote; None of any other, or of none.

    Raises:
        PermissionError: this user may not read it.
    """
    try:
        return newer_version(path.read_text(encoding="utf-8"))
    except PermissionError:
        raise
    except (OSError, UnicodeDecodeError):
        return None


class StoreFiles:
    """The folder of a store.

    Args:
        read_only: nothing is made or moved; the folder need not be there.

    Attributes:
        damaged: each file that was found to be damaged, and why.
        left_alone: each file that is neither read nor replaced, and why; see `barred`.

    Raises:
        StoreError: it cannot be made.
        NewerVersionError: the store as a whole is of a newer format.
    """

    def __init__(self, root: Path, read_only: bool) -> None:
        self.root = root
        self.damaged: list[tuple[Path, str]] = []
        self.left_alone: dict[Path, StoreError] = {}
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
        self._check_format()

    def path(self, kind: str, key: str, suffix: str = "") -> Path:
        """`<root>/<kind>/<ab>/<key><suffix>`, of 64 hexadecimal digits that begin with "ab"."""
        return self.root / kind / checked(key)[:2] / f"{key}{suffix}"

    def _check_format(self) -> None:
        """Hold the store's mark against what this version knows; a store without one is given it."""
        mark = self.root / "format.json"
        if (bar := self.barred(mark)) is not None:
            raise type(bar)(f"the store {self.root}: {bar.message}", bar.hint)
        is_sound = False
        with contextlib.suppress(OSError, ValueError, RecursionError):
            is_sound = isinstance(json.loads(mark.read_text(encoding="utf-8")), dict)
        if not (self._read_only or is_sound):
            self.make_way(mark)
            with contextlib.suppress(OSError):  # a full disk is told by the first thing that is lost
                write_text_atomic(
                    mark, json.dumps({"schema_version": SCHEMA_VERSION, "reelbench": __version__})
                )

    def barred(
        self, path: Path, newer: Callable[[Path], StoreError | None] = newer_json
    ) -> StoreError | None:
        """Why a file must be left alone, which is noted: a newer Reelbench wrote it, or it may not be read.

        Args:
            newer: what to tell of a file that a newer Reelbench wrote, None of any other or of none.
        """
        try:
            found = newer(path)
        except PermissionError as error:
            found = StoreError(
                f"not readable ({error.strerror}), and left as it is",
                "give this user the right to read the store's files, or name another `store`",
            )
        if found is not None:
            self.left_alone[path] = found
        return found

    def notes(self) -> list[str]:
        """What was left alone, a line for each reason: how many files, why, and what to do."""
        counts = Counter((error.message, error.hint) for error in self.left_alone.values())
        return [
            f"{num} of the files in {self.root}: {message}; {hint}" for (message, hint), num in counts.items()
        ]

    def make_way(self, path: Path) -> None:
        """Move aside what is in a file's way: a folder of its name, a file where a folder above belongs."""
        if path.is_dir():
            self.quarantine(path, "a folder lies where a file belongs")
        for folder in path.parents:
            if folder == self.root:
                break
            if folder.is_symlink() or folder.is_dir():
                continue
            if folder.exists():
                self.quarantine(folder, "a file lies where a folder belongs")

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
