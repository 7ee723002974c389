"""Data sets that read a list of samples from files: the order of the list, its identity, what of it is there.

The shuffled order sorts the ids by a hash of (seed, id): a missing video or a longer list moves nothing else,
and the first n of the list are a random subset of the first m > n.
"""

from __future__ import annotations

import os
import re
from abc import abstractmethod
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from ..core.contracts import Dataset
from ..core.errors import DatasetError
from ..core.hashing import digest
from ..core.seeds import derive_seed
from ..core.types import Sample
from .lists.annotation import expanded
from .video import PICTURE_SUFFIXES


class ListedDataset(Dataset):
    """A data set whose samples an annotation lists, in a fixed order.

    Opening reads the annotation. No clip is opened, and each folder is listed once, for network file systems.
    """

    what: ClassVar[str]
    """The data set's published name, for messages."""
    hint: ClassVar[str]
    """What to do where no clip of the list is there, for messages."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self._listings: dict[Path, frozenset[str] | None] = {}

    @abstractmethod
    def _samples(self) -> Iterator[Sample]:
        """The samples in order, whether their clips are there or not.

        Raises:
            DatasetError: the annotation is missing or malformed.
        """

    @abstractmethod
    def _require_clips(self) -> None:
        """Check that not all clips of the list are missing.

        Raises:
            DatasetError: they are; names one and what to do.
        """

    def __iter__(self) -> Iterator[Sample]:
        """The samples.

        Raises:
            DatasetError: the annotation is missing or malformed, or no clip of it is there.
        """
        self._require_clips()
        return self._samples()

    def fingerprint(self) -> str:
        """Digest of (name, split, [[id, prompt, source], ...]) in order, of edits [id, prompt, source, source
        prompt, kind]; folders do not enter. Needs no clip, save where missing ones are left out."""
        rows: list[list[str | None]] = []
        for sample in self._samples():
            rows.append([sample.id, sample.prompt, sample.source])
            if sample.edit is not None:  # digests of data sets without edits stay as they were
                rows[-1] += [sample.source_prompt, sample.edit]
        return digest({"name": self.name, "split": self.split, "samples": rows})

    def missing(self) -> list[Path]:
        """The files or folders that the samples refer to and that are not there, in order, each once."""
        references = (sample.reference for sample in self._samples())
        paths = dict.fromkeys(reference.path for reference in references if reference is not None)
        return [path for path in paths if not self._is_there(path)]

    @cached_property
    def _root(self) -> Path:
        return expanded(self.config.root)

    def _names_in(self, folder: Path) -> frozenset[str] | None:
        """The names in a folder; None when there is no such folder.

        Raises:
            DatasetError: it is there and cannot be listed.
        """
        if folder not in self._listings:
            try:
                with os.scandir(folder) as entries:
                    self._listings[folder] = frozenset(entry.name for entry in entries)
            except (FileNotFoundError, NotADirectoryError):
                self._listings[folder] = None
            except (OSError, ValueError) as error:  # a NUL in the name is a ValueError
                why = error.strerror if isinstance(error, OSError) else error
                raise DatasetError(
                    f"{self.what}: cannot list {folder!s:.400}: {why}",
                    "correct the path, or who may read the folder",
                ) from error
        return self._listings[folder]

    def _is_there(self, path: Path) -> bool:
        return path.name in (self._names_in(path.parent) or ())

    def _is_usable(self, path: Path) -> bool:
        """Whether a clip is there and may hold something: no dead link, no empty file, no folder that is
        called like a video and has no picture. Asks the file system for each clip."""
        if not self._is_there(path):
            return False
        try:
            if not path.is_dir():
                return path.stat().st_size > 0
            if not path.suffix:
                return True
            with os.scandir(path) as entries:
                return any(entry.name.lower().endswith(tuple(PICTURE_SUFFIXES)) for entry in entries)
        except OSError:
            return False


def shuffled_rank(seed: int, id: str) -> int:
    """Where `id` stands in the shuffled order of `seed`: ids are sorted by this number."""
    return derive_seed("data set order", seed, id)


def natural_rank(id: str) -> tuple[tuple[int, str], ...]:
    """Sort key under which "video9" comes before "video10"."""
    parts = re.findall(r"[0-9]+|[^0-9]+", id)
    return tuple((int(part), "") if part.isascii() and part.isdigit() else (-1, part) for part in parts)
