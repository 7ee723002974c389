"""The files of weights: a tree that is on this machine or on a hub, and which of its files are one network's.

What is read to choose among them are configurations and indices (JSON), never the weights.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import WeightsError

_VARIANTS = ("", "fp16", "bf16")
"""In order of preference: a smaller copy is taken where there is no other."""


class MissingFilesError(WeightsError):
    """The weights are of the right kind as far as they are there, and files are missing."""


@dataclass(frozen=True)
class Tree:
    """Files of a folder, of a repository on a hub, or a single file.

    Attributes:
        where: as messages name it.
        path: where it lies on this machine; None for what is on a hub only.
        names: of the files, relative, with `/`; none for a single file.
        text: gives the content of a small file.
    """

    where: str
    path: Path | None
    names: frozenset[str]
    text: Callable[[str], str]

    @property
    def is_file(self) -> bool:
        """Whether it is a single file on this machine."""
        return self.path is not None and self.path.is_file()


def local_tree(path: Path) -> Tree:
    """A folder or a file on this machine; its `text` raises a `WeightsError` where it cannot be read."""

    def text(name: str) -> str:
        try:
            return (path / name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise WeightsError(f"cannot read {path / name}: {error}", "fetch or copy it again") from error

    files = (item for item in path.rglob("*") if item.is_file())
    names = () if path.is_file() else (item.relative_to(path).as_posix() for item in files)
    return Tree(str(path), path, frozenset(names), text)


def weights_files(tree: Tree, folder: str, stem: str) -> list[str]:
    """The files of one network's weights: one safetensors file, or shards with their index.

    The full set is taken before an fp16 one, wherever it is there.

    Args:
        folder: "" or with its `/`.
        stem: "model" (transformers), "diffusion_pytorch_model" (diffusers).

    Raises:
        MissingFilesError: there is none, or a shard is missing; the message is the missing names.
    """
    for variant in _VARIANTS:
        dotted = f".{variant}" if variant else ""
        single = f"{folder}{stem}{dotted}.safetensors"
        if single in tree.names:
            return [single]
        # Libraries have written the variant at either place.
        indices = (f"{folder}{stem}.safetensors.index{dotted}.json", f"{single}.index.json")
        for index in dict.fromkeys(indices):
            if index in tree.names:
                shards = _shards(tree, folder, index)
                missing = [name for name in shards if name not in tree.names]
                if missing:
                    raise MissingFilesError(", ".join(missing))
                return [index, *shards]
    raise MissingFilesError(f"{folder}*.safetensors")


def _shards(tree: Tree, folder: str, index: str) -> list[str]:
    shards = read_json(tree, index).get("weight_map")
    if not isinstance(shards, dict) or not all(
        isinstance(name, str) and "/" not in name for name in shards.values()
    ):
        raise WeightsError(f"{tree.where}/{index} is no index of shards", "fetch or save the weights again")
    return sorted({folder + name for name in shards.values()})


def without_variant(name: str) -> str:
    """The name under which a library looks for a file first: without its variant. Shards keep theirs, as
    their index names them.

    >>> without_variant("unet/diffusion_pytorch_model.fp16.safetensors")
    'unet/diffusion_pytorch_model.safetensors'
    >>> without_variant("model.safetensors.index.fp16.json")
    'model.safetensors.index.json'
    """
    if re.search(r"-\d{5}-of-\d{5}\.", name):
        return name
    variants = "|".join(filter(None, _VARIANTS))
    name = re.sub(rf"\.(?:{variants})\.safetensors$", ".safetensors", name)
    name = re.sub(rf"\.(?:{variants})\.safetensors\.index\.json$", ".safetensors.index.json", name)
    return re.sub(rf"\.safetensors\.index\.(?:{variants})\.json$", ".safetensors.index.json", name)


def read_json(tree: Tree, name: str) -> dict[str, Any]:
    """A mapping in a file.

    Raises:
        WeightsError: it is not JSON, or no mapping.
    """
    try:
        data = json.loads(tree.text(name))
    except ValueError as error:
        raise WeightsError(f"{tree.where}/{name} is not JSON: {error}", "fetch or save it again") from error
    if not isinstance(data, dict):
        raise WeightsError(f"{tree.where}/{name} holds no mapping", "fetch or save it again")
    return data


def one_of(tree: Tree, choices: Sequence[str]) -> str | None:
    """The first of the names that is there."""
    return next((name for name in choices if name in tree.names), None)
