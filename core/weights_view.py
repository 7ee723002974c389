"""A folder as a loader sees it: the files that are loaded, and nothing beside them.

Libraries choose among the files of a folder by rules of their own, which differ with their versions. In a
folder of links to what a format names, under plain names, there is nothing to choose: what is in the key is
what is loaded.
"""

from __future__ import annotations

import contextlib
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from .weights_format import WeightsFormat
from .weights_tree import local_tree, without_variant

_PREFIX = "reelbench-weights-"


@contextlib.contextmanager
def loaded_files(folder: Path, weights_format: WeightsFormat) -> Iterator[Path]:
    """A folder of links to the files of `folder` that are loaded; open files outlive it.

    Raises:
        WeightsError: see `WeightsFormat.files`.
    """
    names = weights_format.files(local_tree(folder))
    with tempfile.TemporaryDirectory(prefix=_PREFIX) as made:
        view = Path(made)
        for name in names:
            link = view / without_variant(name)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to((folder / name).resolve())
        yield view


def said(error: Exception, folder: Path) -> str:
    """What a loader said, with the folder in the place of the links to it."""
    return re.sub(rf"[^\s'\"]*{_PREFIX}\w+", lambda _: str(folder), str(error))
