"""VideoMAE features of a clip.

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
from typing import TYPE_CHECKING, Any, ClassVar

from ...core.weights_format import ModelFolder
from ...core.weights_tree import local_tree, read_json
from .backbone import square_side
from .transformers_folder import load_model, read_mean_and_std
from .video_transformer import NO_NORMALISATION, VideoTransformer, VideoTransformerExtractor
from .videomae_checkpoint import load_authors_checkpoint

if TYPE_CHECKING:
    from torch import Tensor

VIDEOMAE = ModelFolder(
    "a transformers VideoMAE folder or hub id, or the authors' file", model_type="videomae", single_file=True
)

_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and deviation that the authors train with; their files do not say it."""


class VideoMaeFeatures(VideoTransformerExtractor):
    """VideoMAE features: video [T, H, W, 3] uint8 -> float32 [D]; T is the model's own, usually 16."""

    name: ClassVar[str] = "videomae"
    version: ClassVar[str] = "1"
    weights_format = VIDEOMAE

    def load_network(self, path: Path, device: str) -> VideoTransformer:
        """The network of transformers' folder or of the authors' file."""
        from transformers import VideoMAEForVideoClassification, VideoMAEModel

        if path.is_file():
            network = load_authors_checkpoint(path).to(device)
            self.check_num_frames(exactly=network.config.num_frames)
            mean, std = _IMAGENET if self.config.normalise else NO_NORMALISATION
            return VideoTransformer(_head_input(network), network.config.image_size, mean, std)
        config = read_json(local_tree(path), "config.json")
        # Written out only where it differs from transformers' default.
        self.check_num_frames(exactly=int(config.get("num_frames", 16)))
        mean, std = read_mean_and_std(path) if self.config.normalise else NO_NORMALISATION
        if "VideoMAEForVideoClassification" in (config.get("architectures") or ()):
            network = load_model(VideoMAEForVideoClassification, path, VIDEOMAE, unused=("classifier.",))
            features = _head_input(network.to(device))
        else:
            network = load_model(VideoMAEModel, path, VIDEOMAE).to(device)
            features = _mean_of_tokens(network)
        return VideoTransformer(features, square_side(self.name, network.config.image_size), mean, std)


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
