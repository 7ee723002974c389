"""Something-Something V2: 220,847 short clips of hands doing something with something.

Goyal et al.: The "something something" video database for learning and evaluating visual common sense, ICCV
2017. Files as distributed (marks: see `docs/methods.md`):

    train.json, validation.json      lists of {id, label, template, placeholders}: the label is the template
                                     filled in, in lower case; 168,913 and 24,777 entries [U]
    test.json                        ids only
    test-answers.csv                 lines "id;template" without a header, the template without brackets [T]
    labels.json                      template without brackets to class; not needed here
    20bn-something-something-v2/     <id>.webm

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

from pydantic import model_validator

from ..core.errors import DatasetError
from ..core.types import ClipRef
from .lists.annotation import caption_text, field, find_file, load_json_list, plain_name
from .lists.table_file import read_rows
from .prediction_list import Listing, PredictionDataset, PredictionListConfig

_ANNOTATION_FOLDERS = ("", "annotations", "annotation", "labels")
_VIDEO_FOLDERS = (
    "20bn-something-something-v2",
    "videos/20bn-something-something-v2",
    "videos",
    "",
)


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
        """

        split: Literal["train", "validation", "test"] = "validation"
        prompt: Literal["label", "template"] = "label"

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
            return Path(self.config.video_root).expanduser()
        # "videos" may hold the unpacked folder beside other things, the root its annotation only.
        for folder in (self._root / name for name in _VIDEO_FOLDERS):
            if any(name.endswith(".webm") for name in self._names_in(folder) or ()):
                return folder
        return self._root / _VIDEO_FOLDERS[0]

    def _read(self) -> Listing:
        what = f"{self.what}, split {self.config.split!r}"
        name = f"{self.config.split}.json"
        path = find_file(self._root, (name,), _ANNOTATION_FOLDERS, what)
        entries = load_json_list(path, "entries with an id")
        prompts = self._answers(what) if self.config.split == "test" else {}
        clips = []
        for index, entry in enumerate(entries):
            where = f"{path}, entry {index}"
            id = plain_name(field(entry, "id", str, where), "id", where)
            if self.config.split == "test":
                if id not in prompts:
                    raise DatasetError(
                        f"{where}: the clip {id!r} has no template in test-answers.csv",
                        "the two files are of different releases, or one is incomplete: copy both again",
                    )
                prompt = prompts[id]
            else:
                prompt = _prompt(entry, self.config.prompt, where)
            clips.append(self._clip(id, prompt, id, ClipRef(self._video_root / f"{id}.webm"), where))
        return Listing(clips)

    def _answers(self, what: str) -> dict[str, str]:
        """The template of each clip of the test split."""
        path = find_file(self._root, ("test-answers.csv",), _ANNOTATION_FOLDERS, what)
        answers: dict[str, str] = {}
        rows = read_rows(path, ("id", "template"), has_header=False, delimiters=";")
        for line, (id, template) in rows:
            where = f"{path}, line {line}"
            id, prompt = plain_name(id.strip(), "id", where), _plain(caption_text(template, where))
            if answers.setdefault(id, prompt) != prompt:
                raise DatasetError(
                    f"{where}: the clip {id!r} stands above with another template ({answers[id]!r:.60})",
                    "delete one of the two lines",
                )
        return answers


def _prompt(entry: Any, kind: str, where: str) -> str:
    text = caption_text(field(entry, kind, str, where), where)
    return text.strip() if kind == "label" else _plain(text)


def _plain(template: str) -> str:
    """A template without its brackets: "Pushing [something]" to "Pushing something"."""
    return template.replace("[", "").replace("]", "").strip()
