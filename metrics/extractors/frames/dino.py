"""The extractor of VBench's subject consistency: DINO features of frames.

The weights are the authors' backbone (`dino_vitbase16_pretrain.pth`: ViT-B/16, which VBench uses), or a
transformers folder of it (`facebook/dino-vitb16`); other ViTs of DINO work as well. LayerNorms have epsilon
1e-6 in both cases, as the authors' have; transformers' configuration says 1e-12. There are no default
weights.

Shape suffixes: T frames, C channels, H height, W width, D features.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ....core.contracts import Extractor, FrozenConfig, Rows
from ....core.errors import MetricError, WeightsError
from ....core.tensor_files import find_one, refuse_other_tensors
from ....core.types import Frames, Resources
from ....core.weights import resolve
from ....core.weights_format import ModelFolder
from ....core.weights_tree import Tree, local_tree
from ...settings import DinoSettings, ResizeStep
from ..backbone import load_into, normalise, read_tensors, resize_frames
from .session import FrameSession

if TYPE_CHECKING:
    from torch import Tensor

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

_HINT = "dino_vitbase16_pretrain.pth of DINO's authors, or a transformers folder such as facebook/dino-vitb16"


class _DinoFiles(ModelFolder):
    def files(self, tree: Tree) -> tuple[str, ...]:
        """The authors' file, also in a folder; or transformers' configuration and weights."""
        if tree.is_file:
            if tree.path is not None:
                refuse_other_tensors(tree.path, self.what, "patch_embed.proj")
            return ()
        if "config.json" not in tree.names and (name := find_one(tree, "dino*")) is not None:
            return (name,)
        return super().files(tree)

    def check(self, path: Path) -> None:
        """Names and shapes, as for loading."""
        load_dino(path, "meta")


DINO = _DinoFiles(
    "DINO: the authors' dino_vitbase16_pretrain.pth, or a transformers ViT folder or hub id", model_type="vit"
)

_RENAMED = (
    (r"^embeddings\.cls_token$", "cls_token"),
    (r"^embeddings\.position_embeddings$", "pos_embed"),
    (r"^embeddings\.patch_embeddings\.projection\.", "patch_embed.proj."),
    (r"^layernorm\.", "norm."),
    (r"^encoder\.layer\.(\d+)\.layernorm_before\.", r"blocks.\1.norm1."),
    (r"^encoder\.layer\.(\d+)\.layernorm_after\.", r"blocks.\1.norm2."),
    (r"^encoder\.layer\.(\d+)\.attention\.output\.dense\.", r"blocks.\1.attn.proj."),
    (r"^encoder\.layer\.(\d+)\.intermediate\.dense\.", r"blocks.\1.mlp.fc1."),
    (r"^encoder\.layer\.(\d+)\.output\.dense\.", r"blocks.\1.mlp.fc2."),
)
_QUERY = re.compile(r"^encoder\.layer\.(\d+)\.attention\.attention\.query\.(weight|bias)$")
_KEY_OR_VALUE = re.compile(r"\.attention\.attention\.(key|value)\.(weight|bias)$")


def load_dino(location: Path, device: str = "cpu") -> tuple[Any, int]:
    """The network in evaluation mode on the CPU, and the side of the frames that it was trained on.

    Raises:
        WeightsError: files are missing, or are another network's.
    """
    import torch

    from .dino_network import DinoVit

    files = [location / name for name in DINO.files(local_tree(location))] or [location]
    tensors: dict[str, Tensor] = {}
    for path in files:
        if path.suffix != ".json":
            tensors |= read_tensors(path, device=device)
    tensors = _as_the_authors(tensors)
    try:
        width, _, patch, _ = tensors["patch_embed.proj.weight"].shape
        hidden, num_positions = len(tensors["blocks.0.mlp.fc1.weight"]), tensors["pos_embed"].shape[1] - 1
        side = round(num_positions**0.5)
    except (KeyError, ValueError, IndexError):
        raise WeightsError(
            f"{location} is not DINO's ViT; found {', '.join(sorted(tensors)[:3])}, ...", _HINT
        ) from None
    if width % 64 or side**2 != num_positions:
        raise WeightsError(
            f"{location} is not DINO's ViT: {width} wide, {num_positions} positions; the width is a multiple "
            "of 64, and the positions are a square",
            _HINT,
        )
    depth = 1 + max(int(match[1]) for name in tensors if (match := re.match(r"blocks\.(\d+)\.", name)))
    with torch.device("meta"):
        network = DinoVit(width, hidden, depth, patch, num_positions)
    return load_into(network, tensors, f"{location} does not fit DINO's ViT", _HINT), side * patch


def _as_the_authors(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors under the authors' names, without heads and poolers."""
    import torch

    renamed: dict[str, Tensor] = {}
    for full_name, value in tensors.items():
        name = full_name.removeprefix("vit.")
        if name.startswith(("pooler.", "head.", "classifier.")) or _KEY_OR_VALUE.search(name):
            continue
        if query := _QUERY.match(name):
            parts = [full_name.replace(".query.", f".{part}.") for part in ("query", "key", "value")]
            missing = [part for part in parts if part not in tensors]
            if missing:
                raise WeightsError(f"DINO's weights are incomplete: no {', '.join(missing)}", _HINT)
            renamed[f"blocks.{query[1]}.attn.qkv.{query[2]}"] = torch.cat([tensors[part] for part in parts])
            continue
        for pattern, replacement in _RENAMED:
            name = re.sub(pattern, replacement, name)
        renamed[name] = value
    return renamed


class DinoFeatures(Extractor):
    """DINO's class token of every frame: video [T, H, W, 3] uint8 -> float32 [T, D]; D is 768 for ViT-B."""

    class Config(FrozenConfig):
        """The weights, and the protocol's `dino` section."""

        weights: str = ""
        """File, folder or hub id; there is no default."""
        resize: tuple[ResizeStep, ...] = DinoSettings().resize

    name: ClassVar[str] = "dino"
    version: ClassVar[str] = "1"
    modality: ClassVar[str] = "video"
    rows: ClassVar[Rows] = "frames"
    weights_format = DINO

    @classmethod
    def protocol_settings(cls, protocol: Any) -> dict[str, Any]:
        """The resize."""
        return {"resize": protocol.dino.resize}

    @classmethod
    def describe(cls, protocol: Any) -> str:
        """The resize."""
        settings: DinoSettings = protocol.dino
        return settings.describe()

    def resources(self) -> Resources:
        """One GPU."""
        return Resources(vram_gib=2.0)

    def load(self, device: str) -> FrameSession:
        """The network on a device."""
        reason = self.available(self.config.weights)
        if reason is not None:
            raise WeightsError(f"{self.name}: {reason}")
        network, side = load_dino(resolve(self.config.weights, DINO))
        network, resize = network.to(device), self.config.resize

        def encode(frames_THWC: Frames) -> Tensor:
            height, width = frames_THWC.shape[1:3]
            if max(height, width) > _LONGEST * min(height, width):
                raise MetricError(
                    f"DINO: frames of {height} x {width} are more than {_LONGEST} times as long as wide",
                    "leave this clip or this metric out",
                )
            features_TD: Tensor = network(
                normalise(resize_frames(frames_THWC, resize, side, device), MEAN, STD)
            )
            return features_TD

        return FrameSession(encode, "DINO", device)


_LONGEST = 8
"""The ratio of a frame's sides up to which attention over its patches stays affordable."""
