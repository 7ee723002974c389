"""The files in which MSR-VTT's captions go round, read to one form.

    {"videos": [{video_id, split}], "sentences": [{video_id, caption, sen_id}]}   the release
    {"images": [{id}], "annotations": [{image_id, caption, id}]}                  MSR_VTT.json, in COCO's form
    [{video_id, caption}], lines of such objects, Parquet, CSV                    retrieval lists, hub mirrors
    {"train": [...], "val": [...], "test": [...]}                                 the same by split
    {"video0": ["a caption", ...]}                                                captions by clip

In the lists a clip goes under one of `CLIP`, also as "video0.mp4"; its caption, or a list of them, under one
of `CAPTION`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ..core.errors import DatasetError
from .lists.annotation import caption_text, field, id_name, is_missing, plain_name, shown, text_field
from .lists.entries import load_data, numbered
from .lists.table_file import RowFault, table_rows
from .lists.table_header import WantedColumn, loose_name
from .lists.text_file import names_shown

CLIP = ("video_id", "video", "clip_name", "image_id", "videoid", "video_name", "vid", "name")
CAPTION = ("caption", "captions", "sentence", "sentences", "golden_caption", "golden_captions", "text", "cap")
_CAPTION_ID = ("sen_id", "key", "retrieval_key")
_SPLITS = {
    "train": "train",
    "validate": "validate",
    "val": "validate",
    "validation": "validate",
    "test": "test",
}
_TABLES = (".csv", ".tsv", ".xlsx")
_NUMBERED = re.compile(r"video([0-9]{1,5})")
_OFFICIAL = (("train", 6513), ("validate", 7010), ("test", 10000))
"""Each split with the number of the clip behind its last one."""


class Caption(NamedTuple):
    """A caption; `id` is a number (sen_id), a name ("ret0"), or None where the file has none."""

    place: str
    """Of the entry in the file, for messages: "sentences[3]", "line 4"."""
    video_id: str
    id: int | str | None
    text: str


@dataclass(frozen=True)
class CaptionFile:
    """What a file holds.

    Attributes:
        captions: in the order of the file; some may be blank.
        clips: the ids of its clips, plain names.
        marks: the split that the file states for each clip, by its id; empty where it states none.
    """

    path: Path
    captions: list[Caption]
    clips: list[str]
    marks: Mapping[str, str]

    @property
    def num_strange(self) -> int:
        """How many captions are of clips that the file does not list."""
        clips = set(self.clips)
        return sum(caption.video_id not in clips for caption in self.captions)

    def clips_of(self, split: str) -> tuple[list[str], str | None]:
        """The clips of an official split, and what to say of how it was found.

        Where the file marks no split, or marks all clips "train" though some are of others, clips are told
        by their numbers: "train" up to 6512, "validate" up to 7009, "test" up to 9999 [T].

        Raises:
            DatasetError: none.
        """
        marks = self.marks
        by_number = {clip: official_split(clip) for clip in self.clips}
        is_all_train = set(marks.values()) == {"train"} and set(by_number.values()) - {"train", None}
        if marks and not is_all_train:
            wanted = [clip for clip in self.clips if marks[clip] == split]
            if not wanted:
                there = names_shown(sorted(set(self.marks.values())))
                raise DatasetError(
                    f"{self.path}: no clip of split {split!r}; splits there: {there}",
                    "take another `split`, or name the file of this one in `annotation`",
                )
            return wanted, None
        odd = next((clip for clip, found in by_number.items() if found is None), None)
        if odd is not None:
            raise DatasetError(
                f"{self.path}: no split is marked, and {odd!r} is none of video0 to video9999",
                "mark the split of each clip: {video_id, caption, split}",
            )
        wanted = [clip for clip in self.clips if by_number[clip] == split]
        why = "marks every clip 'train'" if marks else "marks no splits"
        if not wanted:
            raise DatasetError(
                f"{self.path} {why}, and by their numbers none of its {len(self.clips)} clips is of split "
                f"{split!r}",
                "take another `split`, or name the file of this one in `annotation`",
            )
        return wanted, f"{self.path.name} {why}: the split is told by the clips' numbers"


def official_split(video_id: str) -> str | None:
    """The official split of a clip by its number; None for what is not one of the 10,000.

    >>> official_split("video6513"), official_split("video9999"), official_split("video10000")
    ('validate', 'test', None)
    """
    match = _NUMBERED.fullmatch(video_id)
    number = int(match[1]) if match else 10000
    return next((split for split, end in _OFFICIAL if number < end), None)


def read_caption_file(path: Path) -> CaptionFile:
    """The captions of a file.

    Raises:
        DatasetError: unreadable, of none of these forms, malformed, or without any sentence.
    """
    marks: dict[str, str] = {}
    if path.suffix.lower() in _TABLES:
        captions = list(_from_table(path, marks))
        return _marked(path, captions, marks)
    data = load_data(path, "a JSON object or list with captions")
    if isinstance(data, list):
        lists = {"entry": data}
    elif isinstance(data, dict) and ("videos" in data or "sentences" in data):
        return _from_release(path, data)
    elif isinstance(data, dict) and "annotations" in data:
        lists = {"annotations": field(data, "annotations", list, str(path))}
    elif isinstance(data, dict) and set(data) <= set(_SPLITS) and all(type(v) is list for v in data.values()):
        lists = data
    elif isinstance(data, dict) and all(type(value) in (str, list) for value in data.values()):
        lists = {"clip": [{"video_id": name, "caption": value} for name, value in data.items()]}
    else:
        raise DatasetError(
            f"{path}: expected videos and sentences, annotations, or a list of clips with captions; got "
            f"{shown(data)}",
            "the published files are test_videodatainfo.json and train_val_videodatainfo.json",
        )
    captions = []
    for kind, entries in lists.items():
        captions += _from_entries(path, kind, entries, marks)
    if not captions:
        raise DatasetError(f"{path} holds no caption", "copy the file again")
    return _marked(path, captions, marks)


def _marked(path: Path, captions: list[Caption], marks: Mapping[str, str]) -> CaptionFile:
    clips = _clips(captions)
    if marks and len(marks) < len(clips):
        silent = next(clip for clip in clips if clip not in marks)
        raise DatasetError(
            f"{path}: some clips have a split and some have none, such as {silent!r}",
            "mark all of them, or none",
        )
    return CaptionFile(path, captions, clips, marks)


def _mark(marks: dict[str, str], video_id: str, split: str, where: str) -> None:
    """Note the split of a clip, as it is called here.

    Raises:
        DatasetError: another one was noted before.
    """
    name = split.strip().lower()
    name = _SPLITS.get(name, name)
    if marks.setdefault(video_id, name) != name:
        raise DatasetError(
            f"{where}: the clip {video_id!r} is of split {name!r:.60}, and above of {marks[video_id]!r:.60}",
            "give all captions of a clip the same split",
        )


def _clips(captions: Sequence[Caption]) -> list[str]:
    return list(dict.fromkeys(caption.video_id for caption in captions))


def _from_release(path: Path, data: Mapping[str, Any]) -> CaptionFile:
    marks: dict[str, str] = {}
    videos = field(data, "videos", list, str(path)) if "videos" in data else []
    has_split = any(isinstance(entry, dict) and "split" in entry for entry in videos)
    for index, entry in enumerate(videos):
        where = f"{path}, videos[{index}]"
        video_id = _video_id(field(entry, "video_id", object, where), where)
        if video_id in marks:
            raise DatasetError(
                f"{where}: the clip {video_id!r} stands there twice", "delete one of the two entries"
            )
        _mark(marks, video_id, field(entry, "split", str, where) if has_split else "", where)
    if "sentences" not in data or data["sentences"] in ([], None):
        raise DatasetError(
            f"{path} has {len(marks)} clips and no sentences: it is the list that the challenge gave out "
            "without its captions (test_videodatainfo_nosen)",
            "take test_videodatainfo.json of the release of 2016, or MSRVTT_data.json, which have them",
        )
    sentences = field(data, "sentences", list, str(path))
    captions = [_sentence(path, index, entry) for index, entry in enumerate(sentences)]
    return CaptionFile(path, captions, list(marks) or _clips(captions), marks if has_split else {})


def _sentence(path: Path, index: int, entry: Any) -> Caption:
    """One entry of `sentences`, checked."""
    place = f"sentences[{index}]"
    # There are up to 200,000 of them: what can be wrong is looked for only where something is unusual.
    if isinstance(entry, dict):
        video_id, text, sen_id = entry.get("video_id"), entry.get("caption"), entry.get("sen_id")
        if type(video_id) is str and type(text) is str and type(sen_id) is int:
            is_usual = text.isascii() and text.isprintable() and not is_missing(text)
            is_usual = is_usual and _NUMBERED.fullmatch(video_id) is not None
            if is_usual:
                return Caption(place, video_id, sen_id, text)
    where = f"{path}, {place}"
    return Caption(
        place,
        _video_id(field(entry, "video_id", object, where), where),
        _caption_id(entry.get("sen_id"), where),
        _text(text_field(entry, "caption", where), where),
    )


def _from_entries(path: Path, kind: str, entries: Sequence[Any], marks: dict[str, str]) -> Iterator[Caption]:
    """The captions of a list; adds to `marks` where entries have a split."""
    split = _SPLITS.get(kind)
    for index, (_, entry) in enumerate(numbered(path, entries)):
        place = (
            f"entry {index}"
            if kind == "entry"
            else f"{kind}[{index}]"
            if kind
            else f"{shown(entry['video_id'])}"
        )
        where = f"{path}, {place}"
        video_id = _video_id(_first(entry, CLIP, "clip", where), where)
        given = _first(entry, CAPTION, "caption", where)
        texts = given if isinstance(given, list) else [given]
        names = ("id", *_CAPTION_ID) if kind == "annotations" else _CAPTION_ID
        number = next((entry[name] for name in names if entry.get(name) is not None), None)
        if split or isinstance(entry.get("split"), str):
            _mark(marks, video_id, split or entry["split"], where)
        for text in texts:
            id = _caption_id(number, where) if len(texts) == 1 else None
            yield Caption(place, video_id, id, _text(text, where))


def _from_table(path: Path, marks: dict[str, str]) -> Iterator[Caption]:
    """The captions of a table; adds to `marks` where rows have a split."""
    columns = [
        WantedColumn("video_id", CLIP),
        WantedColumn("sentence", CAPTION),
        WantedColumn("key", _CAPTION_ID, is_needed=False),
        WantedColumn("split", is_needed=False),
    ]
    for found in table_rows(path, columns, (str, loose_name)):
        if isinstance(found, RowFault):
            raise DatasetError(f"{path}, line {found.line}: {found.what}", found.hint)
        line, (given, text, key, split) = found
        where = f"{path}, line {line}"
        id = plain_name(key, "key", where) if key.strip() else None
        video_id = _video_id(given, where)
        if not is_missing(split):
            _mark(marks, video_id, split, where)
        yield Caption(f"line {line}", video_id, id, _text(text, where))


def _text(value: object, where: str) -> str:
    """A caption of a list that went through other hands: "" where it says "nan" for none."""
    text = caption_text(value, where)
    return "" if is_missing(text) else text


def _first(entry: Mapping[str, Any], names: Sequence[str], what: str, where: str) -> Any:
    name = next((name for name in names if name in entry), None)
    if name is None:
        raise DatasetError(
            f"{where}: no {what}; there: {names_shown(entry)}",
            f"any of these names will do: {', '.join(names)}",
        )
    return entry[name]


def _video_id(value: object, where: str) -> str:
    """A clip's id: "video0" of "video0", "video0.mp4", 0, "0" or "0.0"."""
    text = re.sub(r"\.(mp4|webm|avi|mkv)$", "", value.strip()) if isinstance(value, str) else value
    name = id_name(text, "video_id", where)
    return f"video{int(name)}" if re.fullmatch(r"[0-9]{1,4}", name) else name


def _caption_id(value: object, where: str) -> int | str | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}", value):
        return int(value)
    if isinstance(value, str):
        return plain_name(value, "sen_id", where)
    raise DatasetError(
        f"{where}: 'sen_id' must be a whole number, got {shown(value)}", "correct it, or take all out"
    )
