"""Tuning on references and upscaling: shared by many samples, done once, and what their failures leave."""

from __future__ import annotations

import json
from typing import Any

import pytest

from reelbench.core.store import Store
from reelbench.datasets.video import default_codec
from reelbench.stages.results import RunResult
from reelbench.stages.work import ShardResult

EDITS = {
    "cat": ("a cat walks", {"style": "a cat walks, oil painting", "object": "a dog walks"}),
    "car": ("a car drives", {"style": "a car drives, sketch", "object": "a bus drives"}),
}
ALL_IDS = {"cat-style", "cat-object", "car-style", "car-object"}


def tunings(world: Any) -> list[str]:
    return [line for line in world.generated() if line.startswith("tune:")]


def made(world: Any) -> list[str]:
    return [line for line in world.generated() if not line.startswith("tune:")]


def run(world: Any, **changes: Any) -> tuple[dict[str, Any], RunResult, list[ShardResult]]:
    return world.run(methods=[world.method("Shade")], **changes)


def rows_of(tables: dict[str, Any], metric: str) -> dict[str, dict[str, Any]]:
    return {
        row["method"]: row for row in tables["summary"] if row["metric"] == metric and row["seed"] is None
    }


def test_the_edits_of_a_clip_share_one_tuning_on_its_source_prompt(world: Any) -> None:
    world.write_edits(EDITS)
    tables, result, _ = run(world)
    assert sorted(tunings(world)) == ["tune:a_car_drives:12", "tune:a_cat_walks:12"]
    assert set(made(world)) == ALL_IDS
    assert result.num_failures == 0
    clips = {row["sample_id"]: row for row in tables["clips"] if row["side"] == "generated"}
    assert clips["cat-style"]["tune_key"] == clips["cat-object"]["tune_key"] != clips["car-style"]["tune_key"]
    assert (clips["cat-style"]["edit"], clips["cat-style"]["source_prompt"]) == ("style", "a cat walks")
    assert clips["cat-style"]["trainable_parameters"] == 3


def test_a_second_run_tunes_nothing_and_other_guidance_finds_the_same_tunings(world: Any) -> None:
    world.write_edits(EDITS)
    first, _, _ = run(world)
    asked = world.generated()
    second, _, _ = run(world)
    assert world.generated() == asked
    assert second == first
    stronger = world.method("Shade", config={"log": str(world.log), "strength": 4})
    world.run(methods=[stronger])
    assert len(tunings(world)) == 2
    assert len(made(world)) == 8


def test_another_seed_another_prompt_of_the_source_and_another_clip_are_other_tunings(world: Any) -> None:
    world.write_edits(EDITS)
    run(world)
    run(world, seeds=[0, 1])
    assert len(tunings(world)) == 4
    world.write_edits(EDITS | {"cat": ("a kitten walks", EDITS["cat"][1])})
    run(world)
    assert len(tunings(world)) == 5
    world.write_edits(EDITS, num_frames=19)
    run(world)
    assert len(tunings(world)) == 7


def test_a_tuning_that_fails_is_recorded_and_its_clips_say_so(world: Any) -> None:
    world.write_edits(EDITS | {"cat": ("untunable", EDITS["cat"][1])})
    tables, _, results = run(world)
    assert set(made(world)) == {"car-style", "car-object"}
    clips = {row["sample_id"]: row for row in tables["clips"] if row["side"] == "generated"}
    assert clips["cat-style"]["status"] == "failed"
    assert (
        "the tuning on 'cat' failed: ValueError: the prompt asked for it"
        in clips["cat-style"]["error_message"]
    )
    failed = [failure[0] for item in results for failure in item.failures]
    assert failed[0].endswith("tuning on cat")
    assert rows_of(tables, "tuning_s")["shade"]["coverage"] == 0.5
    assert rows_of(tables, "clipsim")["shade"]["coverage"] == 0.5
    # The checkpoint stays for the next try, which goes on from it.
    assert len(list((world.folder / "out" / "store" / "artifacts").rglob("checkpoint.pt"))) == 1
    run(world)
    assert len([line for line in tunings(world) if "untunable" in line]) == 2


def test_a_reference_that_is_missing_fails_its_own_tuning_only(world: Any) -> None:
    world.write_edits(EDITS)
    (world.folder / "data" / "cat.mkv").unlink()
    tables, _, _ = run(world)
    clips = {row["sample_id"]: row for row in tables["clips"] if row["side"] == "generated"}
    assert "cat.mkv" in clips["cat-object"]["error_message"]
    assert clips["car-object"]["status"] == "done"


def test_a_prompt_that_fails_leaves_the_others_of_its_tuning(world: Any) -> None:
    world.write_edits(EDITS | {"cat": ("a cat walks", {"style": "raise", "object": "a dog walks"})})
    tables, _, _ = run(world)
    clips = {row["sample_id"]: row for row in tables["clips"] if row["side"] == "generated"}
    assert (clips["cat-style"]["status"], clips["cat-object"]["status"]) == ("failed", "done")


def test_a_damaged_artifact_is_noticed_and_tuned_again(world: Any) -> None:
    world.write_edits(EDITS)
    tables, _, _ = run(world)
    clips = {row["sample_id"]: row for row in tables["clips"] if row["side"] == "generated"}
    store = Store(world.folder / "out" / "store", default_codec())
    key = clips["cat-style"]["tune_key"]
    store.artifacts.path(key).write_bytes(b"damage")
    (store.clips.folder(clips["cat-style"]["clip_key"]) / "record.json").unlink()
    tables, result, _ = run(world)
    assert result.num_failures > 0
    tables, result, _ = run(world)
    assert result.num_failures == 0
    assert len(tunings(world)) == 3


def test_costs_count_a_tuning_once_and_clips_each(world: Any) -> None:
    world.write_edits(EDITS)
    tables, _, _ = run(world)
    tuning, sampling = rows_of(tables, "tuning_s")["shade"], rows_of(tables, "sampling_s")["shade"]
    assert (tuning["n"], sampling["n"]) == (2, 4)
    assert tuning["value"] >= 0
    assert rows_of(tables, "trainable_parameters")["shade"]["value"] == 3


def test_a_tuning_that_was_killed_counts_what_its_attempts_took(world: Any) -> None:
    world.write_edits({"cat": EDITS["cat"]})
    store = Store(world.folder / "out" / "store", default_codec())
    run(world)
    (folder,) = store.artifacts.path("0" * 64).parents[2].glob("*/*")
    (folder / "record.json").unlink()
    (folder / "checkpoint.pt").write_text("half")
    (folder / "elapsed.json").write_text(json.dumps({"seconds": 100.0}))
    for path in (world.folder / "out" / "store" / "clips").rglob("record.json"):
        path.unlink()
    tables, _, _ = run(world)
    assert 100 <= rows_of(tables, "tuning_s")["shade"]["value"] < 160
    assert not (folder / "checkpoint.pt").exists()


def test_a_tuned_method_is_grouped_apart_and_never_compared_with_text_only_ones(world: Any) -> None:
    world.write({f"v{index}": f"clip {index}" for index in range(5)})
    methods = [world.method("Noise"), world.method("Noise", label="more noise"), world.method("Shade")]
    tables, _, _ = world.run(methods=methods)
    assert rows_of(tables, "clipsim")["shade"]["conditioning"] == "text + reference video"
    assert rows_of(tables, "clipsim")["noise"]["conditioning"] == "text"
    assert {row[side] for row in tables["comparisons"] for side in ("method_a", "method_b")} == {
        "noise",
        "more noise",
    }
    # Without a prompt of its own the source is described by the prompt that is scored.
    assert "tune:clip_0:12" in tunings(world)


def test_an_upscaler_enlarges_the_clips_of_a_method_and_leaves_them(world: Any) -> None:
    world.write({f"v{index}": f"clip {index}" for index in range(5)})
    noise = world.method("Noise")
    upscale = {"name": f"{world.folder}/plugins.py:Doubled"}
    world.run(methods=[noise])
    asked = world.generated()
    both, result, _ = world.run(methods=[noise, noise | {"label": "large", "upscale": upscale}])
    assert world.generated() == asked  # the small clips were there
    assert result.num_failures == 0
    clips = {(row["method"], row["sample_id"]): row for row in both["clips"] if row["side"] == "generated"}
    assert (clips["large", "v0"]["height"], clips["noise", "v0"]["height"]) == (64, 32)
    assert clips["large", "v0"]["sampling_s"] > clips["large", "v0"]["upscaling_s"] > 0
    _, _, results = world.run(methods=[noise, noise | {"label": "large", "upscale": upscale}])
    assert results == []


@pytest.mark.parametrize(
    ("prompt", "message"),
    [("unscalable", "asked for it"), ("raise", "at the method's own size failed: ValueError")],
)
def test_a_clip_that_cannot_be_enlarged_fails_with_the_reason(world: Any, prompt: str, message: str) -> None:
    world.write({"v0": prompt, "v1": "fine"})
    upscale = {"name": f"{world.folder}/plugins.py:Doubled"}
    tables, _, _ = world.run(methods=[world.method("Noise", upscale=upscale)])
    clips = {row["sample_id"]: row for row in tables["clips"] if row["side"] == "generated"}
    assert (clips["v0"]["status"], clips["v1"]["status"]) == ("failed", "done")
    assert message in clips["v0"]["error_message"]


def test_an_unknown_setting_of_an_upscaler_is_refused_with_the_nearest(world: Any) -> None:
    from reelbench.core.errors import RunFileError

    world.write({"v0": "clip"})
    upscale = {"name": f"{world.folder}/plugins.py:Doubled", "config": {"factr": 2}}
    with pytest.raises(RunFileError, match=r"upscale\.config.*factr: unknown key; did you mean 'factor'"):
        world.run(methods=[world.method("Noise", upscale=upscale)])


def test_the_source_clip_of_an_edit_is_in_the_table_when_a_metric_looks_at_it(world: Any) -> None:
    world.write_edits(EDITS)
    (world.folder / "data" / "cat.mkv").unlink()
    tables, _, _ = run(world, metrics=["ssim"])
    references = {row["source"]: row for row in tables["clips"] if row["side"] == "reference"}
    assert references["car"]["status"] == "done"
    assert references["car"]["prompt"] == "a car drives"
    assert (references["cat"]["status"], references["cat"]["error_type"]) == ("failed", "VideoError")


def test_pairs_are_made_with_the_frames_that_the_method_took(world: Any) -> None:
    import numpy as np

    from reelbench.core.types import ClipRef
    from reelbench.datasets.video import write_lossless
    from reelbench.stages.inputs import SourceInput, read_inputs

    frames = np.arange(40, dtype=np.uint8)[:, None, None, None].repeat(32, 1).repeat(32, 2).repeat(3, 3)
    write_lossless(world.folder / "long.mkv", frames, 8.0)
    choice = (("choice", "stride"), ("num_frames", 16), ("start", 1), ("stride", 2))
    (read,) = read_inputs([SourceInput(ClipRef(world.folder / "long.mkv"), choice)], None)
    np.testing.assert_array_equal(read[:, 0, 0, 0], np.arange(1, 33, 2))

    world.write_edits(EDITS, num_frames=40)
    tables, result, _ = run(world, metrics=["ssim"])
    assert result.num_failures == 0
    assert rows_of(tables, "ssim")["shade"]["n"] == 4
    # Of a clip too short for that choice there is no pair, whatever the protocol could read of it.
    world.write_edits(EDITS, num_frames=30)
    tables, _, _ = run(world, metrics=["ssim"])
    assert rows_of(tables, "ssim")["shade"]["n"] == 0
    errors = {row["error_message"] for row in tables["features"] if row["status"] != "done"}
    assert any("30 frames" in (error or "") and "need 32" in error for error in errors)
