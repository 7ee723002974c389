"""The world on disk: published layouts, decodable files, nothing written twice."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import av
import numpy as np
import pytest

from reelbench.worlds.sprites.layouts import world_clips
from reelbench.worlds.sprites.render import render
from reelbench.worlds.sprites.write import MANIFEST, write_world

COUNTS = {"train": 3, "validate": 2, "test": 3}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("world")
    write_world(root, num_clips=COUNTS, show_progress=False)
    return root


def decode(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])


def test_msrvtt_layout(world: Path) -> None:
    folder = world / "msrvtt"
    train_val = json.loads((folder / "train_val_videodatainfo.json").read_text())
    test = json.loads((folder / "test_videodatainfo.json").read_text())
    assert [v["split"] for v in train_val["videos"]] == ["train"] * 3 + ["validate"] * 2
    assert [v["video_id"] for v in test["videos"]] == ["video5", "video6", "video7"]
    assert len(test["sentences"]) == 60
    assert set(test["sentences"][0]) == {"caption", "video_id", "sen_id"}
    assert all((folder / "TrainValVideo" / f"{v['video_id']}.mp4").exists() for v in train_val["videos"])
    rows = list(csv.DictReader((folder / "MSRVTT_JSFUSION_test.csv").open()))
    assert list(rows[0]) == ["key", "vid_key", "video_id", "sentence"]


def test_webvid_layout(world: Path) -> None:
    for name in ("results_2M_train", "results_2M_val", "results_10M_train", "results_10M_val"):
        rows = list(csv.DictReader((world / "webvid" / f"{name}.csv").open()))
        assert len(rows) == 3
        assert set(rows[0]) == {"videoid", "contentUrl", "duration", "page_dir", "name"}
        for row in rows:
            assert (world / "webvid/videos" / row["page_dir"] / f"{row['videoid']}.mp4").exists()


def test_ssv2_layout(world: Path) -> None:
    folder = world / "ssv2"
    labels = json.loads((folder / "labels.json").read_text())
    for name, count in (("train", 3), ("validation", 2)):
        entries = json.loads((folder / f"{name}.json").read_text())
        assert len(entries) == count
        for entry in entries:
            assert entry["label"] == entry["label"].lower()
            assert "[" not in entry["label"]
            assert entry["template"].replace("[", "").replace("]", "") in labels
            assert len(entry["placeholders"]) == entry["template"].lower().count("[something]")
    answers = (folder / "test-answers.csv").read_text().splitlines()
    ids = [e["id"] for e in json.loads((folder / "test.json").read_text())]
    assert [line.split(";")[0] for line in answers] == ids


@pytest.mark.parametrize(
    ("layout", "path", "first"),
    [
        ("msrvtt", "msrvtt/TestVideo/video5.mp4", 5),
        ("ssv2", "ssv2/20bn-something-something-v2/6.webm", 6),
    ],
)
def test_files_decode_to_what_was_drawn(world: Path, layout: str, path: str, first: int) -> None:
    clip = world_clips(layout, "test", 1, first, 0)[0]
    drawn = render(clip.scene, clip.num_frames)
    read = decode(world / path)
    assert read.shape == drawn.shape
    assert np.abs(read.astype(int) - drawn).mean() < 2


def test_a_complete_layout_is_left_alone(world: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in world.rglob("*") if p.is_file()}
    write_world(world, num_clips=COUNTS, show_progress=False)
    assert before == {p: p.stat().st_mtime_ns for p in world.rglob("*") if p.is_file()}


def test_an_interrupted_layout_is_completed_with_what_is_there(tmp_path: Path) -> None:
    counts = {"train": 1, "validate": 1, "test": 2}
    write_world(tmp_path, ["msrvtt"], counts, show_progress=False)
    folder = tmp_path / "msrvtt"
    kept, lost = folder / "TestVideo/video2.mp4", folder / "TestVideo/video3.mp4"
    content, written = lost.read_bytes(), kept.stat().st_mtime_ns
    lost.unlink()
    (folder / MANIFEST).unlink()
    write_world(tmp_path, ["msrvtt"], counts, show_progress=False)
    assert lost.read_bytes() == content
    assert kept.stat().st_mtime_ns == written


def test_unknown_layouts_and_splits_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="ucf"):
        write_world(tmp_path, ["ucf"])
    with pytest.raises(ValueError, match="dev"):
        write_world(tmp_path, ["ssv2"], {"dev": 3})


def test_the_same_clips_are_the_same_files_also_beside_others(world: Path, tmp_path: Path) -> None:
    """Digests of references are in keys: more clips must not make finished ones missing."""
    write_world(tmp_path, ("msrvtt", "ssv2"), {**COUNTS, "test": 5}, show_progress=False)
    for path in ("ssv2/20bn-something-something-v2/1.webm", "msrvtt/TestVideo/video5.mp4"):
        assert (tmp_path / path).read_bytes() == (world / path).read_bytes(), path
