"""Optical flow by RAFT, with weights from a local file.

Teed and Deng, "RAFT: Recurrent All-Pairs Field Transforms for Optical Flow" (2020), as torchvision has it
(raft_large, raft_small), which is the authors' network under other names of tensors. The weights are
torchvision's state dict or the authors' (`raft-things.pth`, whose names are translated): the file, or a
folder with one file `raft*.pth` or `raft*.safetensors`.

20 updates, as VBench's and EvalCrafter's scripts run the authors' network (torchvision's default is 12).

Shape suffixes: B batch, C channels, H height, W width.
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ....core.tensor_files import find_one, refuse_other_tensors
from ....core.weights_format import WeightsFormat
from ....core.weights_tree import MissingFilesError, Tree, local_tree
from ..backbone import load_into, read_tensors, reference_precision
from .optical_flow import FlowField, Frame

if TYPE_CHECKING:
    from torch import Tensor

NUM_UPDATES = 20

_STRIDE = 8
_SMALLEST = 128
"""Pixels a side: the correlation pyramid halves the features, which have 1/8 of the size, three times."""


_HINT = (
    "torchvision's state dict of raft_large or raft_small, or the authors' (raft-things.pth), is expected, "
    "as raft*.pth or raft*.safetensors"
)


@dataclass(frozen=True)
class _RaftFile(WeightsFormat):
    def files(self, tree: Tree) -> tuple[str, ...]:
        if tree.is_file:
            if tree.path is not None:
                refuse_other_tensors(tree.path, self.what, "update_block.")
            return ()
        name = find_one(tree, "raft*")
        if name is None:
            raise MissingFilesError(f"no file raft* of weights in {tree.where}", _HINT)
        return (name,)

    def check(self, path: Path) -> None:
        """Names and shapes, as for loading."""
        load_raft(path, "meta")


RAFT = _RaftFile("file or folder of RAFT, torchvision's or the authors'")


def load_raft(location: Path, device: str = "cpu") -> Any:
    """torchvision's RAFT, large or small as the weights are, in evaluation mode on the CPU.

    Args:
        location: the file, or the folder that holds it.

    Raises:
        WeightsError: no such file, or its tensors do not fit.
    """
    import torch
    from torchvision.models.optical_flow import raft_large, raft_small

    path = location.joinpath(*RAFT.files(local_tree(location)))
    tensors = _as_torchvision(read_tensors(path, device=device))
    # The small network enlarges its flow without a learned mask.
    build = raft_large if any(name.startswith("mask_predictor.") for name in tensors) else raft_small
    with torch.device("meta"):  # no random weights are drawn, only to be thrown away
        network = build(weights=None, progress=False)
    return load_into(network, tensors, f"{path} does not fit {build.__name__}", _HINT)


_RENAMED = (
    (r"^fnet\.", "feature_encoder."),
    (r"^cnet\.", "context_encoder."),
    (r"^(\w+_encoder)\.conv1\.", r"\1.convnormrelu.0."),
    (r"^(\w+_encoder)\.norm1\.", r"\1.convnormrelu.1."),
    (r"^(\w+_encoder)\.conv2\.", r"\1.conv."),
    (r"(\.layer\d\.\d)\.conv(\d)\.", r"\1.convnormrelu\2.0."),
    (r"(\.layer\d\.\d)\.norm([12])\.", r"\1.convnormrelu\2.1."),
    (r"^update_block\.encoder\.conv([cf])(\d)\.", r"update_block.motion_encoder.conv@\1\2.0."),
    (r"@c", "corr"),
    (r"@f", "flow"),
    (r"^update_block\.encoder\.conv\.", "update_block.motion_encoder.conv.0."),
    (r"^update_block\.gru\.conv([zrq])([12])\.", r"update_block.recurrent_block.convgru\2.conv\1."),
    (r"^update_block\.gru\.conv([zrq])\.", r"update_block.recurrent_block.convgru1.conv\1."),
    (r"^update_block\.mask\.0\.", "mask_predictor.convrelu.0."),
    (r"^update_block\.mask\.2\.", "mask_predictor.conv."),
)
_TWICE = re.compile(r"\.layer\d\.\d\.norm[34]\.")
"""The authors' blocks hold the norm of their shortcut under a second name."""


def _as_torchvision(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors under torchvision's names; those that have them stay as they are."""
    if not any(name.removeprefix("module.").startswith("fnet.") for name in tensors):
        return tensors
    is_small = not any(name.removeprefix("module.").startswith("update_block.mask.") for name in tensors)
    renamed = {}
    for name, value in tensors.items():
        name = name.removeprefix("module.")
        # In a bottleneck the third norm is a layer's own, and the fourth the shortcut's.
        if _TWICE.search(name) and not (is_small and ".norm3." in name):
            continue
        if is_small:
            name = re.sub(r"(\.layer\d\.\d)\.norm3\.", r"\1.convnormrelu3.1.", name)
        for pattern, replacement in _RENAMED:
            name = re.sub(pattern, replacement, name)
        renamed[name] = value
    return renamed


class RaftFlow:
    """A flow function (see `optical_flow`) by a loaded network.

    Frames go in one pair at a time, as values -1 to 1, with their edges repeated on all sides up to a
    multiple of 8 and to 128 pixels; the flow is cut back.
    """

    def __init__(self, network: Any, device: str) -> None:
        self._network, self._device = network.to(device), device
        # torchvision's network keeps the correlations of the pair in itself.
        self._lock = threading.Lock()

    def __call__(self, first_HWC: Frame, second_HWC: Frame) -> FlowField:
        """As `optical_flow.FlowFunction`."""
        height, width = first_HWC.shape[:2]
        (top, _), (left, _) = _padding(height), _padding(width)
        flow_HWC = self.padded(first_HWC, second_HWC)
        return np.ascontiguousarray(flow_HWC[top : top + height, left : left + width])

    def padded(self, first_HWC: Frame, second_HWC: Frame) -> FlowField:
        """The flow of the frames with their repeated edges, of the size that the network saw."""
        from torch.nn import functional

        height, width = first_HWC.shape[:2]
        (top, bottom), (left, right) = _padding(height), _padding(width)
        with self._lock, reference_precision(self._device):
            pair = [
                functional.pad(self._pixels(frame), (left, right, top, bottom), mode="replicate")
                for frame in (first_HWC, second_HWC)
            ]
            flow_BCHW = self._network(*pair, num_flow_updates=NUM_UPDATES)[-1]
            return np.ascontiguousarray(flow_BCHW[0].permute(1, 2, 0).float().cpu().numpy())

    def _pixels(self, frame_HWC: Frame) -> Tensor:
        import torch

        # A copy: torch warns about memory that it must not write.
        frame_CHW = torch.from_numpy(frame_HWC.copy()).to(self._device).permute(2, 0, 1).float()
        return frame_CHW[None] / 127.5 - 1.0


def padded_length(length: int) -> int:
    """The least multiple of 8 that is not smaller."""
    return -(-length // _STRIDE) * _STRIDE


def _padding(length: int) -> tuple[int, int]:
    """Pixels before and after."""
    missing = max(_SMALLEST, padded_length(length)) - length
    return missing // 2, missing - missing // 2
