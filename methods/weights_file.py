"""Files of trained parameters: their numbers in float16 and, as one entry of the metadata, what they are.

The files are safetensors. The entry holds the file's format and the configuration of what was trained, so
loading asks for no settings that would have to match, and tables can name what was trained. Nothing of the
frozen base is in the file; names and shapes say whether it was made for the base at hand.

Importing this imports no torch: the entry is read without the numbers.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

from pydantic import ValidationError

from ..core.contracts import FrozenConfig
from ..core.errors import WeightsError
from ..core.tensor_files import own_entry
from ..core.types import WeightsRef
from ..core.weights_format import NamedFiles
from ..core.weights_tree import Tree

if TYPE_CHECKING:
    import torch

_HINT = "give a file that reelbench wrote when it trained for this method"

AnyConfig = TypeVar("AnyConfig", bound=FrozenConfig)


@dataclass(frozen=True)
class TrainedFile(NamedFiles):
    """Trained parameters, which say in their metadata of which format they are.

    Attributes:
        marker: that format.
    """

    marker: str = ""

    @property
    def file_name(self) -> str:
        """Of the parameters in a folder."""
        return self.required[0]

    def files(self, tree: Tree) -> tuple[str, ...]:
        """As of every format, after a look at the file's own statement."""
        names = super().files(tree)
        if tree.path is not None:
            trained_structure(trained_file(tree.path, self.file_name), self.marker)
        return names

    def structure_at(self, location: str) -> dict[str, Any]:
        """The configuration of what was trained (JSON), of the file at a location of weights.

        Raises:
            WeightsError: nothing there, or not such a file.
        """
        from ..core.weights import resolve

        return trained_structure(trained_file(resolve(location, self), self.file_name), self.marker)


def trained_parameters(file_name: str, marker: str, what: str = "trained parameters") -> TrainedFile:
    """The format of trained parameters: the file's name in a folder, and what it says of its format; another
    marker is another layout."""
    words = f"{what}: a folder with {file_name}, or such a file"
    return TrainedFile(words, required=(file_name,), marker=marker)


ADAPTERS = trained_parameters("adapters.safetensors", "reelbench-simda-1", "trained adapters")
"""Files of SimDA's adapters."""


def adapter_weights(location: str | None) -> tuple[WeightsRef, ...]:
    """The weights of a method with adapters at a location; none where it is None."""
    return () if location is None else (WeightsRef("adapters", location, ADAPTERS),)


def trained_file(path: Path, file_name: str, what: str = "trained parameters") -> Path:
    """The file of trained parameters: `path` itself, or the one of that name in the folder `path`.

    Raises:
        WeightsError: nothing there; `what` names what is missing.
    """
    file = path / file_name if path.is_dir() else path
    if not file.is_file():
        raise WeightsError(f"no {what} at {file}", f"give a folder with {file_name}, or such a file")
    return file


def trained_structure(file: Path, marker: str) -> dict[str, Any]:
    """The configuration of what was trained (JSON), as it was written into the file.

    Args:
        file: as of `trained_file`.
        marker: the format that is expected.

    Raises:
        WeightsError: no such file, or of another format.
    """
    try:
        with file.open("rb") as opened:
            return _structure(opened, marker)
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise WeightsError(f"the parameters in {file} cannot be read: {error}", _HINT) from error


def parameters_to_bytes(values: Mapping[str, torch.Tensor], entry: str) -> bytes:
    """A file's content.

    Args:
        values: the numbers, of any number format and device.
        entry: {"format": marker, "config": configuration} as JSON, of which the same content is always the
            same text.
    """
    from safetensors.torch import save

    tensors = {name: value.detach().half().cpu().contiguous() for name, value in values.items()}
    # One entry, because safetensors writes several in an order that differs from process to process.
    return save(tensors, {"reelbench": entry})


def read_parameters(
    data: bytes, marker: str, config: type[AnyConfig], what: str
) -> tuple[AnyConfig, dict[str, torch.Tensor]]:
    """The configuration and the numbers (float16, on the CPU) in a file's content.

    Args:
        marker: the format that is expected.
        config: the class of the configuration.
        what: how an error names the parameters, in the plural.

    Raises:
        WeightsError: not such a file.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        return config.model_validate(_structure(io.BytesIO(data), marker)), load(data)
    except ValidationError as error:
        raise WeightsError(f"{what} cannot be read: {error}", "train them again with this version") from error
    except (ValueError, KeyError, AttributeError, SafetensorError) as error:
        raise WeightsError(f"{what} cannot be read: {error}", _HINT) from error


def check_fit(
    expected: Mapping[str, torch.Tensor], found: Mapping[str, torch.Tensor], what: str, base: str
) -> None:
    """Compares names and shapes of a file's numbers with those that a base takes.

    Args:
        what: how an error names the file's numbers, in the plural.
        base: how it names what they are put into.

    Raises:
        WeightsError: they were made for another base.
    """
    takes, holds = ({name: tuple(value.shape) for name, value in side.items()} for side in (expected, found))
    if takes != holds:
        wrong = sorted(name for name in takes.keys() | holds.keys() if takes.get(name) != holds.get(name))
        raise WeightsError(
            f"{what} do not fit this {base}: {len(wrong)} of {len(takes)} tensors differ, first {wrong[0]} "
            f"({base}: {takes.get(wrong[0])}, file: {holds.get(wrong[0])})",
            "they belong to the pipeline that they were trained on; give both, or train new ones",
        )


def _structure(file: BinaryIO, marker: str) -> dict[str, Any]:
    entry = own_entry(file)
    if entry.get("format") != marker:
        raise ValueError(f"its format is {entry.get('format', '(none)')!r}, not {marker!r}")
    structure: dict[str, Any] = entry["config"]
    return structure
