"""What of a location of weights is loaded: the files, and what they must be.

A folder or a repository on a hub holds more than a method reads: other variants, other frameworks' copies,
parts that are left out. A format names the files that are loaded. These and no others are fetched from a hub
(`core.hub`), enter the digest and so the keys (`core.weights`), and are what the loader sees
(`core.weights_view`).

Each `WeightsRef` of a method or an extractor carries its format. Formats read configurations only (JSON):
what is of another kind is refused within a second, before anything is loaded.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import WeightsError
from .tensor_files import refuse_damaged
from .weights_tree import MissingFilesError, Tree, local_tree, read_json, weights_files

WEIGHT_SUFFIXES = frozenset({".safetensors", ".pt", ".pth", ".bin", ".json", ".txt", ".model"})

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

TEXT_SUFFIXES = (".json", ".txt", ".model")


@dataclass(frozen=True)
class OnHub:
    """What a hub would give: the number of files and their bytes."""

    num_files: int
    num_bytes: int


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

    def check(self, path: Path) -> None:
        """Look at the weights as closely as is cheap, for `doctor`: here, whether files of tensors are whole.

        Raises:
            WeightsError: they could not be loaded.
        """
        for file in [path / name for name in self.files(local_tree(path))] or [path]:
            if file.suffix in (".safetensors", ".pth", ".pt", ".bin"):
                refuse_damaged(file, self.what)

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
        """The required files; () for a single file."""
        if tree.is_file:
            return ()
        missing = [name for name in self.required if name not in tree.names]
        if missing:
            raise MissingFilesError(
                f"{tree.where} holds no {', no '.join(missing)}", f"expected: {self.what}"
            )
        return tuple(sorted(self.required))

    @property
    def num_files(self) -> int:
        """As many as are required."""
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
        """The configuration, the weights and what prepares their inputs; () for a single file."""
        if tree.is_file:
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
        """Configuration and weights, and the tokenizer's where there is one."""
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
        """The index and the files of the parts that are loaded."""
        if tree.is_file:
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
        """About how many the parts have together."""
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
        chosen = sorted({*chosen, *(item for item in inside if item.endswith(TEXT_SUFFIXES))})
    if missing:
        raise MissingFilesError(", ".join(missing))
    return chosen
