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
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ....core.errors import WeightsError
from ....core.tensor_files import find_one
from ....core.weights_format import WeightsFormat
from ....core.weights_tree import MissingFilesError, Tree, local_tree
from ..backbone import load_into, read_tensors

if TYPE_CHECKING:
    from torch import Tensor

    from .lpips_network import LpipsNetwork

_CONVOLUTION = re.compile(r"^(?:features|net\.slice\d)\.(\d+)\.(weight|bias)$")
_HEAD = re.compile(r"^lin(\d)\.model\.1\.weight$")

_HINT = (
    "a folder with torchvision's alexnet*.pth and LPIPS's alex.pth (version 0.1), or one safetensors file "
    "with the tensors of both, is expected"
)


@dataclass(frozen=True)
class _LpipsFiles(WeightsFormat):
    def files(self, tree: Tree) -> tuple[str, ...]:
        if tree.is_file:
            return ()
        convolutions, heads = find_one(tree, "alexnet*"), find_one(tree, "alex")
        if convolutions is not None and heads is not None:
            return tuple(sorted((convolutions, heads)))
        both = find_one(tree, "*") if convolutions is None and heads is None else None
        if both is not None:
            return (both,)
        missing = [name for name, path in (("alexnet*", convolutions), ("alex.pth", heads)) if path is None]
        raise MissingFilesError(f"no file {' and no file '.join(missing)} in {tree.where}", _HINT)

    def check(self, path: Path) -> None:
        """As for loading: the files are small."""
        load_lpips(path)


LPIPS = _LpipsFiles(
    "folder with torchvision's AlexNet and LPIPS's alex.pth, or one safetensors file with both"
)


def load_lpips(location: Path) -> LpipsNetwork:
    """LPIPS in evaluation mode on the CPU.

    Args:
        location: see the module's docstring.

    Raises:
        WeightsError: a file is missing or cannot be read, or tensors are missing or of other shapes.
    """
    from .lpips_network import LpipsNetwork

    files = [location / name for name in LPIPS.files(local_tree(location))] or [location]
    tensors: dict[str, Tensor] = {}
    for path in files:
        for name, value in read_tensors(path).items():
            if (renamed := _renamed(name)) is not None:
                tensors[renamed] = value
    network: LpipsNetwork = load_into(
        LpipsNetwork(), tensors, f"{location} does not fit LPIPS on AlexNet", _HINT
    )
    negative = sorted(
        name for name, value in tensors.items() if name.startswith("heads.") and bool((value < 0).any())
    )
    if negative:
        raise WeightsError(
            f"{location}: {', '.join(negative)} have negative weights, which LPIPS's heads never have", _HINT
        )
    return network


def _renamed(name: str) -> str | None:
    convolution, head = _CONVOLUTION.match(name), _HEAD.match(name)
    if convolution:
        return f"features.{convolution[1]}.{convolution[2]}"
    return f"heads.{head[1]}.weight" if head else None
