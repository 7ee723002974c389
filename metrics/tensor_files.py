"""State dicts from one file, or from the one file in a folder whose name fits."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import WeightsError

if TYPE_CHECKING:
    from torch import Tensor

_SUFFIXES = (".safetensors", ".pth", ".pt")


def find_one(folder: Path, *stems: str) -> Path | None:
    """The one file of tensors in the folder whose name without suffix fits one of the patterns.

    Args:
        stems: patterns of the shell ("alexnet*") in small letters; so are names, before they are compared.

    Returns:
        The file, or None when there is none.

    Raises:
        WeightsError: several fit, so that it is not known which one is meant.
    """
    found = sorted(
        item
        for item in folder.iterdir()
        if item.is_file()
        and item.suffix in _SUFFIXES
        and any(fnmatchcase(item.stem.lower(), stem) for stem in stems)
    )
    if len(found) > 1:
        raise WeightsError(
            f"{folder} holds {len(found)} files that fit {' or '.join(stems)}: "
            f"{', '.join(item.name for item in found)}",
            "keep the one that is meant, or name that file",
        )
    return found[0] if found else None


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
