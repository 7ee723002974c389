"""What the loaders of transformers' models share: the folder's configuration, and loading it completely.

A folder is what `save_pretrained` writes: `config.json`, `model.safetensors` (or its shards with an index),
and the processor's `preprocessor_config.json` or `video_preprocessor_config.json`.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..core.errors import WeightsError
from ..core.weights import why_missing

_PREPROCESSORS = ("video_preprocessor_config.json", "preprocessor_config.json")


def missing_reason(role: str, what: str, location: str | None) -> str | None:
    """Why a model without default weights cannot be used, or None; for an extractor's `available`.

    Args:
        role: the key in a run file's `weights`.
        what: the weights in words.
        location: as the run file gives it, None when it gives none.
    """
    if not location:
        return f"no weights are named: give `weights: {{{role}: <{what}>}}`"
    return why_missing(location)


def read_config(folder: Path, model_type: str) -> dict[str, Any]:
    """`config.json` of a folder that must hold a model of this type ("clip", "videomae", "vjepa2").

    Raises:
        WeightsError: it is missing, is not JSON, or is of another model.
    """
    config = _read_json(folder / "config.json")
    found = config.get("model_type", "(none)")
    if found != model_type:
        raise WeightsError(
            f"{folder} holds a model of type {found!r}, {model_type!r} is needed",
            "give a folder that transformers' save_pretrained wrote, or a hub id of such a model",
        )
    return config


def read_mean_and_std(folder: Path) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Mean and deviation, for values 0 to 1, by which the folder's processor normalises.

    Raises:
        WeightsError: no processor configuration is there, or it names no three channels.
    """
    path = next((folder / name for name in _PREPROCESSORS if (folder / name).is_file()), None)
    if path is None:
        raise WeightsError(
            f"{folder} holds no {' or '.join(_PREPROCESSORS)}, so that its normalisation is not known",
            "save the processor into the folder too",
        )
    config = _read_json(path)
    values = []
    for name in ("image_mean", "image_std"):
        value = config.get(name)
        if not isinstance(value, list) or len(value) != 3:
            raise WeightsError(f"{path}: {name} must be three numbers, got {value!r}")
        values.append((float(value[0]), float(value[1]), float(value[2])))
    return values[0], values[1]


def load_model(model_class: Any, folder: Path, *, unused: Sequence[str] = ()) -> Any:
    """The model in float32 and evaluation mode on the CPU.

    Only safetensors are read, and no code of the folder is run.

    Args:
        model_class: one of transformers' classes.
        folder: see the module's docstring.
        unused: beginnings of the names of tensors that features do not depend on, which may be missing.

    Raises:
        WeightsError: the folder cannot be loaded, or tensors that the features depend on are missing;
            transformers would fill those with random numbers.
    """
    import torch

    try:
        with _quiet():
            model, report = model_class.from_pretrained(
                str(folder),
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                dtype=torch.float32,
                output_loading_info=True,
            )
    except Exception as error:  # transformers raises many kinds; all mean that the model cannot be made
        raise WeightsError(
            f"transformers cannot load {folder} as {model_class.__name__} "
            f"({type(error).__name__}: {str(error)[:300]})",
            "config.json and model.safetensors of that model are expected",
        ) from error
    faults = sorted(
        name
        for name in {*report["missing_keys"], *(key for key, *_ in report["mismatched_keys"])}
        if not name.startswith(tuple(unused))
    )
    if faults:
        raise WeightsError(
            f"{folder}: {len(faults)} tensors of {model_class.__name__} are missing or of another shape: "
            f"{', '.join(faults[:3])}",
            "the folder holds another model, or is incomplete",
        )
    return model.requires_grad_(False).eval()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """transformers prints its configuration, bars and a table of tensors; what matters is checked here."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def _read_json(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise WeightsError(
            f"cannot read {path}: {error.strerror}", "a folder that save_pretrained wrote is expected"
        ) from error
    except ValueError as error:
        raise WeightsError(f"{path} is not JSON: {error}") from error
    if not isinstance(data, dict):
        raise WeightsError(f"{path}: expected a mapping, got {type(data).__name__}")
    return data
