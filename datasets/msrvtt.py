"""MSR-VTT: 10,000 web clips with about 20 captions each.

Xu, Mei, Yao, Rui: MSR-VTT, a large video description dataset for bridging video and language,
CVPR 2016. Files as distributed (more in `docs/methods.md`):

    test_videodatainfo.json          2,990 clips, video7010 to video9999, split "test"
    train_val_videodatainfo.json     6,513 "train" and 497 "validate" clips
    MSRVTT_data.json                 both in one file, as CLIP4Clip gives it (read when they are not there)
    MSR_VTT.json                     both as COCO has them, without splits (read when none of these is there)
    MSRVTT_JSFUSION_test.csv         the 1k-A list
    TestVideo/ and TrainValVideo/    videoN.mp4

`videos` holds video_id and split, `sentences` holds video_id, caption and sen_id: the split of a
caption is known through its video_id alone. `start time` and `end time` of `videos` refer to the
original web video; the files are already cut, so they are not used. `annotation` names any other file; see
`msrvtt_captions` for the forms that are read, and for how splits are told where a file does not say them.

Lists. "official" is the 2,990-clip test split (or another `split`), as text-to-video papers such as SimDA
use it. "1k-A" is the retrieval split of JSFusion: 1,000 of the official test and validation clips, one given
caption each. Their numbers must not be mixed, so `split` is "1k-A" there.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

from pydantic import Field, model_validator

from ..core.contracts import FrozenConfig
from ..core.errors import DatasetError
from ..core.seeds import derive_seed
from ..core.types import ClipRef, Sample
from .lists.annotation import expanded, find_file, require_folder
from .msrvtt_captions import Caption, CaptionFile, read_caption_file
from .sample_list import ListedDataset, natural_rank, shuffled_rank

_ANNOTATION_FOLDERS = (
    "",
    "annotation",
    "annotations",
    "train_val_annotation",
    "test_annotation",
    "msrvtt_data",
    "MSRVTT",
    "MSR-VTT",
)
_SPLIT_FOLDERS = ("TestVideo", "TrainValVideo")
_VIDEO_FOLDERS = (
    *_SPLIT_FOLDERS,
    *(f"{above}/{folder}" for above in ("videos", "MSRVTT", "MSR-VTT") for folder in _SPLIT_FOLDERS),
    "videos/all",
    "videos",
    "all",
)
_ALL_IN_ONE = ("MSRVTT_data.json", "videodatainfo_2017.json", "MSR_VTT.json")
_1K_A_NAMES = (
    "MSRVTT_JSFUSION_test.csv",
    "msrvtt_test_1k.json",
    "msrvtt_ret_test1k.json",
    "msrvtt_test1k.json",
)
_UNFIT = {
    "*videodatainfo_nosen*.json": "the challenge's list of the same clips, without sentences",
    "raw-captions.pkl": "a pickle, which is not loaded",
}
_FIRST_TEST_NUMBER = 7010


class _Row(NamedTuple):
    video_id: str
    caption_id: str
    caption: str


class MsrVtt(ListedDataset):
    """MSR-VTT as text-to-video samples, in a fixed order.

    A sample's id is video id "#" caption id ("video7010#139800"), its source is the video id.

    Captions: "one-per-clip" takes one caption of each clip, chosen by (seed, video id). "all" takes every
    caption in rounds: each clip once before any clip twice, and the first round is the "one-per-clip" list.

    Order: "shuffled" is a seeded permutation in which every prefix is a random subset of the clips;
    "id" is by clip number. Opening reads one annotation file and lists the video folders.
    """

    name: ClassVar[str] = "msrvtt"
    what: ClassVar[str] = "MSR-VTT"
    task: ClassVar[str] = "text-to-video"
    hint: ClassVar[str] = "unpack the videos there, or set `video_root` to the folder that holds them"

    class Config(FrozenConfig):
        """Where MSR-VTT lies and which part of it is meant.

        Attributes:
            root: folder with the annotation files and TestVideo/, TrainValVideo/.
            split: the official split; with the list "1k-A" it must stay "test".
            list: "official" or "1k-A" (JSFusion's 1,000 test clips).
            captions: "one-per-clip" or "all" (official list only).
            order: "shuffled" (seeded) or "id".
            seed: chooses the captions and the order.
            annotation: the file with the captions, relative to `root` or absolute; None looks for the usual
                names in `root`.
            video_root: folder of the clips (or of TestVideo/, TrainValVideo/) when not in `root`.
        """

        root: str = Field(min_length=1)
        split: Literal["test", "validate", "train"] = "test"
        list: Literal["official", "1k-A"] = "official"
        captions: Literal["one-per-clip", "all"] = "one-per-clip"
        order: Literal["shuffled", "id"] = "shuffled"
        seed: int = 0
        annotation: str | None = Field(default=None, min_length=1)
        video_root: str | None = None

        @model_validator(mode="after")
        def _only_what_the_1k_a_list_has(self) -> MsrVtt.Config:
            if self.list == "1k-A" and self.split != "test":
                raise ValueError(f"the 1k-A list has no split {self.split!r}; leave `split` at 'test'")
            if self.list == "1k-A" and self.captions != "one-per-clip":
                raise ValueError("the 1k-A list gives one caption a clip; leave `captions` at 'one-per-clip'")
            return self

    config: MsrVtt.Config

    @property
    def split(self) -> str:
        """The official split, or "1k-A"."""
        return "1k-A" if self.config.list == "1k-A" else self.config.split

    def __len__(self) -> int:
        return len(self._rows)

    def notes(self) -> tuple[str, ...]:
        """What a reader of the numbers should know about this list, one sentence each."""
        return self._read[1]

    def _samples(self) -> Iterator[Sample]:
        references: dict[str, ClipRef] = {}
        for row in self._rows:
            reference = references.get(row.video_id)
            if reference is None:
                reference = references[row.video_id] = ClipRef(self._video_path(row.video_id))
            yield Sample(f"{row.video_id}#{row.caption_id}", row.caption, row.video_id, reference)

    def _require_clips(self) -> None:
        require_folder(self._root, self.what)
        if self.config.video_root is not None:
            require_folder(self._video_root, self.what, "video_root")
        if not self._video_folders:
            places = ", ".join(f"{folder or '.'}/" for folder in self._candidates)
            raise DatasetError(
                f"{self.what}: no folder of videos in {str(self._video_root)!r}; looked for {places}",
                self.hint,
            )

    @cached_property
    def _video_root(self) -> Path:
        given = self.config.video_root
        return self._root if given is None else expanded(given)

    @property
    def _candidates(self) -> tuple[str, ...]:
        """The folders in which clips may lie, in the order in which they are searched."""
        return _VIDEO_FOLDERS if self.config.video_root is None else ("", *_VIDEO_FOLDERS)

    @cached_property
    def _video_folders(self) -> list[Path]:
        """Those of the candidates that are there."""
        folders = [self._video_root / candidate for candidate in self._candidates]
        return [folder for folder in folders if self._names_in(folder) is not None]

    def _video_path(self, video_id: str) -> Path:
        """Where a clip lies; when no folder has it, where it is expected."""
        number = video_id.removeprefix("video")
        if self.config.list == "1k-A":
            in_test = number.isdigit() and int(number) >= _FIRST_TEST_NUMBER
        else:
            in_test = self.config.split == "test"
        own = "TestVideo" if in_test else "TrainValVideo"
        folders = sorted(self._video_folders, key=lambda folder: folder.name != own)
        fitting = (folder for folder in folders if folder.name == own or folder.name not in _SPLIT_FOLDERS)
        expected = next(fitting, self._video_root / own) / f"{video_id}.mp4"
        paths = (folder / expected.name for folder in folders)
        return next((path for path in paths if self._is_there(path)), expected)

    @cached_property
    def _read(self) -> tuple[dict[str, list[_Row]], tuple[str, ...]]:
        """The captions of each clip, and what to say of the list."""
        return self._read_1k_a() if self.config.list == "1k-A" else self._read_official()

    @cached_property
    def _rows(self) -> list[_Row]:
        captions, _ = self._read
        seed, by_id = self.config.seed, self.config.order == "id"
        keyed: list[tuple[Any, _Row]] = []
        for video_id, of_clip in captions.items():
            rank = natural_rank(video_id) if by_id else shuffled_rank(seed, video_id)
            first = derive_seed("MSR-VTT caption", seed, video_id) % len(of_clip)
            if self.config.captions == "one-per-clip":
                keyed.append((rank, of_clip[first]))
            elif by_id:
                keyed.extend(((rank, i), row) for i, row in enumerate(of_clip))
            else:
                keyed.extend((((i - first) % len(of_clip), rank), row) for i, row in enumerate(of_clip))
        keyed.sort(key=lambda pair: pair[0])
        return [row for _, row in keyed]

    def _captions(self, names: tuple[str, ...], what: str) -> CaptionFile:
        if self.config.annotation is None:
            return read_caption_file(find_file(self._root, names, _ANNOTATION_FOLDERS, what, _UNFIT))
        require_folder(self._root, self.what)
        return read_caption_file(self._root / expanded(self.config.annotation))

    def _read_official(self) -> tuple[dict[str, list[_Row]], tuple[str, ...]]:
        """The captions of each clip of the split, sorted by sen_id where the file has some."""
        split = self.config.split
        name = "test_videodatainfo.json" if split == "test" else "train_val_videodatainfo.json"
        file = self._captions((name, *_ALL_IN_ONE), f"{self.what}, split {split!r}")
        clips, note = file.clips_of(split)
        of_clips: dict[str, list[Caption]] = {video_id: [] for video_id in clips}
        for caption in file.captions:
            if caption.video_id in of_clips:
                of_clips[caption.video_id].append(caption)
        rows: dict[str, list[_Row]] = {}
        num_blank = 0
        for video_id, captions in of_clips.items():
            texts = _numbered(file.path, captions)
            rows[video_id] = [
                _Row(video_id, str(id), caption.text) for id, caption in texts if caption.text.strip()
            ]
            num_blank += len(texts) - len(rows[video_id])
        silent = [video_id for video_id, captions in rows.items() if not captions]
        if len(silent) == len(rows):
            raise DatasetError(
                f"{file.path}: none of the {len(rows)} clips of split {split!r} has a caption, such as "
                f"{silent[0]!r}",
                "the file may be incomplete: copy it again",
            )
        notes = [note] if note else []
        if num_strange := file.num_strange:
            notes.append(f"{num_strange} sentences are left out: their clip is not among `videos`")
        if num_blank:
            notes.append(f"{num_blank} blank captions are left out")
        if silent:
            notes.append(f"{len(silent)} of {len(rows)} clips are left out: they have no caption")
        return {video_id: captions for video_id, captions in rows.items() if captions}, tuple(notes)

    def _read_1k_a(self) -> tuple[dict[str, list[_Row]], tuple[str, ...]]:
        """The one caption of each clip of the 1k-A list."""
        file = self._captions(_1K_A_NAMES, f"{self.what}, list '1k-A'")
        rows: dict[str, list[_Row]] = {}
        for caption in file.captions:
            where = f"{file.path}, {caption.place}"
            if caption.video_id in rows:
                raise DatasetError(
                    f"{where}: the clip {caption.video_id!r} stands there twice",
                    "the 1k-A list gives one caption a clip; name the list itself in `annotation`",
                )
            id = "0" if caption.id is None else str(caption.id)
            rows[caption.video_id] = [_Row(caption.video_id, id, caption.text)]
        given = {video_id: of_clip for video_id, of_clip in rows.items() if of_clip[0].caption.strip()}
        if not given:
            raise DatasetError(f"{file.path} has a header but no rows with a sentence", "copy the file again")
        num_blank = len(rows) - len(given)
        return given, (f"{num_blank} of {len(rows)} clips are left out: they have no caption",) * (
            num_blank > 0
        )


def _numbered(path: Path, captions: list[Caption]) -> list[tuple[int | str, Caption]]:
    """The captions of a clip with their ids: those of the file, numbers sorted; else their places."""
    ids = [caption.id for caption in captions]
    if all(id is None for id in ids):
        return list(enumerate(captions))
    of_id: dict[int | str, Caption] = {}
    for id, caption in zip(ids, captions, strict=True):
        where = f"{path}, {caption.place}"
        if id is None:
            raise DatasetError(
                f"{where}: other captions of {caption.video_id!r} have a sen_id, this one has none",
                "give it one, or take all of them out",
            )
        if id in of_id:
            raise DatasetError(
                f"{where}: sen_id {id} stands there twice for {caption.video_id!r}",
                "delete one of the two entries",
            )
        of_id[id] = caption
    if all(isinstance(id, int) for id in of_id):
        return sorted(of_id.items(), key=lambda item: int(item[0]))
    return list(of_id.items())
