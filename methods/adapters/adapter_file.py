"""Adapters as files: only their numbers, as safetensors in float16, with their configuration in the metadata.

So a file says by itself what it is, and loading it asks for no settings that would have to match. Nothing
of the image model is in it; the shapes say whether it was made for the image model at hand.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from pydantic import ValidationError
from torch import nn

from ...core.atomic_write import write_bytes_atomic
from ...core.errors import WeightsError
from ...core.hashing import canonical_json
from ..weights_file import ADAPTERS_FILE, ADAPTERS_FORMAT
from .adapters import AdapterConfig, Adapters


def adapters_to_bytes(adapters: Adapters, values: dict[str, torch.Tensor] | None = None) -> bytes:
    """Adapters as a safetensors file: their numbers in float16, their configuration in the metadata.

    Args:
        values: other numbers for the same adapters (an average over the training), by name.
    """
    from safetensors.torch import save

    state = adapters.state_dict() if values is None else values
    tensors = {name: value.detach().half().cpu().contiguous() for name, value in state.items()}
    facts = {"format": ADAPTERS_FORMAT, "config": adapters.config.model_dump(mode="json")}
    # One entry, because safetensors writes several in an order that differs from process to process.
    return save(tensors, {"reelbench": canonical_json(facts)})


def adapters_from_bytes(data: bytes, unet: nn.Module, what: str = "the adapters") -> Adapters:
    """Adapters from a safetensors file, fitted to a UNet.

    Args:
        data: what `adapters_to_bytes` made.
        unet: the UNet that they are for.
        what: how an error names them.

    Raises:
        WeightsError: not such a file, or made for another UNet.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        facts = json.loads((header.get("__metadata__") or {}).get("reelbench", "{}"))
        if facts.get("format") != ADAPTERS_FORMAT:
            raise ValueError(f"its format is {facts.get('format', '(none)')!r}, not {ADAPTERS_FORMAT!r}")
        config = AdapterConfig.model_validate(facts["config"])
        tensors = load(data)
    except (ValueError, KeyError, SafetensorError, ValidationError) as error:
        raise WeightsError(
            f"{what} cannot be read: {error}", "give a file that `reelbench` wrote when it trained adapters"
        ) from error
    adapters = Adapters(unet, config)
    expected = {name: tuple(value.shape) for name, value in adapters.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in tensors.items()}
    if expected != found:
        wrong = sorted(n for n in expected.keys() | found.keys() if expected.get(n) != found.get(n))
        raise WeightsError(
            f"{what} do not fit this UNet: {len(wrong)} of {len(expected)} tensors differ, first {wrong[0]} "
            f"(UNet: {expected.get(wrong[0])}, file: {found.get(wrong[0])})",
            "adapters belong to the pipeline that they were trained on; give both, or train new ones",
        )
    adapters.load_state_dict({name: value.float() for name, value in tensors.items()})
    return adapters


def load_adapters(path: Path, unet: nn.Module) -> Adapters:
    """Adapters from a file, or from a folder with `adapters.safetensors`.

    Raises:
        WeightsError: nothing there, not such a file, or made for another UNet.
    """
    file = path / ADAPTERS_FILE if path.is_dir() else path
    if not file.is_file():
        raise WeightsError(f"no adapters at {file}", f"give a folder with {ADAPTERS_FILE}, or such a file")
    return adapters_from_bytes(file.read_bytes(), unet, f"the adapters in {file}")


def save_adapters(path: Path, adapters: Adapters, values: dict[str, torch.Tensor] | None = None) -> Path:
    """Writes adapters to `path`/adapters.safetensors, atomically; returns the file."""
    file = path / ADAPTERS_FILE
    write_bytes_atomic(file, adapters_to_bytes(adapters, values))
    return file
