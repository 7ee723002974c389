"""Which of a few known folders holds a clip, from one listing of each folder.

A data set of 10,000 clips is opened with as many directory listings as it has folders, not with
10,000 look-ups: that matters on the network file systems where these data sets lie.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from ..core.errors import DatasetError


class VideoFolders:
    """The folders of a data set in which its clips may lie.

    Args:
        what: the data set's name, for error messages.
        base: the folder that the candidates are relative to.
        by_split: names of the folders that hold the clips of one split ("TestVideo").
        candidates: relative folders in the order in which they are searched; "" is `base` itself.
    """

    def __init__(self, what: str, base: Path, by_split: Sequence[str], candidates: Sequence[str]) -> None:
        self._what = what
        self._base = base
        self._by_split = tuple(by_split)
        self._candidates = tuple(candidates)
        self._orders: dict[str, tuple[Path, list[Path]]] = {}

    def require_any(self) -> None:
        """Check that at least one candidate folder is there.

        Raises:
            DatasetError: none is.
        """
        if not self._listings:
            places = ", ".join(f"{folder or '.'}/" for folder in self._candidates)
            raise DatasetError(
                f"{self._what}: no folder of videos in {str(self._base)!r}; looked for {places}",
                "unpack the videos there, or set `video_root` to the folder that holds them",
            )

    def path(self, file_name: str, prefer: str) -> Path:
        """Where `file_name` lies; when no folder has it, where it is expected.

        Args:
            file_name: one plain component (see `annotation.plain_name`).
            prefer: the split's folder, which is searched first and where the file is expected.
        """
        if prefer not in self._orders:
            self._orders[prefer] = self._order(prefer)
        expected, folders = self._orders[prefer]
        for folder in folders:
            if file_name in self._listings[folder]:
                return folder / file_name
        return expected / file_name

    def has(self, path: Path) -> bool:
        """Whether a path that `path` returned is there."""
        return path.name in self._listings.get(path.parent, ())

    def _order(self, prefer: str) -> tuple[Path, list[Path]]:
        """The folder in which a clip is expected, and the existing folders, the preferred first."""
        existing = sorted(self._listings, key=lambda folder: folder.name != prefer)
        fitting = [
            folder for folder in existing if folder.name == prefer or folder.name not in self._by_split
        ]
        return (fitting[0] if fitting else self._base / prefer), existing

    @cached_property
    def _listings(self) -> dict[Path, frozenset[str]]:
        """The names in each candidate folder that exists."""
        listings = {}
        for candidate in self._candidates:
            folder = self._base / candidate
            names = names_in(folder, self._what)
            if names is not None:
                listings[folder] = names
        return listings


def names_in(folder: Path, what: str) -> frozenset[str] | None:
    """The names in a folder; None when there is no such folder.

    Args:
        what: the data set's name, for the error message.

    Raises:
        DatasetError: it is there and cannot be listed.
    """
    try:
        with os.scandir(folder) as entries:
            return frozenset(entry.name for entry in entries)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise DatasetError(f"{what}: cannot list {folder}: {error.strerror}") from error
