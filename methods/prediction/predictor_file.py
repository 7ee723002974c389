"""What a predictor learned, as a file: its numbers alone, as safetensors in float16, and what they are.

The configuration is in the file's metadata, so loading asks for no settings that would have to match. Nothing
of the base is in it; names and shapes say whether it was made for the base at hand.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from ...core.atomic_write import write_bytes_atomic
from ...core.errors import WeightsError
from ..weights_file import trained_file, trained_structure
from .predictor import Predictor


def to_bytes(predictor: Predictor, values: dict[str, torch.Tensor] | None = None) -> bytes:
    """The trained parameters as a safetensors file.

    Args:
        values: other numbers for the same parameters (an average over the training), by name.
    """
    from safetensors.torch import save

    state = predictor.values() if values is None else values
    tensors = {name: value.detach().half().cpu().contiguous() for name, value in state.items()}
    what = {"format": predictor.format, "config": predictor.settings.model_dump(mode="json")}
    # In one entry: safetensors writes several in any order, and the same numbers must be the same bytes.
    return save(tensors, {"reelbench": json.dumps(what, sort_keys=True)})


def save_trained(folder: Path, predictor: Predictor, values: dict[str, torch.Tensor] | None = None) -> Path:
    """Writes the trained parameters into a folder, atomically; returns the file."""
    file = folder / predictor.file_name
    write_bytes_atomic(file, to_bytes(predictor, values))
    return file


def read_trained(path: Path, kind: type[Predictor]) -> tuple[Any, dict[str, torch.Tensor], str]:
    """The configuration (JSON-able) and the numbers in a file, and how errors name it.

    Args:
        path: the file, or a folder with it.
        kind: of predictor that is expected.

    Raises:
        WeightsError: nothing there, or not such a file.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    file = trained_file(path, kind.file_name)
    what = f"the parameters in {file}"
    structure = trained_structure(file, kind.format)
    try:
        return structure, load(file.read_bytes()), what
    except SafetensorError as error:
        raise WeightsError(
            f"{what} cannot be read: {error}",
            "give a file that `reelbench train prediction` wrote for this method",
        ) from error


def fit(predictor: Predictor, tensors: dict[str, torch.Tensor], what: str) -> None:
    """Puts the numbers of a file into a predictor.

    Raises:
        WeightsError: they were made for another base.
    """
    expected = {name: tuple(value.shape) for name, value in predictor.trained().items()}
    found = {name: tuple(value.shape) for name, value in tensors.items()}
    if expected != found:
        wrong = sorted(n for n in expected.keys() | found.keys() if expected.get(n) != found.get(n))
        raise WeightsError(
            f"{what} do not fit this base: {len(wrong)} of {len(expected)} tensors differ, first {wrong[0]} "
            f"(base: {expected.get(wrong[0])}, file: {found.get(wrong[0])})",
            "they belong to the pipeline that they were trained on; give both, or train new ones",
        )
    predictor.set_values(tensors)
