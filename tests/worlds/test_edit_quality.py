"""How edits are judged: on clips of which it is known what they show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from reelbench.core.types import Frames
from reelbench.worlds.sprites.edit_quality import (
    JudgedEdit,
    Margin,
    consistency_margin,
    edit_quality,
    judged_edits,
    summarised,
    write_edit_sheet,
)
from reelbench.worlds.sprites.editing import EditScene, edit_scenes
from reelbench.worlds.sprites.render import render

# One edit of each kind, of clips that move in the four directions.
EDITS = [edit_scenes(4, seed=2)[5 * number] for number in range(4)]


def targets(edits: Sequence[EditScene] = EDITS) -> list[Frames]:
    return [render(edit.target, 16) for edit in edits]


def sources(edits: Sequence[EditScene] = EDITS) -> list[Frames]:
    return [render(edit.source, 16) for edit in edits]


def shuffled(clips: Sequence[Frames]) -> list[Frames]:
    """The same frames in another order, so that all but the motion stays."""
    order = np.random.default_rng(0).permutation(16)
    return [clip[order] for clip in clips]


@pytest.fixture(scope="module")
def perfect() -> list[JudgedEdit]:
    return judged_edits(targets(), EDITS)


def test_perfect_edits_reach_everything(perfect: list[JudgedEdit]) -> None:
    got = summarised(perfect)
    assert (got.as_prompted, got.motion_kept, got.judged_motion_kept) == (1.0, 1.0, 1.0)
    assert got.by_kind == dict.fromkeys(("style", "object", "background", "multiple"), (1.0, 1.0))
    assert (got.num, got.num_videos, got.faults, got.reached) == (4, 4, {}, True)


def test_unedited_clips_keep_the_motion_and_are_never_as_prompted() -> None:
    judged = judged_edits(sources(), EDITS)
    got = summarised(judged)
    assert (got.as_prompted, got.motion_kept, got.judged_motion_kept) == (0.0, 1.0, 1.0)
    assert not got.reached
    missing = [set(one.missing) for one in judged]
    assert missing[:3] == [{"colour"}, {"shape"}, {"background"}]
    assert len(missing[3]) == 2
    assert "background" in missing[3]
    assert got.faults["object: shape"] == 1


def test_frames_in_disorder_are_as_prompted_and_lose_the_motion() -> None:
    judged = judged_edits(shuffled(targets()), EDITS)
    got = summarised(judged)
    assert (got.as_prompted, got.reached) == (1.0, False)
    assert got.motion_kept <= 0.25
    lost = {f"{one.edit.edit}: {one.source_motion} -> {one.motion}" for one in judged if not one.motion_kept}
    assert got.faults.keys() == lost


def test_most_of_the_judged_frames_decide() -> None:
    """Frames 0, 5, 10 and 15 are judged; two of four are not most."""
    for num_unedited, expected in ((1, True), (2, False)):
        clip, source = targets()[0].copy(), sources()[0]
        for frame in (0, 5)[:num_unedited]:
            clip[frame] = source[frame]
        assert [one.as_prompted for one in judged_edits([clip], EDITS[:1])] == [expected]


def test_colour_shape_and_background_must_be_right_in_the_same_frames() -> None:
    """Each is right in three frames of four, all three in two."""
    edit = EDITS[0]
    wrong_shape = replace(edit.target, main=replace(edit.target.main, shape=EDITS[1].target.main.shape))
    assert wrong_shape != edit.target
    clip = targets()[0].copy()
    clip[0], clip[5] = sources()[0][0], render(wrong_shape, 16)[5]
    one = judged_edits([clip], [edit])[0]
    assert (one.missing, one.as_prompted) == ((), False)


def test_shares_are_counted_over_edits_and_kinds(perfect: list[JudgedEdit]) -> None:
    lost = replace(perfect[0], motion="bounces", judged_motion_kept=False)
    bare = replace(perfect[1], missing=("shape",), as_prompted=False)
    got = summarised([lost, bare, *perfect[2:]])
    assert (got.as_prompted, got.motion_kept, got.judged_motion_kept) == (0.75, 0.75, 0.75)
    assert got.by_kind["style"] == (1.0, 0.0)
    assert got.by_kind["object"] == (0.0, 1.0)
    assert got.faults == {"style: moves left -> bounces": 1, "object: shape": 1}
    assert got.reached
    within_error = Margin(0.9, 0.89, 0.01, 0.006)
    assert not summarised(perfect, within_error).reached
    assert summarised(perfect, replace(within_error, standard_error=0.004)).reached


def test_frame_consistency_is_set_against_independent_frames() -> None:
    """With the standard error over source clips: two edits of one clip are one of two observations."""
    edits = edit_scenes(2)[:2] + edit_scenes(2)[4:5]
    clips = [clip[::4] for clip in targets(edits)]
    mixed = np.stack([render(edit.target, 16)[8] for edit in edit_scenes(4)])
    independent = [mixed] * 3
    margin = consistency_margin(clips, independent, edits)
    alone = [consistency_margin([clip], [mixed], [edit]) for clip, edit in zip(clips, edits, strict=True)]
    of_videos = [(alone[0].difference + alone[1].difference) / 2, alone[2].difference]
    assert margin.difference == pytest.approx(np.mean(of_videos))
    assert margin.standard_error == pytest.approx(abs(of_videos[0] - of_videos[1]) / 2)
    assert margin.method == pytest.approx(np.mean([one.method for one in alone]))
    assert margin.method > 0.9 > margin.independent
    assert margin.reached
    assert np.isnan(alone[0].standard_error)
    assert not alone[0].reached
    same = consistency_margin(clips, clips, edits)
    assert (same.difference, same.reached) == (0.0, False)


def test_a_method_is_tuned_and_measured(tmp_path: Path) -> None:
    """One update and two steps, which edit nothing well; what is recorded is what was run."""
    tiny = {"preset": "sprites", "num_frames": 9, "num_steps": 2, "tuning": {"steps": 1}}
    lines: list[str] = []
    got = edit_quality("tune-a-video", 1, 2, tiny, tmp_path / "sheet.png", lines.append)
    assert (got.num, got.num_videos) == (1, 1)
    assert (got.settings["method"], got.settings["num_steps"], got.settings["edit_seed"]) == (
        "tune-a-video",
        2,
        2,
    )
    assert got.consistency is not None
    assert 0 < got.consistency.method <= 1
    assert not got.consistency.reached
    assert [line.split(": ")[0] for line in lines] == ["sprite-000:style"]
    assert (tmp_path / "sheet.png").stat().st_size > 0


def test_the_sheet_shows_each_source_above_its_edits(tmp_path: Path) -> None:
    from PIL import Image

    edits = edit_scenes(2)[2:6]
    write_edit_sheet(tmp_path / "sheet.png", targets(edits), edits)
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert sheet.shape == ((4 + 2) * 64, 6 * 64, 3)
    assert np.array_equal(sheet[:64, :64], sources(edits)[0][0])
    assert np.array_equal(sheet[64:128, 64:128], targets(edits)[0][3])
    assert np.array_equal(sheet[192:256, :64], sources(edits)[2][0])
