"""LOVEU-TGVE-2023: 76 videos with four edited captions each.

Wu et al.: CVPR 2023 text guided video editing competition, arXiv 2310.16003. Files as released:

    LOVEU-TGVE-2023_Dataset.csv or LOVEU-TGVE_2023_data.xlsx
        columns Video name, Our GT caption, Style Change Caption, Object Change Caption, Background Change
        Caption, Multiple Changes Caption; a row such as "DAVIS Videos:" heads each part; rows may end with
        empty columns that the header does not have, as sheets are exported
    DAVIS_480p/480p_frames/<video>/00000.jpg ...      16 videos
    youtube_480p/480p_frames/<video>/00000.jpg ...    23 videos
    videvo_480p/480p_frames/<video>/00000.jpg ...     37 videos

Sheets that were saved again have semicolons or tabs, or other names ("LOVEU-TGVE-2023_Dataset (1).csv"); they
are read where they are the only one. Where a part has no folder of a video's frames, its
480p_videos/<video>.mp4 is read.

Frames are 480 x 480, 32 or 128 of a video. The release states no frame rate: `fps` is for those who know it.
"""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

from pydantic import Field

from ..core.errors import DatasetError
from ..core.types import Sample
from .edit_list import EDIT_KINDS, EditingConfig, EditingDataset, EditKind
from .lists.annotation import caption_text, expanded, find_file, id_name, is_missing
from .lists.table_file import read_rows
from .lists.text_file import is_folder

Part = Literal["DAVIS_480p", "youtube_480p", "videvo_480p"]
PARTS: tuple[Part, ...] = ("DAVIS_480p", "youtube_480p", "videvo_480p")

_NAMES = ("LOVEU-TGVE-2023_Dataset", "LOVEU-TGVE_2023_data", "LOVEU-TGVE-2023_data")
_SUFFIXES = (".csv", ".tsv", ".xlsx")
SHEETS = tuple(name + suffix for suffix in _SUFFIXES for name in _NAMES)
COLUMNS = (
    "Video name",
    "Our GT caption",
    "Style Change Caption",
    "Object Change Caption",
    "Background Change Caption",
    "Multiple Changes Caption",
)
"""The edits' columns are in the order of EDIT_KINDS."""

_FOLDERS = ("", "loveu-tgve-2023", "LOVEU-TGVE-2023")
_HEADING = re.compile(r"(davis|youtube|videvo)\s+videos?\s*:?", re.IGNORECASE)


class _Row(NamedTuple):
    line: int
    name: str
    part: Part | None
    """None where no heading stands above the row."""
    source_prompt: str
    prompts: dict[EditKind, str]


class LoveuTgve(EditingDataset):
    """LOVEU-TGVE-2023 as editing samples, in a fixed order.

    Ids ("gold-fish:style") and order: see `EditingDataset`. Opening reads the sheet.
    """

    name: ClassVar[str] = "loveu-tgve"
    what: ClassVar[str] = "LOVEU-TGVE-2023"
    hint: ClassVar[str] = "unpack the frames there, or set `video_root` to the folder of the parts"

    class Config(EditingConfig):
        """Where LOVEU-TGVE-2023 lies and which part of it is meant; see `EditingConfig`.

        Attributes:
            root: folder with the sheet and the folders of the parts.
            parts: the parts to take.
            video_root: the folder of the parts when it is not that of the sheet.
        """

        parts: tuple[Part, ...] = Field(default=PARTS, min_length=1)
        video_root: str | None = None

    config: LoveuTgve.Config

    @property
    def split(self) -> str:
        """The one that was released."""
        return "test"

    def notes(self) -> tuple[str, ...]:
        """What a reader of the numbers should know about this list, one sentence each."""
        _, num_blank_rows, num_blank_edits, num_again = self._read
        notes = []
        if num_again:
            notes.append(f"{num_again} rows repeat another one and are left out")
        if num_blank_rows:
            notes.append(f"{num_blank_rows} rows are left out: they have no captions")
        if num_blank_edits:
            notes.append(f"{num_blank_edits} edits are left out: their caption is blank")
        return tuple(notes)

    @cached_property
    def _sheet(self) -> Path:
        try:
            return find_file(self._root, SHEETS, _FOLDERS, self.what)
        except DatasetError:
            if not is_folder(self._root):
                raise
            like = [path for folder in _FOLDERS for path in sorted((self._root / folder).glob("LOVEU-TGVE*"))]
            sheets = [path for path in like if path.suffix.lower() in _SUFFIXES]
            if len(sheets) == 1:
                return sheets[0]
            raise

    def _read_edits(self) -> list[Sample]:
        rows, *_ = self._read
        parts = self.config.parts
        if set(parts) != set(PARTS) and any(row.part is None for row in rows):
            row = next(row for row in rows if row.part is None)
            raise DatasetError(
                f"{self._sheet}, line {row.line}: no heading above {row.name!r} says which part it is of, "
                f"and only {', '.join(parts)} is wanted",
                "put back the rows 'DAVIS Videos:', 'Youtube Videos:', 'Videvo Videos:', or drop `parts`",
            )
        return [
            self._edit(row.name, self._folder(row), row.source_prompt, kind, kind, prompt)
            for row in rows
            if row.part is None or row.part in parts
            for kind, prompt in row.prompts.items()
            if kind in self.config.edits
        ]

    def _folder(self, row: _Row) -> Path:
        """Where the frames of a video lie (else the video itself), or are expected."""
        given = self.config.video_root
        base = self._sheet.parent if given is None else expanded(given)
        parts = (row.part,) if row.part else PARTS
        places = [base / part / "480p_frames" / row.name for part in parts]
        videos = [base / part / "480p_videos" / f"{row.name}.mp4" for part in parts]
        return next((place for place in (*places, *videos) if self._is_there(place)), places[0])

    @cached_property
    def _read(self) -> tuple[list[_Row], int, int, int]:
        """The rows of the sheet, and how many rows and edits are blank, and how many rows repeat another."""
        path = self._sheet
        rows: dict[str, _Row] = {}
        part: Part | None = None
        num_blank_rows = num_blank_edits = num_again = 0
        for line, values in read_rows(path, COLUMNS, is_loose=True, has_spare_fields=True):
            where = f"{path}, line {line}"
            texts = (caption_text(value, where).strip() for value in values)
            name, source_prompt, *prompts = ("" if is_missing(text) else text for text in texts)
            heading = _HEADING.fullmatch(name)
            if heading is not None:
                part = _part_of(heading.group(1))
                continue
            if not source_prompt and not any(prompts):
                num_blank_rows += bool(name)
                continue
            name = id_name(name, "Video name", where)
            if not source_prompt:
                raise DatasetError(
                    f"{where}: {name!r} has edited captions and no 'Our GT caption'",
                    "say there what the video shows: methods are tuned with it",
                )
            given = {kind: prompt for kind, prompt in zip(EDIT_KINDS, prompts, strict=True) if prompt}
            row = _Row(line, name, part, source_prompt, given)
            before = rows.setdefault(name, row)
            if before is row:
                num_blank_edits += len(EDIT_KINDS) - len(given)
            elif before._replace(line=line) == row:
                num_again += 1
            else:
                is_alike = before._replace(line=line, part=part) == row
                other = "heading above it" if is_alike else "caption"
                raise DatasetError(
                    f"{where}: the video {name!r} stands in line {before.line} too, with another {other}",
                    "delete one of the two lines",
                )
        if not rows:
            raise DatasetError(f"{path} has a header but no rows with captions", "copy the file again")
        return list(rows.values()), num_blank_rows, num_blank_edits, num_again


def _part_of(heading: str) -> Part:
    return next(part for part in PARTS if part.lower().startswith(heading.lower()))
