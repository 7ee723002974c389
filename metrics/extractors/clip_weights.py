"""CLIP's weights as open_clip has them: where they lie, and which of their files are loaded.

Locations:

* what `core.weights.resolve` finds: a folder with `open_clip_config.json` and its checkpoint (a path, a
  name below the weights root, "sprites/clip", or a hub id "owner/name");
* `<architecture>:<tag or file>`, for example "ViT-B-32:openai" or "ViT-B-32-quickgelu:/data/b32.safetensors":
  one of open_clip's architectures with its published weights of that tag (fetched into open_clip's own
  cache) or with a checkpoint file.

Either may end in a pin (`#sha256:...`), which `core.weights` checks.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...core import hub
from ...core.errors import WeightsError
from ...core.tensor_files import refuse_other_tensors
from ...core.types import WeightsRef
from ...core.weights import NotFetchedError, split_pin, with_pin
from ...core.weights_format import TOKENIZER_FILES, OnHub, WeightsFormat
from ...core.weights_tree import MissingFilesError, Tree, local_tree, one_of, read_json


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


def is_checkpoint_file(source: str) -> bool:
    """Whether what stands behind "<architecture>:" is a file, and not a tag."""
    return "/" in source or Path(source).suffix != ""


@dataclass(frozen=True)
class _ClipFolder(WeightsFormat):
    """A folder or repository as open_clip writes it."""

    def files(self, tree: Tree) -> tuple[str, ...]:
        if "open_clip_config.json" not in tree.names:
            raise MissingFilesError(
                f"{tree.where} holds no open_clip_config.json",
                'a CLIP is a folder that open_clip writes, a hub id, or "<architecture>:<tag or file>"',
            )
        config = read_json(tree, "open_clip_config.json")
        if "model_cfg" not in config:
            raise WeightsError(
                f"{tree.where}/open_clip_config.json names no model_cfg", "fetch or save the model again"
            )
        checkpoint = one_of(tree, _CLIP_CHECKPOINTS) or _only(tree, (".safetensors", ".bin", ".pth"))
        chosen = {"open_clip_config.json", checkpoint}
        if (config["model_cfg"].get("text_cfg") or {}).get("hf_tokenizer_name"):
            chosen |= tree.names.intersection(TOKENIZER_FILES)
        return tuple(sorted(chosen))

    @property
    def num_files(self) -> int:
        return 2


_CLIP_CHECKPOINTS = (
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
    "open_clip_pytorch_model.pth",
    "model.safetensors",
    "pytorch_model.bin",
    "pytorch_model.pth",
    "model.pth",
)
"""In open_clip's own order."""


def _only(tree: Tree, suffixes: tuple[str, ...]) -> str:
    found = sorted(name for name in tree.names if "/" not in name and name.endswith(suffixes))
    if not found:
        raise MissingFilesError(
            f"{tree.where} holds no checkpoint", f"expected one of {', '.join(_CLIP_CHECKPOINTS[:3])}"
        )
    return min(found, key=lambda name: not name.endswith(".safetensors"))


@dataclass(frozen=True)
class _ClipCheckpoint(WeightsFormat):
    """`<architecture>:<tag>` or the file of a checkpoint."""

    elsewhere: str = 'give a file on this machine: "<architecture>:/path/to/checkpoint"'
    """What to do where a tag's weights cannot be fetched."""

    def files(self, tree: Tree) -> tuple[str, ...]:
        if tree.path is None or not tree.path.is_file():
            raise WeightsError(f"{tree.where} is no file of CLIP's weights", "give a file, or a known tag")
        # open_clip's own names, transformers', and those that it converts.
        refuse_other_tensors(tree.path, self.what, "visual.", "vision_model.", "image_encoder.")
        return ()

    def find(self, location: str, *, fetch: bool) -> Path | None:
        if is_checkpoint_file(location):
            return None
        name, files = _repository_of_tag(location)
        if not name:
            return _from_address(location, fetch=fetch)
        folder = hub.cached(name, files)
        if folder is None and not fetch:
            raise _tag_not_fetched(location)
        if folder is None:
            try:
                folder = hub.fetch(name, files)
            except WeightsError as error:  # it names the repository, which the user never named
                raise WeightsError(f"the weights {location}: {error.message}", self.elsewhere) from error
        return folder / files.files(local_tree(folder))[0]

    def look(self, location: str) -> OnHub | None:
        if is_checkpoint_file(location):
            return None
        name, files = _repository_of_tag(location)
        return hub.look(name, files) if name else None


@dataclass(frozen=True)
class _FirstOf(WeightsFormat):
    """The first of some names that a repository has."""

    candidates: tuple[str, ...] = ()

    def files(self, tree: Tree) -> tuple[str, ...]:
        found = one_of(tree, self.candidates)
        if found is None:
            raise MissingFilesError(f"{tree.where} holds none of {', '.join(self.candidates)}")
        return (found,)


def _tag_settings(location: str) -> dict[str, Any]:
    import open_clip

    architecture, _, tag = location.partition(":")
    tags = open_clip.list_pretrained_tags_by_model(architecture)
    if tag not in tags:
        known = f"known tags: {', '.join(tags)}" if tags else "no such architecture, or it has no tags"
        raise WeightsError(
            f"open_clip has no weights {tag!r} of {architecture!r}; {known}",
            'name a known tag, or a file on this machine: "<architecture>:/path/to/checkpoint"',
        )
    settings: dict[str, Any] = open_clip.get_pretrained_cfg(architecture, tag)
    return settings


def _repository_of_tag(location: str) -> tuple[str, _FirstOf]:
    """The repository in which a tag's checkpoint lies, "" for none on the hub; what is read of it."""
    name, file = os.path.split(_tag_settings(location).get("hf_hub", ""))
    if not file:
        candidates: tuple[str, ...] = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
    elif file.endswith((".bin", ".pth")):
        candidates = (file[:-4] + ".safetensors", file)
    else:
        candidates = (file,)
    return name, _FirstOf("the checkpoint", candidates)


def _from_address(location: str, *, fetch: bool) -> Path:
    """A checkpoint that open_clip keeps in a cache of its own."""
    import open_clip

    settings = _tag_settings(location)
    kept = Path("~/.cache/clip").expanduser() / Path(settings.get("url", "")).name
    if kept.is_file():
        return kept
    if not fetch:
        raise _tag_not_fetched(location)
    try:
        return Path(open_clip.download_pretrained(settings))
    except Exception as error:  # network errors of many kinds
        raise WeightsError(
            f"the weights {location} could not be fetched ({type(error).__name__}: {str(error)[:200]})",
            f'give the file on this machine instead: "{location.partition(":")[0]}:/path/to/checkpoint"',
        ) from error


def _tag_not_fetched(location: str) -> NotFetchedError:
    return NotFetchedError(
        f"{location}: not fetched yet; the run will fetch 1 file", "--online asks the hub whether it has it"
    )


CLIP_FOLDER = _ClipFolder("a CLIP folder of open_clip")
CLIP_CHECKPOINT = _ClipCheckpoint("a CLIP checkpoint")
