"""V-JEPA 2 features of a clip, for the MMD that JEDi proposes.

JEDi (Luo et al., "Beyond FVD: Enhanced Evaluation Metrics for Video Generation Quality", 2024) takes V-JEPA 1
ViT-H/16 with the attentive probe tuned on Something-Something v2: 16 frames at 224, ImageNet normalisation,
the probe's pooled token, 1280 dimensions. That model's published file is no transformers model; **here V-JEPA
2 (Assran et al., 2025) stands in its place**, so values do not compare with published JEDi values.

A VJEPA2ForVideoClassification gives its attentive pooler's output, a folder without a head the mean over the
encoder's tokens. JEDi has the same two choices.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ...core.weights_format import ModelFolder
from ...core.weights_tree import local_tree, read_json
from .transformers_folder import load_model, read_mean_and_std
from .video_transformer import NO_NORMALISATION, VideoTransformer, VideoTransformerExtractor

if TYPE_CHECKING:
    from torch import Tensor

VJEPA = ModelFolder("a transformers V-JEPA 2 folder or hub id", model_type="vjepa2")

_PREDICTOR = "predictor."


class VJepaFeatures(VideoTransformerExtractor):
    """V-JEPA 2 features: video [T, H, W, 3] uint8 -> float32 [D].

    T is a multiple of the model's tubelet (2) and at most the number of frames that it was trained on:
    positions are rotary, so the network would take more, but never saw them.
    """

    name: ClassVar[str] = "vjepa"
    version: ClassVar[str] = "1"
    weights_format = VJEPA

    def load_network(self, path: Path, device: str) -> VideoTransformer:
        """The network of transformers' folder, with or without its classifier."""
        from transformers import VJEPA2ForVideoClassification, VJEPA2Model

        config = read_json(local_tree(path), "config.json")
        # Written out only where they differ from transformers' defaults.
        self.check_num_frames(
            at_most=int(config.get("frames_per_clip", 64)), multiple_of=int(config.get("tubelet_size", 2))
        )
        mean, std = read_mean_and_std(path) if self.config.normalise else NO_NORMALISATION
        if "VJEPA2ForVideoClassification" in (config.get("architectures") or ()):
            unused = ("classifier.", f"vjepa2.{_PREDICTOR}")
            network = load_model(VJEPA2ForVideoClassification, path, VJEPA, unused=unused).to(device)
            features = _pooled(network)
        else:
            network = load_model(VJEPA2Model, path, VJEPA, unused=(_PREDICTOR,)).to(device)
            features = _mean_of_tokens(network)
        return VideoTransformer(features, int(network.config.crop_size), mean, std)


def _pooled(network: Any) -> Any:
    def features(pixels_BTCHW: Tensor) -> Tensor:
        pooled_BD: Tensor = network.pooler(network.vjepa2.get_vision_features(pixels_BTCHW))
        return pooled_BD

    return features


def _mean_of_tokens(network: Any) -> Any:
    def features(pixels_BTCHW: Tensor) -> Tensor:
        tokens_BLD: Tensor = network.get_vision_features(pixels_BTCHW)
        return tokens_BLD.mean(dim=1)

    return features
