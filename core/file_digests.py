"""Content digests of files, remembered by (path, size, modification time), so gigabytes are read once."""

from __future__ import annotations

import errno
import json
import re
from collections.abc import Callable
from pathlib import Path
from stat import S_ISREG
from typing import Any

from .atomic_write import write_text_atomic
from .hashing import digest_file

_STAMP = re.compile(r"(.*)\|(\d+)\|(\d+)", re.DOTALL)
"""Path, size and modification time, without the name of a fact behind them."""


class FileDigests:
    """A cache of file digests in a JSON file; a damaged or deleted cache costs a re-read, nothing else.

    Args:
        path: the JSON file; None remembers nothing beyond this object.
        read_only: the file is read and never written.
    """

    def __init__(self, path: Path | None, *, read_only: bool = False) -> None:
        self._path = path
        self._read_only = read_only
        self._known: dict[str, str] = {}
        self._others: dict[str, Any] = {}
        self._changed = False
        if path is not None and path.is_file():
            try:
                known = json.loads(path.read_text(encoding="utf-8"))
                for key, value in known.items():
                    # What is no digest, another version wrote: it is kept.
                    (self._known if isinstance(value, str) else self._others)[key] = value
            except (ValueError, OSError, AttributeError, RecursionError):
                self._known = {}

    def digest(self, path: Path) -> str:
        """sha256 of the file's content.

        Raises:
            OSError: the file cannot be read.
        """
        return self._remembered(path, "", lambda: digest_file(path))

    def fact(self, path: Path, name: str, find: Callable[[], str]) -> str:
        """What is known of a file's content besides its digest, found out once.

        Args:
            name: of the fact; unchanged for as long as it would be found to be the same.

        Raises:
            OSError: the file cannot be read.
        """
        return self._remembered(path, f"|{name}", find)

    def known_files(self) -> dict[Path, dict[tuple[int, int], str]]:
        """Every file whose digest is remembered: by size and modification time (ns), the digest."""
        found: dict[Path, dict[tuple[int, int], str]] = {}
        for stamp, value in self._known.items():
            if match := _STAMP.fullmatch(stamp):
                found.setdefault(Path(match[1]), {})[int(match[2]), int(match[3])] = value
        return found

    def forget(self, path: Path) -> None:
        """Remember nothing of a file, neither its digest nor what else is known of it."""
        kept = {stamp: value for stamp, value in self._known.items() if not stamp.startswith(f"{path}|")}
        self._changed = self._changed or len(kept) < len(self._known)
        self._known = kept

    def _remembered(self, path: Path, name: str, find: Callable[[], str]) -> str:
        stat = path.stat()
        if not S_ISREG(stat.st_mode):  # a pipe or a device would be read for ever
            raise OSError(errno.EINVAL, "it is not a regular file", str(path))
        stamp = f"{path.resolve()}|{stat.st_size}|{stat.st_mtime_ns}{name}"
        if stamp not in self._known:
            self._known[stamp] = find()
            self._changed = True
        return self._known[stamp]

    def save(self) -> None:
        """Write what is new to the cache file."""
        if self._path is not None and self._changed and not self._read_only:
            write_text_atomic(self._path, json.dumps(self._others | self._known, indent=0, sort_keys=True))
            self._changed = False
