"""I3D weights from the project's folders and from public state dicts.

A folder holds `config.json` ({"width_multiplier", "num_classes", "classes"}) and `model.safetensors`.
A single file (`.safetensors`, or `.pt`/`.pth` read with weights_only) is a state dict in the naming of
the public PyTorch ports (`Conv3d_1a_7x7.conv3d.weight`, `Mixed_3b.b1a.bn.running_mean`,
`logits.conv3d.bias`); its width and number of classes are read off its tensors.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import WeightsError

if TYPE_CHECKING:
    from torch import Tensor

    from .i3d_network import InceptionI3d

_FIRST, _LAST = "Conv3d_1a_7x7.conv3d.weight", "logits.conv3d.weight"


def load_i3d(path: Path, batchnorm_epsilon: float = 1e-3) -> InceptionI3d:
    """The network with its weights, in evaluation mode on the CPU.

    Args:
        path: a folder or file as described above.
        batchnorm_epsilon: of every BatchNorm; 1e-3 in the reference network.

    Raises:
        WeightsError: a file is missing or unreadable, or its tensors do not fit the network.
    """
    import torch

    from .i3d_network import InceptionI3d

    if path.is_dir():
        config = _read_config(path / "config.json")
        tensors = _read_tensors(path / "model.safetensors")
        width, num_classes = float(config["width_multiplier"]), int(config["num_classes"])
    else:
        tensors = _read_tensors(path)
        for name in (_FIRST, _LAST):
            if name not in tensors:
                raise WeightsError(
                    f"{path}: no tensor {name!r}; found {', '.join(sorted(tensors)[:3])}, ...",
                    "a state dict in the naming of the public PyTorch I3D is expected",
                )
        width, num_classes = tensors[_FIRST].shape[0] / 64, tensors[_LAST].shape[0]
    network = InceptionI3d(width_multiplier=width, num_classes=num_classes)
    # Not every public file carries the step counter or BatchNorm's scale (ones in the reference).
    known = network.state_dict()
    optional = {
        name: value for name, value in known.items() if name.endswith(("num_batches_tracked", "bn.weight"))
    }
    try:
        network.load_state_dict({**optional, **tensors}, strict=True)
    except RuntimeError as error:
        faults = " ".join(str(error).split())
        raise WeightsError(f"{path}: the tensors do not fit I3D of width {width:g}: {faults[:600]}") from None
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm3d):
            module.eps = batchnorm_epsilon
    return network.requires_grad_(False).eval()


def i3d_classes(path: Path) -> tuple[str, ...]:
    """The names of the classes of a weights folder, in the order of the logits."""
    return tuple(_read_config(path / "config.json").get("classes", ()))


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise WeightsError(
            f"cannot read {path}: {error.strerror}", "an I3D folder holds config.json"
        ) from error
    except ValueError as error:
        raise WeightsError(f"{path} is not JSON: {error}") from error
    missing = {"width_multiplier", "num_classes"} - set(config if isinstance(config, dict) else ())
    if missing:
        raise WeightsError(f"{path}: {', '.join(sorted(missing))} missing")
    return config


def _read_tensors(path: Path) -> dict[str, Tensor]:
    import torch

    if not path.is_file():
        raise WeightsError(
            f"no I3D weights at {path}", "a folder with model.safetensors, or one file, is expected"
        )
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            tensors: Any = load_file(path)
        else:
            tensors = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # both readers raise many kinds; all mean that the file is not usable
        raise WeightsError(
            f"cannot read {path} as a state dict ({type(error).__name__}: {str(error)[:200]})",
            "safetensors, or a .pt file that holds nothing but tensors, is expected",
        ) from error
    if not isinstance(tensors, dict) or not all(
        isinstance(value, torch.Tensor) for value in tensors.values()
    ):
        raise WeightsError(f"{path} is not a state dict (names to tensors)")
    return tensors
