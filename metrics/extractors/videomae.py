"""VideoMAE features of a clip, and FVD and KVD computed on them.

Tong et al., "VideoMAE" (2022); proposed for FVD by Ge et al., "On the Content Bias in Fréchet Video Distance"
(2024), because features of a self-supervised model see motion where I3D's mostly see content. The paper's
package (cd-fvd) uses VideoMAE v2 ViT-g/14 tuned on Something-Something v2: 16 frames at 224, the mean over
all tokens through the head's LayerNorm, 1408 dimensions, on values 0 to 1 that are not normalised (protocol
`cd-fvd`; `clean` normalises as the model was trained). Weights are a folder or hub id in transformers'
format, or the authors' own file (see `videomae_checkpoint`), which cd-fvd uses.

The feature is what the classification head reads: fc_norm(mean over tokens), or the first token where the
model says that it does not pool. A folder without a head (a pretraining checkpoint) gives the plain mean over
tokens. transformers' fc_norm has epsilon 1e-5; for the authors' file it is theirs, 1e-6.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from ...core.weights import resolve
from ...core.weights_format import WeightsFormat
from ..protocol import Protocol
from ..sets.fvd import Fvd
from ..sets.kvd import Kvd
from .transformers_folder import load_model, read_config, read_mean_and_std
from .video_transformer import (
    VideoTransformer,
    VideoTransformerConfig,
    VideoTransformerExtractor,
    check_num_frames,
    square_side,
)
from .weights_formats import VIDEOMAE

if TYPE_CHECKING:
    from torch import Tensor

_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and deviation that the authors train with; their files do not say it."""

_NO_NORMALISATION = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


class VideoMaeFeatures(VideoTransformerExtractor):
    """VideoMAE features: video [T, H, W, 3] uint8 -> float32 [D]; T is the model's own, usually 16."""

    Config: ClassVar[type[VideoTransformerConfig]] = VideoTransformerConfig

    name: ClassVar[str] = "videomae"
    version: ClassVar[str] = "1"
    weights_role: ClassVar[str] = "videomae"
    format: ClassVar[WeightsFormat] = VIDEOMAE

    @classmethod
    def from_protocol(cls, protocol: Protocol, weights: str | None = None) -> Self:
        """The extractor with the parts of the protocol that its features depend on, and no others."""
        return cls(
            cls.Config(
                weights=weights or "",
                num_frames=protocol.sampling.num_frames,
                resize=protocol.videomae.resize,
                normalise=protocol.videomae.normalise == "model",
            )
        )

    @staticmethod
    def describe(protocol: Protocol) -> str:
        """For signatures: what the features depend on."""
        return protocol.videomae.describe()

    def _load(self, device: str) -> VideoTransformer:
        from transformers import VideoMAEForVideoClassification, VideoMAEModel

        folder = resolve(self.config.weights, VIDEOMAE)
        if folder.is_file():
            return self._load_file(folder, device)
        config = read_config(folder)
        # Written out only where they differ from transformers' defaults.
        num_frames = int(config.get("num_frames", 16))
        check_num_frames(self.name, self.config.num_frames, exactly=num_frames, at_most=0, multiple_of=1)
        mean, std = read_mean_and_std(folder) if self.config.normalise else _NO_NORMALISATION
        has_head = "VideoMAEForVideoClassification" in (config.get("architectures") or ())
        if has_head:
            network = load_model(
                VideoMAEForVideoClassification, folder, VIDEOMAE, unused=("classifier.",)
            ).to(device)
            features = _head_input(network)
        else:
            network = load_model(VideoMAEModel, folder, VIDEOMAE).to(device)
            features = _mean_of_tokens(network)
        return VideoTransformer(features, square_side(self.name, network.config.image_size), mean, std)

    def _load_file(self, path: Path, device: str) -> VideoTransformer:
        from .videomae_checkpoint import load_authors_checkpoint

        network = load_authors_checkpoint(path).to(device)
        check_num_frames(
            self.name, self.config.num_frames, exactly=network.config.num_frames, at_most=0, multiple_of=1
        )
        mean, std = _IMAGENET if self.config.normalise else _NO_NORMALISATION
        return VideoTransformer(_head_input(network), network.config.image_size, mean, std)


def _head_input(network: Any) -> Any:
    def features(pixels_BTCHW: Tensor) -> Tensor:
        tokens_BLD: Tensor = network.videomae(pixels_BTCHW).last_hidden_state
        if network.fc_norm is None:
            return tokens_BLD[:, 0]
        pooled_BD: Tensor = network.fc_norm(tokens_BLD.mean(dim=1))
        return pooled_BD

    return features


def _mean_of_tokens(network: Any) -> Any:
    def features(pixels_BTCHW: Tensor) -> Tensor:
        tokens_BLD: Tensor = network(pixels_BTCHW).last_hidden_state
        return tokens_BLD.mean(dim=1)

    return features


class FvdVideoMae(Fvd):
    """FVD on VideoMAE features, lower is better; the Fréchet settings of the protocol, as for FVD."""

    name: ClassVar[str] = "fvd_videomae"
    unit: ClassVar[str] = "squared VideoMAE features"
    needs: ClassVar[tuple[str, ...]] = ("videomae",)
    label: ClassVar[str] = "FVD (VideoMAE)"


class KvdVideoMae(Kvd):
    """KVD on VideoMAE features, lower is better; the kernel settings of the protocol, as for KVD."""

    name: ClassVar[str] = "kvd_videomae"
    needs: ClassVar[tuple[str, ...]] = ("videomae",)
    label: ClassVar[str] = "KVD (VideoMAE)"
