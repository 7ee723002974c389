"""LPIPS's weights from disk: AlexNet's convolutions and the linear heads.

A location is one of:

* a folder with torchvision's AlexNet (`alexnet*.pth` or `.safetensors`) and the published heads of version
  0.1 (`alex.pth` or `.safetensors`);
* one file with both, for example the state dict of the authors' LPIPS module.

Names of tensors: `features.<n>.weight` and `.bias` (torchvision's) or `net.slice<k>.<n>.weight` (the authors'
module) for the convolutions, `lin<k>.model.1.weight` for the heads. Others, such as AlexNet's classifier, are
not read.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from ....core.errors import WeightsError
from ....core.weights_tree import LocalTree
from ..tensor_files import read_tensors
from ..weights_formats import LPIPS_HINT, lpips_files
from .lpips_network import LpipsNetwork

if TYPE_CHECKING:
    from torch import Tensor

_CONVOLUTION = re.compile(r"^(?:features|net\.slice\d)\.(\d+)\.(weight|bias)$")
_HEAD = re.compile(r"^lin(\d)\.model\.1\.weight$")


def load_lpips(location: Path) -> LpipsNetwork:
    """LPIPS in evaluation mode on the CPU.

    Args:
        location: see the module's docstring.

    Raises:
        WeightsError: a file is missing or cannot be read, or tensors are missing or of other shapes.
    """
    tensors: dict[str, Tensor] = {}
    files = [location / name for name in lpips_files(LocalTree(location))] or [location]
    for path in files:
        for name, value in read_tensors(path).items():
            renamed = _renamed(name)
            if renamed is not None:
                tensors[renamed] = value
    network = LpipsNetwork()
    try:
        network.load_state_dict(tensors, strict=True, assign=True)
    except RuntimeError as error:
        faults = " ".join(str(error).split())
        raise WeightsError(f"{location} does not fit LPIPS on AlexNet: {faults[:400]}", LPIPS_HINT) from None
    negative = sorted(
        name for name, value in tensors.items() if name.startswith("heads.") and bool((value < 0).any())
    )
    if negative:
        raise WeightsError(
            f"{location}: {', '.join(negative)} have negative weights, which LPIPS's heads never have",
            LPIPS_HINT,
        )
    return network.float().requires_grad_(False).eval()


def _renamed(name: str) -> str | None:
    convolution, head = _CONVOLUTION.match(name), _HEAD.match(name)
    if convolution:
        return f"features.{convolution[1]}.{convolution[2]}"
    return f"heads.{head[1]}.weight" if head else None
