"""The stages from end to end, in one process: what is recorded, what is done once, what failures leave."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from reelbench.core.tables import PROVENANCE_COLUMNS

PROMPTS = {f"v{index}": f"a clip number {index}" for index in range(5)}


def comparable(tables: dict[str, Any]) -> dict[str, Any]:
    """The tables without what may differ between equal results."""
    return {
        name: [
            {key: value for key, value in row.items() if key not in PROVENANCE_COLUMNS}
            for row in rows
            if row.get("level") != "cost"
        ]
        for name, rows in tables.items()
    }


def summary(tables: dict[str, Any], metric: str) -> dict[str, Any]:
    return next(row for row in tables["summary"] if row["metric"] == metric and row["seed"] is None)


def test_a_run_gives_every_metric_with_its_protocol_error_and_coverage(world: Any) -> None:
    world.write(PROMPTS)
    tables, result, _ = world.run()
    assert result.num_failures == 0
    assert result.num_clips == 5
    for metric in (
        "fvd",
        "kvd",
        "clipsim",
        "frame_consistency_all_pairs",
        "frame_consistency_consecutive",
    ):
        row = summary(tables, metric)
        assert row["value"] is not None
        assert row["standard_error"] >= 0
        assert (row["n"], row["coverage"], row["num_failures"]) == (5, 1.0, 0)
        assert (row["protocol"], row["conditioning"]) == ("clean", "text")
        assert row["protocol_digest"][:8] in row["signature"]
    assert summary(tables, "fvd")["n_reference"] == 5
    assert summary(tables, "sampling_s")["value"] > 0
    assert len(tables["scores"]) == 3 * 5
    assert len(tables["clips"]) == 5 + 5


def test_what_a_list_left_out_stands_beside_every_value_that_was_made_of_it(world: Any) -> None:
    world.write(PROMPTS)
    tables, _, _ = world.run()
    assert "rows are left out" not in str([row["notes"] for row in tables["summary"]])
    (world.folder / "data" / "notes.txt").write_text("3 of 8 rows are left out: they have no page_dir")
    tables, _, _ = world.run()
    measured = [row["notes"] for row in tables["summary"] if row["level"] != "cost"]
    assert measured
    assert all("folder: 3 of 8 rows are left out: they have no page_dir" in note for note in measured)


def test_the_second_run_does_nothing_and_gives_the_same_tables(world: Any) -> None:
    world.write(PROMPTS)
    first, _, _ = world.run()
    asked = world.generated()
    second, _, results = world.run()
    assert world.generated() == asked
    assert results == []
    assert second == first


def test_a_larger_run_amends_the_smaller_one(world: Any) -> None:
    world.write(PROMPTS)
    world.run(limit=2)
    world.run()
    assert world.generated() == list(PROMPTS)


def test_seeds_make_other_clips_and_a_row_over_all_of_them(world: Any) -> None:
    world.write(PROMPTS)
    tables, _, _ = world.run(seeds=[0, 1])
    digests = {row["content_digest"] for row in tables["clips"] if row["side"] == "generated"}
    assert len(digests) == 10
    rows = [row for row in tables["summary"] if row["metric"] == "fvd"]
    assert sorted(str(row["seed"]) for row in rows) == ["0", "1", "None"]
    by_seed = {row["seed"]: row for row in rows}
    assert by_seed[None]["value"] == (by_seed[0]["value"] + by_seed[1]["value"]) / 2
    assert by_seed[None]["n"] == 5  # FVD depends on N, so the seeds are not pooled
    assert summary(tables, "clipsim")["n"] == 10


def test_failures_of_a_method_are_recorded_and_shown_in_coverage(world: Any) -> None:
    bad = {"v5": "please raise", "v6": "all nan", "v7": "all black", "v8": "too short", "v9": "nothing"}
    world.write(PROMPTS | bad)
    tables, result, _ = world.run()
    failed = {row["sample_id"]: row for row in tables["clips"] if row["status"] == "failed"}
    assert set(failed) == set(bad)
    assert failed["v5"]["error_type"] == "ValueError"
    assert "asked for it" in failed["v5"]["error_message"]
    assert "NaN" in failed["v6"]["error_message"]
    assert "black" in failed["v7"]["error_message"]
    assert "5 frames, 16 were asked for" in failed["v8"]["error_message"]
    assert "no clip" in failed["v9"]["error_message"]
    assert result.num_failures == 5
    row = summary(tables, "clipsim")
    assert (row["n"], row["num_failures"], row["coverage"]) == (5, 5, 0.5)


def test_a_clip_of_a_newer_version_costs_its_own_cell_says_so_and_is_not_sampled(world: Any) -> None:
    world.write(PROMPTS)
    tables, _, _ = world.run()
    key, path = next(
        (row["clip_key"], row["path"])
        for row in tables["clips"]
        if row["sample_id"] == "v1" and row["method"]
    )
    asked = world.generated()
    record = Path(path).parent / "record.json"
    newer = record.read_text().replace('"schema_version": 1', '"schema_version": 2')
    newer = newer.replace('"reelbench": "', '"reelbench": "9.')
    record.write_text(newer)
    tables, result, _ = world.run()
    assert record.read_text() == newer
    assert world.generated() == asked
    (failed,) = (row for row in tables["clips"] if row["status"] == "failed")
    assert failed["clip_key"] == key
    assert "written by Reelbench 9." in failed["error_message"]
    assert "upgrade Reelbench" in failed["error_message"]
    assert (result.num_clips, summary(tables, "clipsim")["n"]) == (4, 4)


def test_only_failures_are_tried_again(world: Any) -> None:
    world.write(PROMPTS | {"v5": "please raise"})
    world.run()
    world.run()
    assert world.generated() == [*PROMPTS, "v5", "v5"]


def test_reference_videos_that_are_missing_or_damaged_lower_n_reference_and_nothing_else(world: Any) -> None:
    world.write(PROMPTS)
    (world.folder / "data" / "v0.mkv").unlink()
    damaged = world.folder / "data" / "v1.mkv"
    damaged.write_bytes(damaged.read_bytes()[: damaged.stat().st_size // 2])
    (world.folder / "data" / "v2.mkv").write_bytes(b"")
    tables, result, _ = world.run()
    row = summary(tables, "fvd")
    assert (row["n"], row["n_reference"]) == (5, 2)
    assert summary(tables, "clipsim")["coverage"] == 1.0
    errors = {row["sample_id"]: row for row in tables["clips"] if row["side"] == "reference"}
    assert "v0.mkv" in errors["v0"]["error_message"]
    assert errors["v1"]["status"] == errors["v2"]["status"] == "failed"
    assert errors["v3"]["status"] == "done"
    assert result.num_failures == 3


def test_too_few_references_leave_the_value_out_and_say_why(world: Any) -> None:
    world.write({"v0": "a clip"})
    tables, _, _ = world.run()
    row = summary(tables, "fvd")
    assert row["value"] is None
    assert "1 clips on the generated side; at least 2 are needed" in row["notes"]


def test_a_clip_that_was_damaged_in_the_store_is_made_again(world: Any) -> None:
    world.write(PROMPTS)
    first, _, _ = world.run(metrics=["clipsim"])
    victim = next((world.folder / "out" / "store" / "clips").rglob("clip.mkv"))
    victim.write_bytes(victim.read_bytes()[:200])
    # The features of the clip are still there under its content, so nothing is read and nothing fails.
    again, _, _ = world.run(metrics=["clipsim"])
    assert comparable(again) == comparable(first)
    # A metric that has to read it finds the damage, and the run after that makes the clip again.
    world.run()
    mended, result, _ = world.run()
    assert result.num_failures == 0
    assert len(world.generated()) == 6
    assert [row["content_digest"] for row in mended["clips"] if row["side"] == "generated"] == [
        row["content_digest"] for row in first["clips"] if row["side"] == "generated"
    ]


def test_damaged_features_are_made_again_by_the_same_run(world: Any) -> None:
    world.write(PROMPTS)
    first, _, _ = world.run()
    parts = list(world.folder.rglob("features/*/*.parquet"))
    assert parts
    for part in parts:
        data = bytearray(part.read_bytes())
        data[60:70] = bytes(10)
        part.write_bytes(data)
    again, result, results = world.run()
    assert results  # the same run made them
    assert result.num_failures == 0
    assert comparable(again) == comparable(first)


def test_captions_of_any_length_and_script_are_taken(world: Any) -> None:
    world.write({"v0": "word " * 500, "v1": "一个红色的圆向左移动", "v2": "émoji 🎬 и кириллица"})
    tables, result, _ = world.run()
    assert result.num_failures == 0
    assert summary(tables, "clipsim")["n"] == 3


def test_methods_are_compared_in_pairs_on_the_same_samples(world: Any) -> None:
    world.write(PROMPTS)
    second = {**world.data["methods"][0], "label": "longer"}
    second["config"] = {**second["config"], "num_frames": 17}
    tables, _, _ = world.run(methods=[world.data["methods"][0], second])
    rows = [row for row in tables["comparisons"] if row["metric"] == "clipsim"]
    assert [(row["method_a"], row["method_b"], row["num_pairs"]) for row in rows] == [("noise", "longer", 5)]
    values = {
        (row["method"], row["sample_id"]): row["value"]
        for row in tables["scores"]
        if row["metric"] == "clipsim"
    }
    mean = sum(values["noise", name] - values["longer", name] for name in PROMPTS) / 5
    assert abs(rows[0]["difference"] - mean) < 1e-12
    assert 0 < rows[0]["p_value"] <= rows[0]["p_holm"] <= 1
