"""Writes the Sprites world to disk as real video files in the layouts of the published data sets.

    <root>/msrvtt/    train_val_videodatainfo.json, test_videodatainfo.json, MSRVTT_JSFUSION_test.csv,
                      TrainValVideo/videoN.mp4, TestVideo/videoN.mp4
    <root>/webvid/    results_2M_train.csv, results_2M_val.csv, results_10M_*.csv,
                      videos/<page_dir>/<videoid>.mp4
    <root>/ssv2/      train.json, validation.json, test.json, labels.json, test-answers.csv,
                      20bn-something-something-v2/<id>.webm
    <root>/loveu/     LOVEU-TGVE-2023_Dataset.csv, DAVIS_480p/480p_frames/<video>/00000.png ...
    <root>/davis/     edits.csv, ImageSets/2017/val.txt, JPEGImages/480p/<video>/00000.png ...

The last two are the edits of `editing.py`, as many source videos as the test split has clips. Nothing blurs
the edges by which shapes are told apart: frames are PNG of the world's size (the published sets have JPEG of
480 pixels), MP4 files H.264 at a constant rate factor of 8 with full colour resolution (yuv444p), WebM files
VP9 4:4:4.

Every file appears under its name when it is whole, and a layout's manifest comes last: killed and started
again, writing resumes, and a complete layout of the same parameters is skipped.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...core.atomic_write import write_text_atomic
from .editing import NUM_FRAMES, edit_scenes
from .layouts import (
    FRAMES_PER_SECOND,
    WorldClip,
    davis_rows,
    jsfusion_rows,
    loveu_rows,
    msrvtt_document,
    plain_template,
    ssv2_entries,
    ssv2_label,
    ssv2_labels,
    webvid_page_dir,
    webvid_rows,
    world_clips,
)
from .prediction_layouts import PREDICTION_LAYOUTS, PictureFolder, write_pictures
from .render import render

LAYOUTS: tuple[str, ...] = ("msrvtt", "webvid", "ssv2", "loveu", "davis", *PREDICTION_LAYOUTS)
DEFAULT_CLIPS: dict[str, int] = {"train": 64, "validate": 16, "test": 64}
MANIFEST = "sprites-manifest.json"
_VERSION = 1
Written = WorldClip | PictureFolder
"""A video file, or a folder of pictures, to write."""
_CODECS: dict[str, tuple[str, str, dict[str, str]]] = {
    ".mp4": ("libx264", "mp4", {"crf": "8", "preset": "veryfast", "threads": "1"}),
    ".webm": ("libvpx-vp9", "webm", {"crf": "12", "b": "0", "cpu-used": "5", "threads": "1"}),
}


def write_video(path: Path, frames_THWC: np.ndarray, fps: int = FRAMES_PER_SECOND) -> None:
    """Writes uint8 [T, H, W, 3] as .mp4 (H.264) or .webm (VP9), whole or not at all.

    Raises ValueError for another suffix.
    """
    import av

    if path.suffix not in _CODECS:
        raise ValueError(f"cannot write {path.name}: allowed suffixes are {', '.join(_CODECS)}")
    codec, container_format, options = _CODECS[path.suffix]
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".part")
    # Matroska's ids are random otherwise: the same clip must be the same file, or its digest changes keys.
    bitexact = {"fflags": "+bitexact"}
    with av.open(str(temporary), "w", format=container_format, container_options=bitexact) as container:
        stream = container.add_stream(codec, rate=fps, options=options)
        stream.height, stream.width = frames_THWC.shape[1:3]
        stream.pix_fmt = "yuv444p"
        for frame in frames_THWC:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    temporary.replace(path)


def write_world(
    root: Path,
    layouts: Sequence[str] = LAYOUTS,
    num_clips: Mapping[str, int] | None = None,
    seed: int = 0,
    show_progress: bool = True,
) -> dict[str, Path]:
    """Writes the wished layouts under `root` and returns their folders.

    Args:
        layouts: of LAYOUTS.
        num_clips: clips per split (`train`, `validate`, `test`); missing ones as in DEFAULT_CLIPS.
        seed: another seed is another world: the same splits, other scenes.

    Raises ValueError for an unknown layout or split or a negative number.
    """
    for layout in layouts:
        if layout not in LAYOUTS:
            raise ValueError(f"unknown layout {layout!r}: allowed are {', '.join(LAYOUTS)}")
    counts = dict(DEFAULT_CLIPS)
    for split, count in (num_clips or {}).items():
        if split not in counts or count < 0:
            raise ValueError(f"num_clips[{split!r}] = {count}: splits are {', '.join(counts)}, counts from 0")
        counts[split] = count
    writers: dict[str, Callable[[Mapping[str, int], int], tuple[dict[str, str], Mapping[str, Written]]]] = {
        **PREDICTION_LAYOUTS,
        "msrvtt": _msrvtt_files,
        "webvid": _webvid_files,
        "ssv2": _ssv2_files,
        "loveu": _loveu_files,
        "davis": _davis_files,
    }
    folders = {}
    for layout in layouts:
        folder = folders[layout] = root / layout
        parameters = {"version": _VERSION, "layout": layout, "num_clips": counts, "seed": seed}
        if _is_complete(folder, parameters):
            continue
        texts, videos = writers[layout](counts, seed)
        _write_layout(folder, parameters, texts, videos, show_progress)
    return folders


def _is_complete(folder: Path, parameters: Mapping[str, Any]) -> bool:
    try:
        return bool(json.loads((folder / MANIFEST).read_text())["parameters"] == parameters)
    except (OSError, ValueError, KeyError):
        return False


def _write_layout(
    folder: Path,
    parameters: Mapping[str, Any],
    texts: Mapping[str, str],
    videos: Mapping[str, Written],
    show_progress: bool,
) -> None:
    from rich.progress import Progress

    folder.mkdir(parents=True, exist_ok=True)
    # Numbers shift with the counts, so an unfinished layout is only taken up with the very same parameters.
    stamp = json.dumps(parameters, sort_keys=True)
    stamp_path = folder / ".sprites-stamp.json"
    reuse = stamp_path.exists() and stamp_path.read_text() == stamp
    (folder / MANIFEST).unlink(missing_ok=True)
    if not reuse:
        stamp_path.unlink(missing_ok=True)
        for name in videos:
            _remove(folder / name)
        write_text_atomic(stamp_path, stamp)
    with Progress(disable=not show_progress, transient=True) as progress:
        for name, clip in progress.track(videos.items(), description=f"writing {folder.name}"):
            if (folder / name).exists():
                continue
            if isinstance(clip, PictureFolder):
                clip.write(folder / name)
                continue
            frames = render(clip.scene, clip.num_frames)
            if (folder / name).suffix:
                write_video(folder / name, frames)
            else:
                write_pictures(folder / name, {f"{i:05d}.png": frame for i, frame in enumerate(frames)})
    for name, text in texts.items():
        write_text_atomic(folder / name, text)
    digests = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in texts.items()}
    manifest = {"parameters": parameters, "num_videos": len(videos), "files": digests}
    write_text_atomic(folder / MANIFEST, json.dumps(manifest, indent=2) + "\n")


def _remove(path: Path) -> None:
    """Delete a video, file or folder, where it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _csv(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return buffer.getvalue()


def _msrvtt_files(counts: Mapping[str, int], seed: int) -> tuple[dict[str, str], dict[str, WorldClip]]:
    # Official ids run over train, then validate, then test.
    train = world_clips("msrvtt", "train", counts["train"], 0, seed)
    validate = world_clips("msrvtt", "validate", counts["validate"], len(train), seed)
    test = world_clips("msrvtt", "test", counts["test"], len(train) + len(validate), seed)
    texts = {
        "train_val_videodatainfo.json": json.dumps(msrvtt_document(train + validate)),
        "test_videodatainfo.json": json.dumps(msrvtt_document(test)),
        "MSRVTT_JSFUSION_test.csv": _csv(
            ("key", "vid_key", "video_id", "sentence"), jsfusion_rows(test[:1000])
        ),
    }
    videos = {f"TrainValVideo/video{c.number}.mp4": c for c in train + validate}
    videos |= {f"TestVideo/video{c.number}.mp4": c for c in test}
    return texts, videos


def _webvid_files(counts: Mapping[str, int], seed: int) -> tuple[dict[str, str], dict[str, WorldClip]]:
    header = ("videoid", "contentUrl", "duration", "page_dir", "name")
    texts: dict[str, str] = {}
    videos: dict[str, WorldClip] = {}
    # WebVid publishes a train and a val list; val holds the clips of our test split, which no model saw.
    for size, first in (("2m", 2_000_000), ("10m", 10_000_000)):
        for name, split, offset in (("train", "train", 0), ("val", "test", 500_000)):
            clips = world_clips(f"webvid-{size}", split, counts[split], first + offset, seed)  # type: ignore[arg-type]
            texts[f"results_{size.upper()}_{name}.csv"] = _csv(header, webvid_rows(clips))
            videos |= {f"videos/{webvid_page_dir(c.number)}/{c.number}.mp4": c for c in clips}
    return texts, videos


def _ssv2_files(counts: Mapping[str, int], seed: int) -> tuple[dict[str, str], dict[str, WorldClip]]:
    train = world_clips("ssv2", "train", counts["train"], 1, seed)
    validate = world_clips("ssv2", "validate", counts["validate"], 1 + len(train), seed)
    test = world_clips("ssv2", "test", counts["test"], 1 + len(train) + len(validate), seed)
    answers = "".join(f"{c.number};{plain_template(ssv2_label(c.scene)[1])}\n" for c in test)
    texts = {
        "train.json": json.dumps(ssv2_entries(train)),
        "validation.json": json.dumps(ssv2_entries(validate)),
        "test.json": json.dumps([{"id": str(c.number)} for c in test]),
        "labels.json": json.dumps(ssv2_labels(), indent=0),
        "test-answers.csv": answers,
    }
    videos = {f"20bn-something-something-v2/{c.number}.webm": c for c in train + validate + test}
    return texts, videos


def _loveu_files(counts: Mapping[str, int], seed: int) -> tuple[dict[str, str], dict[str, WorldClip]]:
    captions = ("style change", "object change", "background change", "multiple changes")
    header = ("Video name", "Our GT caption", *(f"{words} caption".title() for words in captions))
    edits = edit_scenes(counts["test"], seed)
    texts = {"LOVEU-TGVE-2023_Dataset.csv": _csv(header, loveu_rows(edits))}
    return texts, _edited_videos("DAVIS_480p/480p_frames", counts["test"], seed)


def _davis_files(counts: Mapping[str, int], seed: int) -> tuple[dict[str, str], dict[str, WorldClip]]:
    edits = edit_scenes(counts["test"], seed)
    names = dict.fromkeys(edit.video for edit in edits)
    texts = {
        "edits.csv": _csv(("video", "source_prompt", "edit", "prompt"), davis_rows(edits)),
        "ImageSets/2017/val.txt": "".join(f"{name}\n" for name in names),
    }
    return texts, _edited_videos("JPEGImages/480p", counts["test"], seed)


def _edited_videos(folder: str, num_videos: int, seed: int) -> dict[str, WorldClip]:
    """The source videos of the edits; a name without a suffix is a folder of frames."""
    sources = {edit.video: edit.source for edit in edit_scenes(num_videos, seed)}
    return {
        f"{folder}/{name}": WorldClip(number, "test", scene, NUM_FRAMES)
        for number, (name, scene) in enumerate(sources.items())
    }
