"""WebVid: stock footage with one caption each.

Bain, Nagrani, Varol, Zisserman: Frozen in time, ICCV 2021. Files as distributed (more in `docs/methods.md`):

    results_2M_train.csv, results_2M_val.csv, results_10M_train.csv, results_10M_val.csv
        columns videoid, contentUrl, duration, page_dir, name in an order that differs between
        copies; `name` is the caption
    videos/<page_dir>/<videoid>.mp4

Of the 2M training list, some hundred rows have no page_dir ("nan" in copies): their videos were never
downloaded, says the author, so these rows are left out. A mirror [T] parts the 10M lists into
data/train/partitions/0000.csv and so on; they are read where the list itself is not there.

Many of the videos' addresses are dead by now: see `skip_missing` and `missing`. SimDA reports on 4,476 random
pairs whose ids were not released; the default subset has that size, but is another draw.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

from pydantic import Field

from ..core.contracts import FrozenConfig
from ..core.errors import DatasetError
from ..core.types import ClipRef, Sample
from .lists.annotation import caption_text, expanded, find_file, id_name, is_missing, plain_name
from .lists.table_file import read_rows
from .lists.text_file import is_folder
from .sample_list import ListedDataset, natural_rank, shuffled_rank

_LIST_FOLDERS = ("", "metadata", "annotation", "annotations", "WebVid", "webvid")


class _Row(NamedTuple):
    videoid: str
    page_dir: str
    caption: str


class WebVid(ListedDataset):
    """WebVid as text-to-video samples, in a fixed order. A sample's id and source are its videoid.

    Left out and counted in `notes`: rows without a videoid, a page_dir or a caption, and those that name a
    video again (of rows that differ, the one that sorts first is taken, whatever their order).

    Subset: the `subset` rows whose videoids come first in the shuffled order of `seed`, whatever the order of
    the rows; a smaller subset is part of a larger one. `notes` says where a list is shorter.

    Opening streams the list once and keeps the subset only (about a minute for 10M-train). No video is
    touched.
    """

    name: ClassVar[str] = "webvid"
    what: ClassVar[str] = "WebVid"
    task: ClassVar[str] = "text-to-video"
    hint: ClassVar[str] = "download the videos there, or set `video_root` to the folder of the page folders"

    class Config(FrozenConfig):
        """Where WebVid lies and which part of it is meant.

        Attributes:
            root: folder with the list and videos/ (or the page folders themselves).
            list: which list, "2M-val" reads results_2M_val.csv.
            subset: how many rows to draw, None for all.
            order: "shuffled" (seeded; every prefix is a random subset) or "id".
            seed: chooses the subset and the order.
            skip_missing: leave out rows whose video is not there (or a dead link, or empty) before the subset
                is drawn; costs one listing for each page folder and a look at each video, and the
                fingerprint then follows what is there.
            video_root: the folder of the page folders when it is not `root`/videos.
        """

        root: str = Field(min_length=1)
        list: Literal["2M-val", "2M-train", "10M-val", "10M-train"] = "2M-val"
        subset: int | None = Field(default=4476, ge=1)
        order: Literal["shuffled", "id"] = "shuffled"
        seed: int = 0
        skip_missing: bool = False
        video_root: str | None = None

    config: WebVid.Config

    @property
    def split(self) -> str:
        """The list's name, "2M-val" and so on."""
        return self.config.list

    def __len__(self) -> int:
        return len(self._selection[0])

    def notes(self) -> tuple[str, ...]:
        """What a reader of the numbers should know about this list, one sentence each."""
        return self._selection[1]

    def _samples(self) -> Iterator[Sample]:
        for row in self._selection[0]:
            yield Sample(row.videoid, row.caption, row.videoid, ClipRef(self._video_path(row)))

    def _require_clips(self) -> None:
        rows, _ = self._selection
        if not any(self._is_there(self._video_path(row).parent) for row in rows):
            raise self._no_videos(rows[0])

    @cached_property
    def _video_root(self) -> Path:
        if self.config.video_root is not None:
            return expanded(self.config.video_root)
        videos = self._root / "videos"
        return videos if videos.is_dir() else self._root

    def _video_path(self, row: _Row) -> Path:
        return self._video_root / row.page_dir / f"{row.videoid}.mp4"

    def _is_there(self, path: Path) -> bool:
        # Most page folders of a list are not there: their names in the folder above spare looking for each.
        if path.parent.parent == self._video_root and not super()._is_there(path.parent):
            return False
        return super()._is_there(path)

    def _no_videos(self, row: _Row) -> DatasetError:
        return DatasetError(
            f"{self.what}, list {self.config.list!r}: no video of the list in {str(self._video_root)!r}; "
            f"expected files such as {row.page_dir}/{row.videoid}.mp4 there",
            self.hint,
        )

    @cached_property
    def _selection(self) -> tuple[list[_Row], tuple[str, ...]]:
        """The rows that are taken, in order, and what is to be said of the choice."""
        config = self.config
        # The `subset` smallest ranks so far, and a heap of their negatives: the largest on top.
        kept: dict[int, _Row] = {}
        largest: list[int] = []
        left = Counter[str]()
        num_listed = num_again = num_other = 0
        absent: _Row | None = None
        for where, (videoid, page_dir, caption) in self._rows():
            num_listed += 1
            if is_missing(videoid) or is_missing(page_dir):
                left["they have no videoid or no page_dir"] += 1
                continue
            row = _Row(
                id_name(videoid, "videoid", where),
                plain_name(page_dir.strip(), "page_dir", where),
                caption_text(caption, where),
            )
            if is_missing(caption):
                left["their caption is blank"] += 1
                continue
            if config.skip_missing and not self._is_usable(self._video_path(row)):
                left["their video is missing"] += 1
                absent = absent or row
                continue
            rank = shuffled_rank(config.seed, row.videoid)
            if rank in kept:
                num_again += row == kept[rank]
                num_other += row != kept[rank]
                kept[rank] = min(kept[rank], row)
                continue
            if config.subset is not None:
                if len(kept) < config.subset:
                    heapq.heappush(largest, -rank)
                elif rank < -largest[0]:
                    del kept[-heapq.heapreplace(largest, -rank)]
                else:
                    continue
            kept[rank] = row
        if not kept and absent is not None:
            raise self._no_videos(absent)
        why = [f"{count} of {num_listed} rows are left out: {why}" for why, count in left.items()]
        if not kept and why:
            raise DatasetError(f"no row of {self._paths()[0]} can be used; {'; '.join(why)}", "copy it again")
        if not kept:
            raise DatasetError(f"{self._paths()[0]} has a header but no rows", "copy it again")
        if config.order == "id":
            rows = sorted(kept.values(), key=lambda row: natural_rank(row.videoid))
        else:
            rows = [row for _, row in sorted(kept.items())]
        notes = []
        if config.subset is not None and len(rows) < config.subset:
            notes.append(
                f"a subset of {config.subset} was asked for; there are {len(rows)} rows, all are taken"
            )
        notes += why
        if num_again:
            notes.append(f"{num_again} rows repeat another one and are left out")
        if num_other:
            notes.append(
                f"{num_other} rows name a video again, with another caption or page_dir: one is taken"
            )
        return rows, tuple(notes)

    def _paths(self) -> list[Path]:
        """The files of the list: itself, or the parts of the mirror."""
        size, _, part = self.config.list.partition("-")
        name, what = f"results_{size}_{part}.csv", f"{self.what}, list {self.config.list!r}"
        try:
            return [find_file(self._root, (name,), _LIST_FOLDERS, what)]
        except DatasetError:
            folder = self._root / "data" / part / "partitions"
            parts = sorted(folder.glob("*.csv")) if size == "10M" and is_folder(folder) else []
            if not parts:
                raise
            return parts

    def _rows(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """(place, (videoid, page_dir, caption)) of each row."""
        for path in self._paths():
            for line, values in read_rows(path, ("videoid", "page_dir", "name")):
                yield f"{path}, line {line}", values
