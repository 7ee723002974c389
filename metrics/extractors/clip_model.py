"""A CLIP that is loaded once in a process, and what its extractors do with it; the loader of open_clip's.

Shape suffixes: T frames, C channels, H height, W width, D feature dimension.
"""

from __future__ import annotations

import contextlib
import weakref
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ...core.contracts import Extractor, ExtractorSession, Rows
from ...core.errors import MetricError, WeightsError
from ...core.types import Features, Frames
from ...core.weights import resolve, split_pin
from ...core.weights_view import loaded_files, said
from ..settings import ClipSettings, ResizeStep
from .backbone import check_frames, normalise, reference_precision, resize_frames, square_side
from .clip_weights import CLIP_FOLDER, is_checkpoint_file, weights_ref

if TYPE_CHECKING:
    from torch import Tensor

_FRAMES_AT_ONCE = 16
"""Frames in one forward pass: bounds memory for long clips. Fixed, and never across clips."""


@dataclass(frozen=True, eq=False)
class ClipModel:
    """A loaded model in evaluation mode, float32.

    Attributes:
        who: its name in messages.
        device: where it is.
        encode_image: frames [T, C, H, W], normalised, -> [T, D].
        encode_text: a caption -> [1, D]; one of too many tokens is cut, its end kept marked.
        image_size: side of the square input in pixels.
        mean, std: of the model's own image normalisation, values 0 to 1.
        scale: exp(logit_scale), about 100 for OpenAI's models: cosines times it are the model's logits.
    """

    who: str
    device: str
    encode_image: Callable[[Tensor], Tensor]
    encode_text: Callable[[str], Tensor]
    image_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    scale: float


# Sessions of one process share a loaded model; it goes when the last of them does.
_loaded: weakref.WeakValueDictionary[tuple[str, ...], ClipModel] = weakref.WeakValueDictionary()


def shared_model(load: Callable[..., ClipModel], *arguments: str) -> ClipModel:
    """`load(*arguments)`, or the model that it gave before, while that is in use."""
    key = (load.__qualname__, *arguments)
    model = _loaded.get(key)
    if model is None:
        model = _loaded[key] = load(*arguments)
    return model


class ClipFrames(Extractor):
    """Frames through a CLIP, resized as the protocol's `clip` section says; a subclass gives the model."""

    modality: ClassVar[str] = "video"
    rows: ClassVar[Rows] = "frames"

    @classmethod
    def protocol_settings(cls, protocol: Any) -> dict[str, Any]:
        """The resize."""
        return {"resize": protocol.clip.resize}

    @classmethod
    def describe(cls, protocol: Any) -> str:
        """The resize."""
        settings: ClipSettings = protocol.clip
        return settings.describe_image()

    def load(self, device: str) -> ClipImageSession:
        """A session on the model that all extractors of these weights share."""
        return ClipImageSession(self._model(device), self.config.resize)

    @abstractmethod
    def _model(self, device: str) -> ClipModel: ...


class ClipImageSession(ExtractorSession):
    """One forward pass for at most 16 frames of one clip: a clip's features depend on that clip only."""

    def __init__(self, model: ClipModel, resize: Sequence[ResizeStep], *, unit: bool = True) -> None:
        """`unit` features have length 1; others are as the model gives them."""
        self._model, self._resize, self._unit = model, tuple(resize), unit

    def extract_one(self, item: Frames) -> Features:
        """Features float32 [T, D] of a clip.

        Raises:
            MetricError: a clip is not uint8 [T, H, W, 3] with at least one frame.
        """
        import torch

        model = self._model
        check_frames(item, who=model.who)
        parts = []
        with reference_precision(model.device):
            for start in range(0, len(item), _FRAMES_AT_ONCE):
                frames_THWC = item[start : start + _FRAMES_AT_ONCE]
                frames_TCHW = resize_frames(frames_THWC, self._resize, model.image_size, model.device)
                encoded_TD = model.encode_image(normalise(frames_TCHW, model.mean, model.std)).float()
                if self._unit:
                    encoded_TD = torch.nn.functional.normalize(encoded_TD, dim=-1)
                parts.append(encoded_TD.cpu().numpy())
        return np.concatenate(parts)


class ClipTextSession(ExtractorSession):
    """One forward pass for each caption, so that its features depend on that caption only."""

    def __init__(self, model: ClipModel, prefix: str = "", *, scaled: bool = False) -> None:
        """`prefix` is put before every caption; `scaled` features have the length `model.scale`, not 1."""
        self._model, self._prefix, self._scaled = model, prefix, scaled

    def extract_one(self, item: str) -> Features:
        """Features float32 [D] of a caption.

        Raises:
            MetricError: it is not a string.
        """
        import torch

        if not isinstance(item, str):
            raise MetricError(f"{self._model.who} takes captions as strings, got {type(item).__name__}")
        with reference_precision(self._model.device):
            encoded_1D = self._model.encode_text(self._prefix + item)
            unit_D = torch.nn.functional.normalize(encoded_1D.float(), dim=-1)[0]
            features_D: np.ndarray = (unit_D * self._model.scale if self._scaled else unit_D).cpu().numpy()
            return features_D


def load_clip(architecture: str, source: str, device: str) -> ClipModel:
    """open_clip's model at a location split by `split_location`.

    Raises:
        WeightsError: nothing is there, or open_clip cannot make a model of it.
    """
    import open_clip

    ref = weights_ref("clip", architecture, source)
    path = resolve(ref.location, ref.format)
    options: dict[str, Any] = {}
    if architecture:
        options["pretrained"] = str(path)
        bare, _ = split_pin(source)
        # The published weights of some tags were trained with the other GELU; the tag says so.
        tag = "" if is_checkpoint_file(bare) else bare
        if tag and open_clip.get_pretrained_cfg(architecture, tag).get("quick_gelu"):
            options["force_quick_gelu"] = True
    try:
        with contextlib.ExitStack() as stack:
            name = architecture or f"local-dir:{stack.enter_context(loaded_files(path, CLIP_FOLDER))}"
            network = open_clip.create_model(name, device=device, require_pretrained=True, **options)
            tokenizer = open_clip.get_tokenizer(name)
    except Exception as error:  # open_clip raises many kinds; all mean that the model cannot be made
        raise WeightsError(
            f"open_clip cannot load {source!r} ({type(error).__name__}: {said(error, path)[:300]})",
            "check the folder or the architecture's name (open_clip.list_models())",
        ) from error
    preprocess = open_clip.get_model_preprocess_cfg(network)
    image_size = square_side(repr(source), preprocess["size"])
    network.requires_grad_(False).eval()
    return ClipModel(
        who="CLIP",
        device=device,
        encode_image=network.encode_image,
        encode_text=lambda text: network.encode_text(tokenizer([text]).to(device)),
        image_size=image_size,
        mean=tuple(preprocess["mean"]),
        std=tuple(preprocess["std"]),
        scale=float(network.logit_scale.detach().exp()),
    )
