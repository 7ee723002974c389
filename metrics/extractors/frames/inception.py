"""The extractor of FID's features: Inception-v3's last pool, frame by frame.

Heusel et al., "GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium" (2017). How
frames become 299 x 299 values is the protocol's `inception` section. There are no default weights: those of
ImageNet in torchvision are another network's, and would give numbers that look like FID.

The weights are pytorch-fid's or torch-fidelity's file of the 2015 graph (`pt_inception-2015-12-05-*.pth`,
`weights-inception-2015-12-05-*.pth`), or a folder that holds it. NVIDIA's TorchScript file of the same
network is a program and is not read.

Shape suffixes: T frames, H height, W width, C channels, D features.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ....core.contracts import Extractor, FrozenConfig, Rows
from ....core.errors import WeightsError
from ....core.tensor_files import find_one, refuse_other_tensors
from ....core.types import Frames, Resources
from ....core.weights import resolve
from ....core.weights_format import WeightsFormat
from ....core.weights_tree import MissingFilesError, Tree, local_tree
from ...settings import InceptionSettings, ResizeStep
from ..backbone import load_into, read_tensors, resize_frames
from .session import FrameSession

if TYPE_CHECKING:
    from torch import Tensor

SIDE = 299

_HINT = (
    "pytorch-fid's pt_inception-2015-12-05-6726825d.pth, torch-fidelity's file of it, or either as "
    "safetensors is expected"
)


@dataclass(frozen=True)
class _InceptionFile(WeightsFormat):
    def files(self, tree: Tree) -> tuple[str, ...]:
        if tree.is_file:
            if tree.path is not None:
                refuse_other_tensors(tree.path, self.what, "Mixed_7c.branch_pool")
            return ()
        name = find_one(tree, "*inception*")
        if name is None:
            raise MissingFilesError(f"no file *inception* of weights in {tree.where}", _HINT)
        return (name,)

    def check(self, path: Path) -> None:
        """Names and shapes, as for loading."""
        load_inception(path, "meta")


INCEPTION = _InceptionFile("file or folder of FID's Inception-v3 (pt_inception-2015-12-05)")


def load_inception(location: Path, device: str = "cpu") -> Any:
    """FID's Inception-v3 in evaluation mode on the CPU.

    Raises:
        WeightsError: no such file, or its tensors do not fit.
    """
    import torch

    from .inception_network import fid_inception

    path = location.joinpath(*INCEPTION.files(local_tree(location)))
    tensors = read_tensors(path, device=device)
    classes = tensors.get("fc.weight")
    if classes is not None and len(classes) != 1008:
        raise WeightsError(f"{path} has {len(classes)} classes; FID's Inception has 1008", _HINT)
    with torch.device("meta"):  # no random weights are drawn, only to be thrown away
        network = fid_inception()
    kept = {name: value for name, value in tensors.items() if not name.startswith("fc.")}
    for name in network.state_dict():
        if name.endswith(".num_batches_tracked"):  # older files lack it, and nothing reads it
            kept.setdefault(name, torch.tensor(0))
    return load_into(network, kept, f"{path} does not fit FID's Inception-v3", _HINT)


class InceptionFeatures(Extractor):
    """FID's features of every frame: video [T, H, W, 3] uint8 -> float32 [T, 2048]."""

    class Config(FrozenConfig):
        """The weights, and the protocol's `inception` section."""

        weights: str = ""
        """File or folder; there is no default."""
        resize: tuple[ResizeStep, ...] = InceptionSettings().resize
        values: str = InceptionSettings().values

    name: ClassVar[str] = "inception"
    version: ClassVar[str] = "1"
    modality: ClassVar[str] = "video"
    rows: ClassVar[Rows] = "frames"
    weights_format = INCEPTION

    @classmethod
    def protocol_settings(cls, protocol: Any) -> dict[str, Any]:
        """The `inception` section."""
        settings: InceptionSettings = protocol.inception
        return {"resize": settings.resize, "values": settings.values}

    @classmethod
    def describe(cls, protocol: Any) -> str:
        """The `inception` section."""
        settings: InceptionSettings = protocol.inception
        return settings.describe()

    def resources(self) -> Resources:
        """One GPU."""
        return Resources(vram_gib=2.0)

    def load(self, device: str) -> FrameSession:
        """The network on a device."""
        reason = self.available(self.config.weights)
        if reason is not None:
            raise WeightsError(f"{self.name}: {reason}")
        network = load_inception(resolve(self.config.weights, INCEPTION)).to(device)
        resize, halves = self.config.resize, self.config.values == "minus-128"

        def encode(frames_THWC: Frames) -> Tensor:
            x_TCHW = resize_frames(frames_THWC, resize, SIDE, device)
            features_TD: Tensor = network((x_TCHW - 128.0) / 128.0 if halves else x_TCHW / 127.5 - 1.0)
            return features_TD

        return FrameSession(encode, "Inception", device)
