"""What the loaders of transformers' models share: a folder's normalisation, and loading it completely.

A folder is what `save_pretrained` writes: `config.json`, `model.safetensors` (or its shards with an index),
and the processor's `preprocessor_config.json` or `video_preprocessor_config.json`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ...core.errors import WeightsError
from ...core.weights_format import WeightsFormat
from ...core.weights_tree import local_tree, one_of, read_json
from ...core.weights_view import loaded_files, said

_PREPROCESSORS = ("video_preprocessor_config.json", "preprocessor_config.json")


def read_mean_and_std(folder: Path) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Mean and deviation, for values 0 to 1, by which the folder's processor normalises.

    Raises:
        WeightsError: no processor configuration is there, or it names no three channels.
    """
    tree = local_tree(folder)
    name = one_of(tree, _PREPROCESSORS)
    if name is None:
        raise WeightsError(
            f"{folder} holds no {' or '.join(_PREPROCESSORS)}, so that its normalisation is not known",
            "save the processor into the folder too",
        )
    config = read_json(tree, name)
    values = []
    for key in ("image_mean", "image_std"):
        value = config.get(key)
        if not isinstance(value, list) or len(value) != 3:
            raise WeightsError(f"{folder / name}: {key} must be three numbers, got {value!r}")
        values.append((float(value[0]), float(value[1]), float(value[2])))
    return values[0], values[1]


def load_model(
    model_class: Any, folder: Path, weights_format: WeightsFormat, *, unused: Sequence[str] = ()
) -> Any:
    """The model in float32 and evaluation mode on the CPU.

    Only safetensors are read, and no code of the folder is run.

    Args:
        model_class: one of transformers' classes.
        folder: see the module's docstring.
        weights_format: which of its files are loaded.
        unused: beginnings of the names of tensors that features do not depend on, which may be missing.

    Raises:
        WeightsError: the folder cannot be loaded, or other tensors are missing (random in transformers).
    """
    import torch

    try:
        with loaded_files(folder, weights_format) as view, _quiet():
            model, report = model_class.from_pretrained(
                str(view),
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                dtype=torch.float32,
                output_loading_info=True,
            )
    except Exception as error:  # transformers raises many kinds; all mean that the model cannot be made
        raise WeightsError(
            f"transformers cannot load {folder} as {model_class.__name__} "
            f"({type(error).__name__}: {said(error, folder)[:300]})",
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
