"""The extractor of FVMD's features: how points move through a clip, by PIPs++.

Frames are resized as the protocol's `tracking` section says (256 x 256), 400 points are followed through 16
frames, and their motion is described by `motion_histograms`. There are no default weights: a random tracker
would give numbers that look like FVMD.

The weights are FVMD's `pips2_weights.pth`, or PIPs++'s own reference model, which has the same layout.

Shape suffixes: T frames, H height, W width, C channels, P points.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from ....core.contracts import Extractor, ExtractorSession, FrozenConfig
from ....core.errors import MetricError, WeightsError
from ....core.tensor_files import find_one, refuse_other_tensors
from ....core.types import Features, Frames, Resources
from ....core.weights import resolve
from ....core.weights_format import WeightsFormat
from ....core.weights_tree import MissingFilesError, Tree, local_tree
from ...settings import ResizeStep, TrackingSettings
from ..backbone import check_frames, load_into, read_tensors, reference_precision, resize_frames
from .motion_histograms import grid, motion_features

NUM_FRAMES = 16
_SIDE = 256

_HINT = "FVMD's pips2_weights.pth, PIPs++'s reference model, or either as safetensors is expected"


@dataclass(frozen=True)
class _PipsFile(WeightsFormat):
    def files(self, tree: Tree) -> tuple[str, ...]:
        if tree.is_file:
            if tree.path is not None:
                refuse_other_tensors(tree.path, self.what, "delta_block.")
            return ()
        name = find_one(tree, "pips*")
        if name is None:
            raise MissingFilesError(f"no file pips* of weights in {tree.where}", _HINT)
        return (name,)

    def check(self, path: Path) -> None:
        """Names and shapes, as for loading."""
        load_pips(path, "meta")


PIPS = _PipsFile("file or folder of PIPs++ (pips2_weights.pth)")


def load_pips(location: Path, device: str = "cpu") -> Any:
    """PIPs++ in evaluation mode on the CPU.

    Raises:
        WeightsError: no such file, or its tensors do not fit.
    """
    import torch

    from .pips_network import PipsPlusPlus

    path = location.joinpath(*PIPS.files(local_tree(location)))
    tensors = read_tensors(path, nested=("model_state_dict",), device=device)
    tensors = {name.removeprefix("module."): value for name, value in tensors.items()}
    with torch.device("meta"):  # no random weights are drawn, only to be thrown away
        network = PipsPlusPlus()
    return load_into(network, tensors, f"{path} does not fit PIPs++", _HINT)


class PointMotion(Extractor):
    """FVMD's features: video [T, H, W, 3] uint8 -> float32 [1024]."""

    class Config(FrozenConfig):
        """The weights, and the protocol's settings from frames to points."""

        weights: str = ""
        """File or folder; there is no default."""
        num_frames: int = Field(default=NUM_FRAMES, ge=1)
        """FVMD is defined for 16; others are refused."""
        resize: tuple[ResizeStep, ...] = TrackingSettings().resize

    name: ClassVar[str] = "point_motion"
    version: ClassVar[str] = "1"
    modality: ClassVar[str] = "video"
    weights_role: ClassVar[str] = "pips"
    weights_format = PIPS

    @classmethod
    def protocol_settings(cls, protocol: Any) -> dict[str, Any]:
        """Frames and resize."""
        return {"num_frames": protocol.sampling.num_frames, "resize": protocol.tracking.resize}

    @classmethod
    def describe(cls, protocol: Any) -> str:
        """The resize, and how points are followed."""
        settings: TrackingSettings = protocol.tracking
        return f"{settings.describe()}|points:400,pips++"

    def resources(self) -> Resources:
        """One GPU."""
        return Resources(vram_gib=4.0)

    def load(self, device: str) -> PointMotionSession:
        """The tracker on a device.

        Raises:
            WeightsError: no weights are named or found, or they are another network's.
            MetricError: the protocol measures another number of frames than FVMD.
        """
        if self.config.num_frames != NUM_FRAMES:
            raise MetricError(
                f"FVMD is defined for {NUM_FRAMES} frames, the protocol measures {self.config.num_frames}",
                f"set sampling.num_frames to {NUM_FRAMES}, or leave out FVMD",
            )
        reason = self.available(self.config.weights)
        if reason is not None:
            raise WeightsError(f"{self.name}: {reason}")
        network = load_pips(resolve(self.config.weights, PIPS)).to(device)
        return PointMotionSession(network, self.config.resize, device)


class PointMotionSession(ExtractorSession):
    """One clip at a time."""

    def __init__(self, network: Any, resize: tuple[ResizeStep, ...], device: str) -> None:
        self._network, self._resize, self._device = network, resize, device

    def extract_one(self, item: Frames) -> Features:
        """Features float32 [1024] of a clip.

        Raises:
            MetricError: it is not uint8 [T, H, W, 3], or has fewer than 16 frames.
        """
        return motion_features(self.track(item))

    def track(self, item: Frames) -> np.ndarray:
        """The places (x, y) of 400 points in the first 16 frames, float32 [16, 400, 2], in pixels of 256 x
        256."""
        import torch

        check_frames(item, min_frames=NUM_FRAMES, who="FVMD")
        with reference_precision(self._device):
            frames_TCHW = resize_frames(item[:NUM_FRAMES], self._resize, _SIDE, self._device)
            points_P2 = torch.from_numpy(grid(*frames_TCHW.shape[2:])).to(self._device)
            places_TP2: np.ndarray = self._network(frames_TCHW / 127.5 - 1.0, points_P2).cpu().numpy()
            return places_TP2
