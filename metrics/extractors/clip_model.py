"""A CLIP model by open_clip, from a local folder, a hub id, or a model's name.

Locations:

* what `core.weights.resolve` finds: a folder with `open_clip_config.json` and its checkpoint (a path, a
  name below the weights root, "sprites/clip", or a hub id "owner/name");
* `<architecture>:<tag or file>`, for example "ViT-B-32:openai" or "ViT-B-32-quickgelu:/data/b32.safetensors":
  one of open_clip's architectures with its published weights of that tag (fetched into open_clip's own
  cache) or with a checkpoint file.

Either may end in a pin (`#sha256:...`), which `core.weights` checks.
"""

from __future__ import annotations

import contextlib
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...core.errors import WeightsError
from ...core.types import WeightsRef
from ...core.weights import resolve, split_pin, with_pin
from ...core.weights_view import loaded_files, said
from .weights_formats import CLIP_CHECKPOINT, CLIP_FOLDER, is_checkpoint_file


@dataclass(frozen=True, eq=False)
class ClipModel:
    """A loaded model in evaluation mode, float32.

    Attributes:
        network: open_clip's model, with `encode_image` and `encode_text`.
        tokenizer: list of strings -> int64 [B, L]; captions that are too long are cut, their end kept marked.
        image_size: side of the square input in pixels.
        mean, std: of the model's own image normalisation, values 0 to 1.
        scale: exp(logit_scale), about 100 for OpenAI's models: cosines times it are the model's logits.
    """

    network: Any
    tokenizer: Any
    image_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    scale: float


# Sessions of one process share a loaded model; it goes when the last of them does.
_loaded: weakref.WeakValueDictionary[tuple[str, str, str], ClipModel] = weakref.WeakValueDictionary()


def split_location(location: str) -> tuple[str, str]:
    """(architecture, tag or file) of the form "ViT-B-32:openai"; architecture is "" for all other forms.

    A pin stays with the second part.

    >>> split_location("ViT-B-32:openai"), split_location("sprites/clip")
    (('ViT-B-32', 'openai'), ('', 'sprites/clip'))
    """
    bare, pin = split_pin(location)
    architecture, colon, rest = bare.partition(":")
    if not colon or "/" in architecture or architecture in ("", "~", ".", "..") or not rest:
        return "", location
    return architecture, with_pin(rest, pin)


def weights_ref(role: str, architecture: str, source: str) -> WeightsRef:
    """The weights of a location split by `split_location`; nothing is looked for.

    >>> weights_ref("clip", "ViT-B-32", "openai").location
    'ViT-B-32:openai'
    """
    if not architecture:
        return WeightsRef(role, source, CLIP_FOLDER)
    bare, pin = split_pin(source)
    if is_checkpoint_file(bare):
        return WeightsRef(role, with_pin(str(Path(bare).expanduser().resolve()), pin), CLIP_CHECKPOINT)
    return WeightsRef(role, f"{architecture}:{source}", CLIP_CHECKPOINT)


def load_clip(architecture: str, source: str, device: str) -> ClipModel:
    """The model at a location split by `split_location`, shared within the process while it is in use.

    Raises:
        WeightsError: nothing is there, or open_clip cannot make a model of it.
    """
    key = (architecture, source, device)
    model = _loaded.get(key)
    if model is None:
        model = _loaded[key] = _load(architecture, source, device)
    return model


def _load(architecture: str, source: str, device: str) -> ClipModel:
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
    size = preprocess["size"]
    height, width = (size, size) if isinstance(size, int) else tuple(size)
    if height != width:
        raise WeightsError(f"{source!r} takes {height}x{width} frames; only square inputs are supported")
    return ClipModel(
        network=network.requires_grad_(False).eval(),
        tokenizer=tokenizer,
        image_size=int(height),
        mean=tuple(preprocess["mean"]),
        std=tuple(preprocess["std"]),
        scale=float(network.logit_scale.detach().exp()),
    )
