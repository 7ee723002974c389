"""State dicts from one file, or from the one file in a folder whose name fits; what names a file holds."""

from __future__ import annotations

import json
import pickletools
import zipfile
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.errors import WeightsError
from ...core.weights_tree import Tree

if TYPE_CHECKING:
    from torch import Tensor

_SUFFIXES = (".safetensors", ".pth", ".pt")


_MAX_HEADER_BYTES = 100_000_000
"""Of safetensors; a larger one is no header."""


def find_one(tree: Tree, *stems: str) -> str | None:
    """The one file of tensors, not in a folder below, whose name without suffix fits one of the patterns.

    Args:
        stems: patterns of the shell ("alexnet*") in small letters; so are names, before they are compared.

    Returns:
        Its name, or None when there is none.

    Raises:
        WeightsError: several fit, so that it is not known which one is meant.
    """
    found = sorted(
        name
        for name in tree.names
        if "/" not in name
        and Path(name).suffix in _SUFFIXES
        and any(fnmatchcase(Path(name).stem.lower(), stem) for stem in stems)
    )
    if len(found) > 1:
        raise WeightsError(
            f"{tree.where} holds {len(found)} files that fit {' or '.join(stems)}: {', '.join(found)}",
            "keep the one that is meant, or name that file",
        )
    return found[0] if found else None


def tensor_names(path: Path) -> frozenset[str] | None:
    """The names in a file of tensors, by its header: no tensor is read and no pickle is run. None where they
    cannot be told so (programs, files of old versions of torch, anything else)."""
    try:
        with path.open("rb") as file:
            head = file.read(9)
            length = int.from_bytes(head[:8], "little")
            if head[8:] == b"{" and length < min(path.stat().st_size, _MAX_HEADER_BYTES):
                file.seek(8)
                return frozenset(json.loads(file.read(length))) - {"__metadata__"}
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if any("/code/" in name for name in names):
                return None
            pickled = archive.read(next(name for name in names if name.endswith("data.pkl")))
        return frozenset(item for _, item, _ in pickletools.genops(pickled) if isinstance(item, str))
    except (OSError, ValueError, zipfile.BadZipFile, StopIteration):
        return None


def refuse_other_tensors(path: Path, what: str, *expected: str) -> None:
    """Refuse a file of another network's weights.

    Args:
        what: is expected, in words.
        expected: names or parts of names, of which such a file holds at least one.

    Raises:
        WeightsError: the file's names can be told, and none is expected.
    """
    names = tensor_names(path)
    if names is not None and not any(part in name for name in names for part in expected):
        raise WeightsError(
            f"{path} is not {what}: no tensor {' or '.join(expected)}; "
            f"found {', '.join(sorted(names)[:3])}, ...",
            f"give {what}, or correct the role under `weights`",
        )


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Name to tensor, on the CPU, of a safetensors file or a state dict written by `torch.save`.

    Nothing but tensors is read: files of `torch.save` go through weights-only loading.

    Raises:
        WeightsError: the file cannot be read so, or holds anything but names and tensors.
    """
    import torch

    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        data: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # many kinds; all mean that the file is not usable
        raise WeightsError(
            f"cannot read {path} ({type(error).__name__}: {str(error)[:200]})",
            "safetensors, or a file of torch.save that holds nothing but tensors, is expected",
        ) from error
    if not isinstance(data, dict) or not all(isinstance(value, torch.Tensor) for value in data.values()):
        raise WeightsError(f"{path} is not a state dict (names to tensors)")
    return dict(data)
