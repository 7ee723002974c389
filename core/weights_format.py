"""What of a location of weights is loaded: the files, and what they must be.

A folder or a repository on a hub holds more than a method reads: other variants, other frameworks' copies,
parts that are left out. A format names the files that are loaded. These and no others are fetched from a hub
(`core.hub`), enter the digest and so the keys (`core.weights`), and are what the loader sees
(`core.weights_view`).

Each `WeightsRef` of a method or an extractor carries its format. Formats read configurations only (JSON):
what is of another kind is refused within a second, before anything is loaded.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from .errors import WeightsError

WEIGHT_SUFFIXES = frozenset({".safetensors", ".pt", ".pth", ".bin", ".json", ".txt", ".model"})

_VARIANTS = ("", "fp16", "bf16")
"""In order of preference: a smaller copy is taken where there is no other."""

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "special_tokens_map.json",
    "added_tokens.json",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tokenizer.model",
)
"""In the root of a folder; in a folder of its own everything belongs to the tokenizer."""

_TOKENIZER_SUFFIXES = (".json", ".txt", ".model")


@dataclass(frozen=True)
class OnHub:
    """What a hub would give: the number of files and their bytes."""

    num_files: int
    num_bytes: int


class MissingFilesError(WeightsError):
    """The weights are of the right kind as far as they are there, and files are missing."""


class Tree(Protocol):
    """Files of a folder, of a repository on a hub, or a single file."""

    @property
    def where(self) -> str:
        """As messages name it."""
        ...

    @property
    def path(self) -> Path | None:
        """Where it lies on this machine; None for what is on a hub only."""
        ...

    @property
    def names(self) -> frozenset[str]:
        """The files' names, relative, with `/`; none for a single file."""
        ...

    def text(self, name: str) -> str:
        """The content of a small file."""
        ...


@dataclass(frozen=True)
class LocalTree:
    """A folder or a file on this machine."""

    path: Path

    @property
    def where(self) -> str:
        return str(self.path)

    @cached_property
    def names(self) -> frozenset[str]:
        if self.path.is_file():
            return frozenset()
        return frozenset(
            item.relative_to(self.path).as_posix() for item in self.path.rglob("*") if item.is_file()
        )

    def text(self, name: str) -> str:
        try:
            return (self.path / name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise WeightsError(
                f"cannot read {self.path / name}: {error}", "fetch or copy it again"
            ) from error


@dataclass(frozen=True)
class WeightsFormat:
    """What a loader reads. This one reads everything: the format of weights that declare none."""

    what: str = "weights"
    """In words, for messages."""

    def files(self, tree: Tree) -> tuple[str, ...]:
        """The names of the files that are loaded, sorted; () for a single file.

        Raises:
            MissingFilesError: files that are loaded are not there.
            WeightsError: it is of another kind; the message says what is expected and what was found.
        """
        found = tuple(sorted(name for name in tree.names if Path(name).suffix in WEIGHT_SUFFIXES))
        if not found and (tree.path is None or tree.path.is_dir()):
            raise MissingFilesError(
                f"no weight files in {tree.where}", f"expected {', '.join(sorted(WEIGHT_SUFFIXES))} files"
            )
        return found

    @property
    def num_files(self) -> int | None:
        """About how many files that are, where it can be said beforehand."""
        return None

    def find(self, location: str, *, fetch: bool) -> Path | None:
        """Where weights lie whose location has a form that only this format knows; None for other forms.

        Args:
            location: without its pin.
            fetch: whether it may be fetched.

        Raises:
            WeightsError: it has the form, and nothing is there.
        """
        del location, fetch
        return None

    def look(self, location: str) -> OnHub | None:
        """What a hub has of such a location; None for other forms. May ask the network."""
        del location
        return None


EVERYTHING = WeightsFormat()


@dataclass(frozen=True)
class NamedFiles(WeightsFormat):
    """A folder in which files of certain names are read, or a single file."""

    required: tuple[str, ...] = ()

    def files(self, tree: Tree) -> tuple[str, ...]:
        if tree.path is not None and tree.path.is_file():
            return ()
        missing = [name for name in self.required if name not in tree.names]
        if missing:
            raise MissingFilesError(
                f"{tree.where} holds no {', no '.join(missing)}", f"expected: {self.what}"
            )
        return tuple(sorted(self.required))

    @property
    def num_files(self) -> int:
        return len(self.required)


@dataclass(frozen=True)
class ModelFolder(WeightsFormat):
    """A folder that transformers' `save_pretrained` wrote, with its processor's configuration.

    Attributes:
        model_type: that `config.json` must name.
        tokenizer: whether the tokenizer is loaded too.
        single_file: whether a single file will do as well, of another format.
    """

    model_type: str = ""
    tokenizer: bool = False
    single_file: bool = False

    def files(self, tree: Tree) -> tuple[str, ...]:
        if tree.path is not None and tree.path.is_file():
            if self.single_file:
                return ()
            raise WeightsError(f"{tree.where} is a file, not {self.what}", f"give a folder: {self.what}")
        if "config.json" not in tree.names:
            raise MissingFilesError(
                f"cannot read {tree.where}/config.json: there is none",
                f"expected: {self.what}, in a folder that save_pretrained wrote",
            )
        found = read_json(tree, "config.json").get("model_type", "(none)")
        if found != self.model_type:
            raise WeightsError(
                f"{tree.where} holds a model of type {found!r}, {self.model_type!r} is needed",
                "give a folder that transformers' save_pretrained wrote, or a hub id of such a model",
            )
        try:
            chosen = {"config.json", *weights_files(tree, "", "model")}
        except MissingFilesError as error:
            raise MissingFilesError(
                f"{tree.where} is incomplete: missing {error.message}",
                "model.safetensors or its shards with their index are read, pickled weights are not",
            ) from None
        for name in ("video_preprocessor_config.json", "preprocessor_config.json"):
            if name in tree.names:
                chosen.add(name)  # the first of them is read
                break
        if self.tokenizer:
            chosen |= tree.names.intersection(TOKENIZER_FILES)
        return tuple(sorted(chosen))

    @property
    def num_files(self) -> int:
        return 7 if self.tokenizer else 3


@dataclass(frozen=True)
class Part:
    """A part of a diffusers pipeline.

    Attributes:
        weights: beginning of the names of its files of weights; "" for a part without (tokenizer, scheduler).
        config: the file that it cannot do without.
        classes: that it may be of; () for any.
    """

    weights: str = ""
    config: str = "config.json"
    classes: tuple[str, ...] = ()


def network(*classes: str) -> Part:
    """A part of diffusers' own classes."""
    return Part("diffusion_pytorch_model", classes=classes)


def text_encoder(*classes: str) -> Part:
    """A part of transformers' classes."""
    return Part("model", classes=classes)


TOKENIZER = Part(config="tokenizer_config.json")
SCHEDULER = Part(config="scheduler_config.json")


@dataclass(frozen=True)
class PipelineFolder(WeightsFormat):
    """A diffusers pipeline, by its `model_index.json`; parts that are not named here are not loaded.

    Attributes:
        parts: by name.
        not_with: parts that a pipeline of this kind never has, with what they mean.
        fault: given each part's configuration, why the parts do not fit together, or None.
        pipeline_class: diffusers' name of it, for hints.
    """

    parts: Mapping[str, Part] = ()  # type: ignore[assignment]
    not_with: Mapping[str, str] = ()  # type: ignore[assignment]
    fault: Callable[[Mapping[str, Mapping[str, Any]]], str | None] = lambda configs: None
    pipeline_class: str = ""

    def files(self, tree: Tree) -> tuple[str, ...]:
        if tree.path is not None and tree.path.is_file():
            raise WeightsError(
                f"{tree.where} is a file, not {self.what}", f"give the folder of a {self.pipeline_class}"
            )
        if "model_index.json" not in tree.names:
            raise MissingFilesError(
                f"{tree.where} is not a diffusers pipeline: model_index.json is missing",
                f"give the folder that {self.pipeline_class}.save_pretrained wrote, not a part of it",
            )
        index = read_json(tree, "model_index.json")
        self._check_classes(tree, index)
        chosen, missing = ["model_index.json"], []
        for name, part in self.parts.items():
            try:
                chosen += _part_files(tree, name, part)
            except MissingFilesError as error:
                missing.append(error.message)
        if missing:
            pickled = any(re.fullmatch(r"[^/]+/[^/]+\.bin", name) for name in tree.names)
            raise MissingFilesError(
                f"the pipeline in {tree.where} is incomplete: missing {', '.join(missing)}",
                "pickled weights (*.bin) are not read; save it again with safe_serialization=True"
                if pickled
                else "fetch or save the pipeline again",
            )
        reason = self.fault(
            {
                name: read_json(tree, f"{name}/{part.config}")
                for name, part in self.parts.items()
                if part.weights
            }
        )
        if reason is not None:
            raise WeightsError(f"{tree.where} is not {self.what}: {reason}", f"give {self.what}")
        return tuple(sorted(chosen))

    @property
    def num_files(self) -> int:
        # A tokenizer has about four.
        return 1 + sum(2 if part.weights else 4 if part == TOKENIZER else 1 for part in self.parts.values())

    def _check_classes(self, tree: Tree, index: Mapping[str, Any]) -> None:
        """What stands in model_index.json, and in the configurations of the parts that are there."""
        faults = []
        named = {name: _class_name(index.get(name)) for name in {*self.parts, *self.not_with}}
        absent = [name for name in self.parts if named[name] is None]
        if absent:
            faults.append(f"its model_index.json names no {', '.join(absent)}")
        faults += [meaning for name, meaning in dict(self.not_with).items() if named[name] is not None]
        faults += self._wrong_classes(named)
        if not faults:  # the index may say what the parts themselves do not
            configs = {name: f"{name}/{part.config}" for name, part in self.parts.items() if part.classes}
            faults = self._wrong_classes(
                {
                    name: read_json(tree, config).get("_class_name")
                    for name, config in configs.items()
                    if config in tree.names
                }
            )
        if faults:
            kind = index.get("_class_name", "(none)")
            raise WeightsError(
                f"{tree.where} holds a {kind}, which is not {self.what}: {'; '.join(faults)}",
                f"give the folder or hub id of a {self.pipeline_class}",
            )

    def _wrong_classes(self, found: Mapping[str, str | None]) -> list[str]:
        return [
            f"its {name} is a {found[name]}, {' or '.join(part.classes)} is expected"
            for name, part in self.parts.items()
            if part.classes and found.get(name) is not None and found[name] not in part.classes
        ]


def _class_name(entry: Any) -> str | None:
    return entry[-1] if isinstance(entry, list) and entry and isinstance(entry[-1], str) else None


def _part_files(tree: Tree, name: str, part: Part) -> list[str]:
    missing = [] if f"{name}/{part.config}" in tree.names else [f"{name}/{part.config}"]
    chosen = [f"{name}/{part.config}"]
    if part.weights:
        try:
            chosen += weights_files(tree, f"{name}/", part.weights)
        except MissingFilesError as error:
            missing.append(error.message)
    elif part == TOKENIZER:
        inside = (item for item in tree.names if item.rpartition("/")[0] == name)
        chosen = sorted({*chosen, *(item for item in inside if item.endswith(_TOKENIZER_SUFFIXES))})
    if missing:
        raise MissingFilesError(", ".join(missing))
    return chosen


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


def plain_name(name: str) -> str:
    """The name under which a library looks for a file first: without its variant. Shards keep theirs, as
    their index names them.

    >>> plain_name("unet/diffusion_pytorch_model.fp16.safetensors")
    'unet/diffusion_pytorch_model.safetensors'
    >>> plain_name("model.safetensors.index.fp16.json")
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
