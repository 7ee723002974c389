"""The extractor of VBench's aesthetic quality: LAION's linear head on CLIP ViT-L/14.

LAION's aesthetic predictor, version 1 (`sa_0_4_vit_l_14_linear.pth`): a linear map from unit CLIP features
to a rating of 1 to 10, as people gave them. There are no default weights. A location is one of:

* the head's file; CLIP is then open_clip's `ViT-L-14:openai`, fetched or cached as for the role `clip`;
* a folder with the head and its CLIP: open_clip's folder (`open_clip_config.json` and its checkpoint beside
  the head), or OpenAI's weights as one file `ViT-L-14*`.

Shape suffixes: T frames, D features.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ....core.contracts import Extractor, ExtractorSession, FrozenConfig, Rows
from ....core.errors import WeightsError
from ....core.tensor_files import find_one, refuse_other_tensors
from ....core.types import Features, Frames, Resources, WeightsRef
from ....core.weights import resolve, split_pin
from ....core.weights_format import WeightsFormat
from ....core.weights_tree import MissingFilesError, Tree, local_tree
from ...settings import ClipSettings, ResizeStep
from ..backbone import read_tensors
from ..clip_model import ClipImageSession, ClipModel, load_clip, shared_model
from ..clip_weights import CLIP_CHECKPOINT, CLIP_FOLDER, weights_ref

if TYPE_CHECKING:
    from torch import Tensor

_ARCHITECTURE, _TAG = "ViT-L-14", "openai"
_HEAD = "sa_0_4_vit_*_linear"
_CHECKPOINT = "vit-l-14*"

_HINT = (
    "LAION's sa_0_4_vit_l_14_linear.pth, or a folder with it and CLIP ViT-L/14 (open_clip's folder, or a "
    "file ViT-L-14*), is expected"
)

_ELSEWHERE = (
    f"the head alone takes open_clip's {_ARCHITECTURE}:{_TAG}, from the hub or its cache; without a network "
    "give a folder with the head and CLIP ViT-L/14"
)


@dataclass(frozen=True)
class _AestheticFiles(WeightsFormat):
    def files(self, tree: Tree) -> tuple[str, ...]:
        if tree.is_file:
            if tree.path is not None:
                refuse_other_tensors(tree.path, self.what, "weight")
            return ()
        head, checkpoint = find_one(tree, _HEAD), find_one(tree, _CHECKPOINT)
        if head is None:
            raise MissingFilesError(f"no file {_HEAD} in {tree.where}", _HINT)
        if "open_clip_config.json" in tree.names:
            return tuple(sorted({head, *CLIP_FOLDER.files(tree)}))
        if checkpoint is None:
            raise MissingFilesError(
                f"{tree.where} holds no CLIP beside the head",
                f"put CLIP ViT-L/14 beside it, or name {head} itself to take open_clip's "
                f"{_ARCHITECTURE}:{_TAG}",
            )
        return tuple(sorted((head, checkpoint)))

    def check(self, path: Path) -> None:
        """The head, which is small, as for loading; CLIP's files as far as they show their damage."""
        super().check(path)
        _read_head(path if path.is_file() else path / str(find_one(local_tree(path), _HEAD)))


AESTHETIC = _AestheticFiles("LAION's sa_0_4_vit_l_14_linear.pth, alone or in a folder with its CLIP")


class AestheticScores(Extractor):
    """The aesthetic rating of every frame: video [T, H, W, 3] uint8 -> float32 [T], about 1 to 10."""

    class Config(FrozenConfig):
        """The weights, and the resize of the protocol's `clip` section."""

        weights: str = ""
        """The head's file, or a folder with it and CLIP; there is no default."""
        resize: tuple[ResizeStep, ...] = ClipSettings().resize

    name: ClassVar[str] = "aesthetic"
    version: ClassVar[str] = "1"
    modality: ClassVar[str] = "video"
    rows: ClassVar[Rows] = "frames"
    weights_format = AESTHETIC

    @classmethod
    def protocol_settings(cls, protocol: Any) -> dict[str, Any]:
        """The resize."""
        return {"resize": protocol.clip.resize}

    @classmethod
    def describe(cls, protocol: Any) -> str:
        """The resize."""
        settings: ClipSettings = protocol.clip
        return settings.describe_image()

    def weights(self) -> tuple[WeightsRef, ...]:
        """The head, and CLIP where it does not lie beside it."""
        refs = super().weights()
        if _is_head(self.config.weights):
            clip = weights_ref("aesthetic_clip", _ARCHITECTURE, _TAG)
            refs += (replace(clip, format=replace(CLIP_CHECKPOINT, elsewhere=_ELSEWHERE)),)
        return refs

    def resources(self) -> Resources:
        """One GPU, for ViT-L/14."""
        return Resources(vram_gib=2.0)

    def load(self, device: str) -> AestheticSession:
        """CLIP on a device, and the head.

        Raises:
            WeightsError: no weights are named, or they do not fit each other.
        """
        reason = self.available(self.config.weights)
        if reason is not None:
            raise WeightsError(f"{self.name}: {reason}")
        path = resolve(self.config.weights, AESTHETIC)
        if path.is_file():
            head, clip = path, (_ARCHITECTURE, _TAG)
        else:
            tree = local_tree(path)
            head = path / str(find_one(tree, _HEAD))
            if "open_clip_config.json" in tree.names:
                clip = ("", str(path))
            else:  # OpenAI's weights were trained with the other GELU
                clip = (f"{_ARCHITECTURE}-quickgelu", str(path / str(find_one(tree, _CHECKPOINT))))
        return AestheticSession(
            shared_model(load_clip, *clip, device), self.config.resize, *_read_head(head), head
        )


def _is_head(location: str) -> bool:
    return Path(split_pin(location)[0]).suffix in (".pth", ".pt", ".safetensors")


def _read_head(path: Path) -> tuple[np.ndarray, float]:
    """The weight float32 [D] and the bias of the linear head."""
    tensors: dict[str, Tensor] = read_tensors(path)
    shapes = {name: tuple(value.shape) for name, value in tensors.items()}
    if set(shapes) != {"weight", "bias"} or len(shapes["weight"]) != 2 or shapes["weight"][0] != 1:
        raise WeightsError(f"{path} is no linear head of one rating: it holds {shapes}", _HINT)
    return tensors["weight"][0].float().numpy(), float(tensors["bias"].reshape(-1)[0])


class AestheticSession(ExtractorSession):
    """CLIP over the frames of a clip, and the head on its unit features."""

    def __init__(
        self,
        model: ClipModel,
        resize: tuple[ResizeStep, ...],
        weight_D: np.ndarray,
        bias: float,
        path: Path,
    ) -> None:
        self._clip, self._weight_D, self._bias, self._path = (
            ClipImageSession(model, resize),
            weight_D,
            bias,
            path,
        )

    def extract_one(self, item: Frames) -> Features:
        """Ratings float32 [T] of a clip's frames.

        Raises:
            MetricError: it is not uint8 [T, H, W, 3] with at least one frame.
            WeightsError: the head is for another width than CLIP's.
        """
        unit_TD = self._clip.extract_one(item)
        if unit_TD.shape[1] != len(self._weight_D):
            raise WeightsError(
                f"{self._path} rates features of {len(self._weight_D)} dimensions, this CLIP gives "
                f"{unit_TD.shape[1]}",
                _HINT,
            )
        ratings_T: np.ndarray = unit_TD @ self._weight_D + np.float32(self._bias)
        return ratings_T
