"""DAVIS videos with a file of edited captions.

Pont-Tuset, Perazzi, Caelles, Arbelaez, Sorkine-Hornung, Van Gool: The 2017 DAVIS challenge on video object
segmentation, arXiv 1704.00675. Files as distributed:

    JPEGImages/480p/<video>/00000.jpg ...    or JPEGImages/Full-Resolution/
    ImageSets/2017/val.txt                   a video a line; the lists of 2016 have a frame a line
    edits.csv, .tsv, .xlsx or .yaml          the edited captions: not part of DAVIS

Tune-A-Video's 140 edited captions on 42 videos (appendix A) were not released, and the list of videos is not
known (`docs/methods.md`), so the captions are the user's:

    video,source_prompt,edit,prompt
    bear,a bear is walking on rocks,object,a lion is walking on rocks

with edit one of style, object, background, multiple; or the same as a YAML list of mappings with these keys.
A video may have several edits of one kind; the source prompt is the same on all its lines.
"""

from __future__ import annotations

from collections import Counter
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import ClassVar, NamedTuple

from pydantic import Field

from ..core.errors import DatasetError, nearest
from ..core.types import Sample
from .edit_list import EDIT_KINDS, EditingConfig, EditingDataset, EditKind
from .lists.annotation import (
    caption_text,
    expanded,
    field,
    id_name,
    is_missing,
    load_yaml_list,
    plain_name,
    require_folder,
    text_field,
)
from .lists.table_file import read_rows
from .lists.text_file import is_file, text_lines

COLUMNS = ("video", "source_prompt", "edit", "prompt")
_TABLES, _YAML = (".csv", ".tsv", ".xlsx"), (".yaml", ".yml")


class _Row(NamedTuple):
    where: str
    video: str
    source_prompt: str
    edit: EditKind
    prompt: str


class Davis(EditingDataset):
    """DAVIS as editing samples, in a fixed order.

    Ids and order: see `EditingDataset`; the second edit of a kind is "bear:object-2".
    """

    name: ClassVar[str] = "davis"
    what: ClassVar[str] = "DAVIS"
    hint: ClassVar[str] = "unpack the frames there, or correct `root` or `resolution`"

    class Config(EditingConfig):
        """Where DAVIS lies and which part of it is meant; see `EditingConfig`.

        Attributes:
            root: folder with JPEGImages/ and ImageSets/.
            prompts: the file of edited captions (.csv, .tsv, .xlsx, .yaml or .yml), relative to `root` or
                absolute; where it is not there, one of its name with another of these endings is read.
            list: a list of ImageSets/, "2017/val" for ImageSets/2017/val.txt: only its videos are taken;
                None for every video that has captions.
            resolution: the folder in JPEGImages/.
        """

        prompts: str = Field(default="edits.csv", min_length=1)
        list: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*$")
        resolution: str = Field(default="480p", pattern=r"^[A-Za-z0-9_-]+$")

    config: Davis.Config

    @property
    def split(self) -> str:
        """The list, "2017-val" for 2017/val; "all" without one."""
        return "all" if self.config.list is None else self.config.list.replace("/", "-")

    def notes(self) -> tuple[str, ...]:
        """What a reader of the numbers should know about this list, one sentence each."""
        notes = []
        if num_blank := self._read[1]:
            notes.append(f"{num_blank} edits are left out: one of their captions is blank")
        if num_again := len(self._rows) - len(self._distinct):
            notes.append(f"{num_again} edits repeat another one and are left out")
        listed = self._listed
        if listed is None:
            return tuple(notes)
        with_captions = {row.video for row in self._rows}
        if without := len(listed - with_captions):
            notes.append(f"{without} of {len(listed)} videos of the list have no edited captions")
        if outside := len(with_captions - listed):
            notes.append(f"{outside} videos with edited captions are not in the list and left out")
        return tuple(notes)

    def _read_edits(self) -> list[Sample]:
        by_video: dict[str, list[_Row]] = {}
        for row in self._distinct:
            if self._listed is None or row.video in self._listed:
                by_video.setdefault(row.video, []).append(row)
        frames = self._root / "JPEGImages" / self.config.resolution
        edits = []
        for video, rows in by_video.items():
            count: Counter[EditKind] = Counter()
            for _, _, source_prompt, kind, prompt in rows:
                count[kind] += 1
                id = kind if count[kind] == 1 else f"{kind}-{count[kind]}"
                if kind in self.config.edits:
                    edits.append(self._edit(video, frames / video, source_prompt, id, kind, prompt))
        if not edits:
            raise DatasetError(
                f"{self.what}: {self._prompts} has no edit of the wanted kinds "
                f"({', '.join(self.config.edits)}) of a video of the list {self.config.list or '(none)'!r}",
                "correct `list` or `edits`, or add captions",
            )
        return edits

    @cached_property
    def _prompts(self) -> Path:
        require_folder(self._root, self.what)
        path = self._root / expanded(self.config.prompts)
        if not is_file(path):
            for other in (path.with_suffix(suffix) for suffix in (*_TABLES, *_YAML)):
                if is_file(other):
                    return other
            raise DatasetError(
                f"{self.what}: the file of edited captions {str(path)!r:.400} does not exist",
                f"DAVIS has none: write one with the columns {', '.join(COLUMNS)}, and set `prompts`",
            )
        return path

    @property
    def _rows(self) -> list[_Row]:
        return self._read[0]

    @cached_property
    def _read(self) -> tuple[list[_Row], int]:
        """The edited captions, checked, and how many are left out because one is blank."""
        path = self._prompts
        if path.suffix.lower() in _YAML:
            entries = enumerate(load_yaml_list(path))
            rows = [_from_yaml(f"{path}, entry {index}", entry) for index, entry in entries]
        elif path.suffix.lower() in _TABLES:
            lines = read_rows(path, COLUMNS, is_loose=True)
            rows = [_row(f"{path}, line {line}", *values) for line, values in lines]
        else:
            raise DatasetError(
                f"{self.what}: {str(path)!r} is none of {', '.join((*_TABLES, *_YAML))}",
                "save the captions as one of these",
            )
        first: dict[str, _Row] = {}
        num_read = len(rows)
        rows = [row for row in rows if row.source_prompt and row.prompt]
        for row in rows:
            before = first.setdefault(row.video, row)
            if row.source_prompt != before.source_prompt:
                raise DatasetError(
                    f"{row.where}: the source prompt of {row.video!r} differs from that above "
                    f"({row.source_prompt!r:.80} and {before.source_prompt!r:.80})",
                    "a video shows one thing: give all its edits the same source prompt",
                )
        return rows, num_read - len(rows)

    @cached_property
    def _distinct(self) -> list[_Row]:
        """The rows without those that repeat another one."""
        return list({row[1:]: row for row in self._rows}.values())

    @cached_property
    def _listed(self) -> frozenset[str] | None:
        """The videos of the list; None without one."""
        if self.config.list is None:
            return None
        path = self._root / "ImageSets" / f"{self.config.list}.txt"
        if not is_file(path):
            raise DatasetError(
                f"{self.what}: cannot read the list {str(path)!r} (No such file)",
                "set `list` to a file of ImageSets/ without its suffix, such as 2017/val",
            )
        names = {
            plain_name(_video_of(line), "video", f"{path}, line {number}")
            for number, line in enumerate(text_lines(path), 1)
            if line.strip()
        }
        if not names:
            raise DatasetError(f"{path} names no video", "copy the file again")
        return frozenset(names)


def _video_of(line: str) -> str:
    """The video of a line: its name, or the folder of "/JPEGImages/480p/bear/00000.jpg /Annotations/..."."""
    word = line.split()[0]
    return PurePosixPath(word).parent.name if "/" in word else word


def _from_yaml(where: str, entry: object) -> _Row:
    reads = {"source_prompt": text_field, "prompt": text_field}  # a caption may be null
    return _row(
        where,
        *(
            reads[name](entry, name, where) if name in reads else field(entry, name, str, where)
            for name in COLUMNS
        ),
    )


def _row(where: str, video: str, source_prompt: str, edit: str, prompt: str) -> _Row:
    """A row, with "" for a caption that is missing."""
    edit = edit.strip().lower()
    kind = next((kind for kind in EDIT_KINDS if kind == edit), None)
    if kind is None:
        close = nearest(edit, EDIT_KINDS)
        raise DatasetError(
            f"{where}: edit {edit!r:.80} is not one of {', '.join(EDIT_KINDS)}",
            f"did you mean {close!r}?" if close else "write one of these, or take the row out",
        )
    texts = (caption_text(text, where).strip() for text in (source_prompt, prompt))
    source_prompt, prompt = ("" if is_missing(text) else text for text in texts)
    return _Row(where, id_name(video, "video", where), source_prompt, kind, prompt)
