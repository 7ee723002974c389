"""The extractors of PickScore: features of frames and captions by its CLIP.

Kirstain et al., "Pick-a-Pic: An Open Dataset of User Preferences for Text-to-Image Generation" (2023): CLIP
ViT-H/14 tuned to predict which of two pictures people prefer. The weights are a transformers CLIP folder
(or hub id) with its tokenizer and processor. There are no default weights: a random or another CLIP would
give numbers that look like PickScore.

Frames are resized as the protocol's `clip` section says and normalised as the folder's processor does.

Shape suffixes: T frames, D feature dimension.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from ...core.contracts import Extractor, FrozenConfig
from ...core.errors import WeightsError
from ...core.types import Resources
from ...core.weights import resolve
from ...core.weights_format import ModelFolder
from ...core.weights_view import loaded_files
from ..settings import ClipSettings, ResizeStep
from .clip_model import ClipFrames, ClipModel, ClipTextSession, shared_model
from .transformers_folder import load_model, read_mean_and_std

if TYPE_CHECKING:
    from torch import Tensor

PICKSCORE = ModelFolder(
    "PickScore_v1, a transformers CLIP folder or hub id", model_type="clip", tokenizer=True
)


class _Pick(Extractor):
    class Config(FrozenConfig):
        weights: str = ""
        """Folder or hub id; there is no default."""

    version: ClassVar[str] = "1"
    weights_role: ClassVar[str] = "pickscore"
    weights_format = PICKSCORE

    def resources(self) -> Resources:
        """One GPU, for ViT-H/14."""
        return Resources(vram_gib=6.0)

    def _model(self, device: str) -> ClipModel:
        reason = self.available(self.config.weights)
        if reason is not None:
            raise WeightsError(f"PickScore: {reason}")
        return shared_model(load_pick, self.config.weights, device)


class PickImage(_Pick, ClipFrames):
    """PickScore's features of every frame: video [T, H, W, 3] uint8 -> float32 [T, D], rows of length 1."""

    class Config(_Pick.Config):
        """The weights, and how frames are resized."""

        resize: tuple[ResizeStep, ...] = ClipSettings().resize

    name: ClassVar[str] = "pick_image"


class PickText(_Pick):
    """PickScore's features of a caption times exp(logit_scale): text -> float32 [D].

    The caption is taken as it is; one of more tokens than the model takes (77) is cut, as the published
    script does.
    """

    name: ClassVar[str] = "pick_text"
    modality: ClassVar[str] = "text"

    @classmethod
    def describe(cls, protocol: Any) -> str:
        """The scale; no setting of the protocol acts."""
        return "scale:model"

    def load(self, device: str) -> ClipTextSession:
        """A session on the model that both extractors share."""
        return ClipTextSession(self._model(device), scaled=True)


def load_pick(location: str, device: str) -> ClipModel:
    """A transformers CLIP folder with its tokenizer and processor.

    Raises:
        WeightsError: a part is not there, or is another model's.
    """
    from transformers import AutoTokenizer, CLIPModel

    folder = resolve(location, PICKSCORE)
    mean, std = read_mean_and_std(folder)
    network = load_model(CLIPModel, folder, PICKSCORE).to(device)
    try:
        with loaded_files(folder, PICKSCORE) as view:
            tokenizer = AutoTokenizer.from_pretrained(
                str(view), local_files_only=True, trust_remote_code=False
            )
    except Exception as error:  # many kinds; all mean that the tokenizer's files are not there
        raise WeightsError(
            f"{folder} holds no tokenizer that transformers can load ({type(error).__name__})",
            "save the tokenizer into the folder too (vocab.json, merges.txt or tokenizer.json)",
        ) from error
    max_tokens = int(network.config.text_config.max_position_embeddings)

    def encode_image(pixels_TCHW: Tensor) -> Tensor:
        features_TD: Tensor = network.get_image_features(pixel_values=pixels_TCHW).pooler_output
        return features_TD

    def encode_text(caption: str) -> Tensor:
        tokens = tokenizer([caption], truncation=True, max_length=max_tokens, return_tensors="pt").to(device)
        features_1D: Tensor = network.get_text_features(
            input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]
        ).pooler_output
        return features_1D

    return ClipModel(
        who="PickScore",
        device=device,
        encode_image=encode_image,
        encode_text=encode_text,
        image_size=int(network.config.vision_config.image_size),
        mean=mean,
        std=std,
        scale=float(network.logit_scale.detach().exp()),
    )
