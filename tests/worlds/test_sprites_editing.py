"""Edits of Sprites: what changes, what stays, and that the written data sets say the same."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reelbench.datasets.davis import Davis
from reelbench.datasets.edit_list import EDIT_KINDS as DATASET_EDIT_KINDS
from reelbench.datasets.loveu import LoveuTgve
from reelbench.datasets.video import read_clip
from reelbench.worlds.sprites.check import judge, judge_motion
from reelbench.worlds.sprites.editing import EDIT_KINDS, NUM_FRAMES, EditScene, edit_scenes
from reelbench.worlds.sprites.motion_quality import JUDGED_MOTIONS
from reelbench.worlds.sprites.render import render
from reelbench.worlds.sprites.scene import Scene, split_of
from reelbench.worlds.sprites.write import MANIFEST, write_world

from .combinations import combination

NUM_VIDEOS = 5


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("world")
    write_world(root, ("loveu", "davis"), {"test": NUM_VIDEOS}, seed=3, show_progress=False)
    return root


def words(scene: Scene) -> tuple[str, str, str]:
    return scene.main.colour, scene.main.shape, scene.background


def changed(edit: EditScene) -> set[str]:
    names = ("colour", "shape", "background")
    pairs = zip(names, words(edit.source), words(edit.target), strict=True)
    return {name for name, before, after in pairs if before != after}


def test_each_kind_changes_what_it_names_and_nothing_else() -> None:
    edits = edit_scenes(32)
    expected = {
        "style": [{"colour"}],
        "object": [{"shape"}],
        "background": [{"background"}],
        "multiple": [{"colour", "background"}, {"shape", "background"}],
    }
    for edit in edits:
        assert changed(edit) in expected[edit.edit]
        main = replace(edit.target.main, colour=edit.source.main.colour, shape=edit.source.main.shape)
        assert replace(edit.target, main=main, background=edit.source.background) == edit.source
    both = Counter("colour" in changed(edit) for edit in edits if edit.edit == "multiple")
    assert both == {True: 16, False: 16}


def test_captions_differ_in_the_changed_words_only() -> None:
    for edit in edit_scenes(12):
        source, target = edit.source_prompt, edit.prompt
        assert source != target
        for before, after in zip(words(edit.source)[:2], words(edit.target)[:2], strict=True):
            assert after in target
            source = source.replace(before, "X", 1)
            target = target.replace(after, "X", 1)
        if "background" not in changed(edit):
            assert source == target


def test_no_training_clip_shows_a_source_or_an_edit() -> None:
    edits = edit_scenes(64)
    assert {split_of(*combination(edit.source)) for edit in edits} == {"test"}
    assert "train" not in {split_of(*combination(edit.target)) for edit in edits}


def test_motions_can_be_judged_and_come_equally_often() -> None:
    edits = edit_scenes(24)
    assert Counter(edit.source.motion for edit in edits) == dict.fromkeys(JUDGED_MOTIONS, 12)
    assert all(edit.source.other is None for edit in edits)


def test_fewer_videos_are_a_prefix_and_seeds_differ() -> None:
    assert edit_scenes(20)[:12] == edit_scenes(3)
    assert edit_scenes(3) != edit_scenes(3, seed=1)
    assert len({edit.source for edit in edit_scenes(64)}) == 64
    assert edit_scenes(0) == []
    with pytest.raises(ValueError, match="-1"):
        edit_scenes(-1)


def test_the_pixels_show_the_edit_and_the_motion_of_the_source() -> None:
    for edit in edit_scenes(8)[3::8]:
        clip = render(edit.target, NUM_FRAMES)
        assert judge(clip[NUM_FRAMES // 2]).shows(*words(edit.target))
        assert judge_motion(clip) == edit.source.motion


def test_the_data_sets_read_the_edits_in_their_order(world: Path) -> None:
    edits = edit_scenes(NUM_VIDEOS, seed=3)
    loveu = LoveuTgve(LoveuTgve.Config(root=str(world / "loveu")))
    davis = Davis(Davis.Config(root=str(world / "davis"), list="2017/val"))
    assert EDIT_KINDS == DATASET_EDIT_KINDS
    for data in (loveu, davis):
        assert data.missing() == []
        assert [
            (sample.id, sample.source, sample.edit, sample.source_prompt, sample.prompt) for sample in data
        ] == [(edit.id, edit.video, edit.edit, edit.source_prompt, edit.prompt) for edit in edits]


@pytest.mark.parametrize("layout", ["loveu", "davis"])
def test_the_frames_are_the_scene_pixel_for_pixel(world: Path, layout: str) -> None:
    cls: Any = {"loveu": LoveuTgve, "davis": Davis}[layout]
    sources = {edit.video: edit.source for edit in edit_scenes(NUM_VIDEOS, seed=3)}
    for sample in cls(cls.Config(root=str(world / layout))):
        assert sample.reference is not None
        if sample.edit == "style":
            drawn = render(sources[sample.source], NUM_FRAMES)
            assert np.array_equal(read_clip(sample.reference), drawn)


def test_writing_goes_on_where_it_stopped(tmp_path: Path) -> None:
    write_world(tmp_path, ["davis"], {"test": 3}, show_progress=False)
    folder = tmp_path / "davis"
    frames = folder / "JPEGImages" / "480p"
    kept = (frames / "sprite-000" / "00000.png").stat().st_mtime_ns
    lost = (frames / "sprite-002" / "00007.png").read_bytes()
    # Killed within a folder of frames: it has no final name yet.
    (frames / "sprite-002").rename(frames / "sprite-002.part")
    (folder / MANIFEST).unlink()
    write_world(tmp_path, ["davis"], {"test": 3}, show_progress=False)
    assert (frames / "sprite-002" / "00007.png").read_bytes() == lost
    assert (frames / "sprite-000" / "00000.png").stat().st_mtime_ns == kept
    assert sorted(path.name for path in frames.iterdir()) == ["sprite-000", "sprite-001", "sprite-002"]


def test_other_parameters_draw_the_frames_anew(tmp_path: Path) -> None:
    write_world(tmp_path, ["loveu"], {"test": 1}, seed=0, show_progress=False)
    path = tmp_path / "loveu/DAVIS_480p/480p_frames/sprite-000/00000.png"
    before = path.read_bytes()
    write_world(tmp_path, ["loveu"], {"test": 1}, seed=1, show_progress=False)
    assert path.read_bytes() != before
