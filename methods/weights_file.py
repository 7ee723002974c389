"""What a file of trained parameters says of itself, read without its numbers and without torch.

The file is a safetensors file; its metadata hold the format and the structure that was trained. So loading
asks for no settings that would have to match, and tables can name what was trained.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.errors import WeightsError
from ..core.types import WeightsRef
from ..core.weights_format import NamedFiles
from ..core.weights_tree import Tree

_MAX_HEADER_BYTES = 100_000_000
"""Of safetensors; a larger one is no header."""


def trained_file(path: Path, file_name: str) -> Path:
    """The file of trained parameters: `path` itself, or the one of that name in the folder `path`.

    Raises:
        WeightsError: nothing there.
    """
    file = path / file_name if path.is_dir() else path
    if not file.is_file():
        raise WeightsError(
            f"no trained parameters at {file}", f"give a folder with {file_name}, or such a file"
        )
    return file


def trained_structure(file: Path, file_format: str) -> dict[str, Any]:
    """The structure that was trained, as it was written into the file.

    Args:
        file: as of `trained_file`.
        file_format: that is expected.

    Raises:
        WeightsError: no such file, or of another format.
    """
    try:
        with file.open("rb") as opened:
            length = int.from_bytes(opened.read(8), "little")
            if length > _MAX_HEADER_BYTES:
                raise ValueError("it does not begin as a safetensors file does")
            header = json.loads(opened.read(length))
        metadata = json.loads((header.get("__metadata__") or {}).get("reelbench", "{}"))
        if metadata.get("format") != file_format:
            raise ValueError(f"its format is {metadata.get('format', '(none)')!r}, not {file_format!r}")
        structure: dict[str, Any] = metadata["config"]
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise WeightsError(
            f"the parameters in {file} cannot be read: {error}",
            "give a file that reelbench wrote when it trained for this method",
        ) from error
    return structure


@dataclass(frozen=True)
class TrainedFile(NamedFiles):
    """Trained parameters, which say in their metadata of which format they are.

    Attributes:
        marker: that format.
    """

    marker: str = ""

    def files(self, tree: Tree) -> tuple[str, ...]:
        names = super().files(tree)
        if tree.path is not None:
            trained_structure(trained_file(tree.path, self.required[0]), self.marker)
        return names


ADAPTERS_FILE = "adapters.safetensors"
"""Of trained adapters in a folder."""

ADAPTERS_FORMAT = "reelbench-simda-1"
"""Written into every file of adapters; another number is another layout."""

ADAPTERS = TrainedFile(
    f"trained adapters: a folder with {ADAPTERS_FILE}, or such a file",
    required=(ADAPTERS_FILE,),
    marker=ADAPTERS_FORMAT,
)


def adapter_weights(location: str | None) -> tuple[WeightsRef, ...]:
    """The weights of a method with adapters at a location; none where it is None."""
    return () if location is None else (WeightsRef("adapters", location, ADAPTERS),)


def trained_parameters(file_name: str, marker: str) -> TrainedFile:
    """The format of a predictor's trained parameters."""
    what = f"trained parameters: a folder with {file_name}, or such a file"
    return TrainedFile(what, required=(file_name,), marker=marker)
