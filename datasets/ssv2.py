"""Something-Something V2: 220,847 short clips of hands doing something with something.

Goyal et al.: The "something something" video database for learning and evaluating visual common sense, ICCV
2017. Files as distributed (marks: see `docs/methods.md`):

    train.json, validation.json      lists of {id, label, template, placeholders}: the label is the template
                                     filled in, in lower case; 168,913 and 24,777 entries [U]
    test.json                        ids only
    test-answers.csv                 lines "id;template" without a header, the template without brackets [T]
    labels.json                      template without brackets to class
    20bn-something-something-v2/     <id>.webm

Older copies call the lists something-something-v2-train.json and so on. Ids may be numbers. The mirror on a
hub [T] has video_id, text (the label), label (the number of the class) and placeholders, no template:
`annotation` names such a file, and a template is then looked up in labels.json. Clips may be of other formats
than WebM.

Prompt. Seer takes the label [C]. FCA's figures show a template without its brackets, so it may have taken
templates [?]: `prompt` says which is meant, and numbers of the two must not be mixed. The test split has
templates only.

Given frames. Seer's checkpoint is given 2 of 12 frames, FCA 2 of 16 [C, P]. Seer's code evaluates the whole
validation split; a subset of 2,048 is told of it [?]: `subset` draws one, though not the same.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from ..core.errors import DatasetError
from ..core.types import ClipRef
from .lists.annotation import (
    caption_text,
    expanded,
    field,
    find_file,
    id_name,
    load_json,
    require_folder,
    shown,
    text_field,
)
from .lists.entries import load_data, numbered
from .lists.table_file import read_rows
from .prediction_list import Listing, PredictionDataset, PredictionListConfig

_ANNOTATION_FOLDERS = ("", "annotations", "annotation", "labels")
_VIDEO_FOLDERS = (
    "20bn-something-something-v2",
    "videos/20bn-something-something-v2",
    "videos",
    "",
)
_SUFFIXES = (".webm", ".mp4", ".mkv", ".avi", ".mov")
_UNFIT = {
    "something-something-v1-*": "a list of version 1, another data set",
    "*_videofolder.txt": "a list of frame counts and classes, without captions",
}


class SomethingSomethingV2(PredictionDataset):
    """Something-Something V2 as samples of text-video prediction.

    A sample's id and source are the clip's id. Order and subset: see `prediction_list`. Opening reads one
    annotation file and lists the folder of clips once.
    """

    name: ClassVar[str] = "ssv2"
    what: ClassVar[str] = "Something-Something V2"
    hint: ClassVar[str] = (
        "join and unpack the archives of the clips there, or set `video_root` to the folder of the .webm"
    )

    class Config(PredictionListConfig):
        """Where Something-Something V2 lies and which part of it is meant; see `PredictionListConfig`.

        Attributes:
            split: the official split.
            prompt: "label" (the template filled in) or "template" (without its brackets).
            annotation: the list of the split (JSON, lines of JSON, Parquet), relative to `root` or absolute;
                None looks for the published names in `root`.
        """

        split: Literal["train", "validation", "test"] = "validation"
        prompt: Literal["label", "template"] = "label"
        annotation: str | None = Field(default=None, min_length=1)

        @model_validator(mode="after")
        def _only_what_the_test_split_has(self) -> SomethingSomethingV2.Config:
            if self.split == "test" and self.prompt == "label":
                raise ValueError("the test split has no labels, only templates; set prompt: template")
            return self

    config: SomethingSomethingV2.Config

    @property
    def split(self) -> str:
        """The official split; "train-template" and "validation-template" where these are the prompts."""
        is_other = self.config.prompt == "template" and self.config.split != "test"
        return f"{self.config.split}-template" if is_other else self.config.split

    @cached_property
    def _video_root(self) -> Path:
        if self.config.video_root is not None:
            return expanded(self.config.video_root)
        # "videos" may hold the unpacked folder beside other things, the root its annotation only.
        for folder in (self._root / name for name in _VIDEO_FOLDERS):
            if any(name.lower().endswith(_SUFFIXES) for name in self._names_in(folder) or ()):
                return folder
        return self._root / _VIDEO_FOLDERS[0]

    def _read(self) -> Listing:
        what = f"{self.what}, split {self.config.split!r}"
        path = self._annotation(what)
        entries = load_data(path, "a JSON list of entries with an id")
        if not isinstance(entries, list):
            raise DatasetError(
                f"{path}: expected a JSON list of entries with an id at the top, got {shown(entries, 40)}",
                "the list of a split is train.json, validation.json or test.json",
            )
        prompts = self._answers(what) if self.config.split == "test" else {}
        clips = []
        for where, entry in numbered(path, entries):
            id = _clip_id(field(entry, "video_id" if "id" not in entry else "id", object, where), where)
            if self.config.split == "test":
                if id not in prompts:
                    raise DatasetError(
                        f"{where}: the clip {id!r} has no template in test-answers.csv",
                        "the two files are of different releases, or one is incomplete: copy both again",
                    )
                prompt = prompts[id]
            elif self.config.prompt == "label":
                prompt = _label(entry, where)
            else:
                prompt = self._template(entry, where)
            clips.append(self._clip(id, prompt, id, ClipRef(self._video_path(id)), where))
        return Listing(clips)

    def _annotation(self, what: str) -> Path:
        """The list of the split."""
        split = self.config.split
        if self.config.annotation is not None:
            require_folder(self._root, self.what)
            return self._root / expanded(self.config.annotation)
        names = (f"{split}.json", f"something-something-v2-{split}.json")
        return find_file(self._root, names, _ANNOTATION_FOLDERS, what, _UNFIT)

    def _video_path(self, id: str) -> Path:
        """Where a clip lies; when it is not there, where it is expected."""
        there = self._names_in(self._video_root) or ()
        suffix = next((suffix for suffix in _SUFFIXES if f"{id}{suffix}" in there), _SUFFIXES[0])
        return self._video_root / f"{id}{suffix}"

    def _template(self, entry: dict[str, Any], where: str) -> str:
        """An entry's template without its brackets."""
        if "template" in entry or "text" not in entry:
            return _plain(text_field(entry, "template", where))
        number = id_name(field(entry, "label", object, where), "label", where)
        if number not in self._classes:
            raise DatasetError(
                f"{where}: the class {number!r} is not in labels.json, and the entry has no template",
                "take labels.json of the same release, or set prompt: label",
            )
        return self._classes[number]

    @cached_property
    def _classes(self) -> dict[str, str]:
        """The template without brackets of each class, by its number."""
        names = ("labels.json", "something-something-v2-labels.json")
        path = find_file(self._root, names, _ANNOTATION_FOLDERS, f"{self.what}, prompt 'template'")
        content = load_json(path).items()
        return {
            id_name(number, "class", str(path)): _plain(caption_text(text, str(path)))
            for text, number in content
        }

    def _answers(self, what: str) -> dict[str, str]:
        """The template of each clip of the test split."""
        path = find_file(self._root, ("test-answers.csv",), _ANNOTATION_FOLDERS, what)
        answers: dict[str, str] = {}
        rows = read_rows(path, ("id", "template"), has_header=False, delimiters=";")
        for line, (id, template) in rows:
            where = f"{path}, line {line}"
            id, prompt = _clip_id(id, where), _plain(caption_text(template, where))
            if answers.setdefault(id, prompt) != prompt:
                raise DatasetError(
                    f"{where}: the clip {id!r} stands above with another template ({answers[id]!r:.60})",
                    "delete one of the two lines",
                )
        return answers


def _clip_id(value: object, where: str) -> str:
    """A clip's id, "78687" of "78687.webm"."""
    if isinstance(value, str):
        stem, dot, suffix = value.strip().rpartition(".")
        value = stem if dot + suffix.lower() in _SUFFIXES else value
    return id_name(value, "id", where)


def _label(entry: dict[str, Any], where: str) -> str:
    """An entry's label: what is in `text` where `label` is the number of a class."""
    name = "text" if "text" in entry and not isinstance(entry.get("label"), str) else "label"
    return text_field(entry, name, where).strip()


def _plain(template: str) -> str:
    """A template without its brackets: "Pushing [something]" to "Pushing something"."""
    return template.replace("[", "").replace("]", "").strip()
