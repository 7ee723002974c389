"""Which clips are shown, and where their files are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from reelbench.reports.pages.failures import failures_of
from reelbench.reports.pages.run_clips import clips_by_prompt, locate, methods_of


def clip(sample_id: str, method: str | None = "zs2", seed: int | None = 0, **values: Any) -> dict[str, Any]:
    row = {
        "side": "generated" if method else "reference",
        "method": method,
        "dataset": "sprites",
        "split": "test",
        "sample_id": sample_id,
        "source": sample_id,
        "prompt": f"prompt of {sample_id}",
        "seed": seed if method else None,
        "status": "done",
        "error_type": None,
        "error_message": None,
    }
    return row | values


def test_the_first_prompts_of_the_smallest_seed_are_shown() -> None:
    rows = [clip(name, seed=seed) for seed in (7, 3) for name in ("c", "a", "b")]
    prompts = clips_by_prompt(rows, num_prompts=2)
    assert [(prompt.sample_id, prompt.seed) for prompt in prompts] == [("a", 3), ("b", 3)]
    assert [prompt.seed for prompt in clips_by_prompt(rows, 1, seed=7)] == [7]


def test_each_data_set_has_its_prompts() -> None:
    rows = [clip(name, dataset=dataset) for dataset in ("x", "y") for name in ("a", "b")]
    assert [(p.dataset, p.sample_id) for p in clips_by_prompt(rows, 1)] == [("x", "a"), ("y", "a")]


def test_captions_of_one_video_share_its_reference() -> None:
    rows = [clip("v1#0", source="v1"), clip("v1#1", source="v1"), clip("v1#0", method=None, source="v1")]
    references = [prompt.reference for prompt in clips_by_prompt(rows, 5)]
    assert references == [rows[2], rows[2]]
    assert clips_by_prompt([clip("a")], 1)[0].reference is None


def test_methods_follow_the_run_file_then_the_alphabet() -> None:
    prompts = clips_by_prompt([clip("a", method) for method in ("c", "b", "a")], 1)
    assert methods_of(prompts, ["b"]) == ["b", "a", "c"]


def test_files_are_found_when_the_output_folder_was_moved(tmp_path: Path) -> None:
    tables = tmp_path / "out" / "demo" / "tables"
    tables.mkdir(parents=True)
    file = tmp_path / "out" / "store" / "clips" / "clip.mkv"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"x")
    assert locate("store/clips/clip.mkv", tables) == file.resolve()
    assert locate(str(file), tables) == file
    assert locate("clips/clip.mkv", tables) is None
    assert locate(None, tables) is None
    assert locate(str(tmp_path / "lost.mkv"), tables) is None


def test_equal_failures_are_one_line() -> None:
    failed = {"status": "failed", "error_type": "ClipRefusedError", "error_message": "black"}
    rows = [clip(f"v{index:02d}", **failed) for index in range(12)]
    rows += [clip("a"), clip("b", method=None, status="missing")]
    feature = {
        "extractor": "i3d",
        "side": "generated",
        "method": "zs2",
        "dataset": "sprites",
        "sample_id": "a",
    }
    features = [feature | {"status": "failed", "error_type": "MetricError", "error_message": None}]
    found = failures_of(rows, features)
    assert [(f.stage, f.method, f.num_items, f.cause) for f in found] == [
        ("extract i3d", "zs2", 1, "MetricError"),
        ("read", "reference", 1, "missing"),
        ("sample", "zs2", 12, "ClipRefusedError: black"),
    ]
    assert found[2].samples == tuple(f"v{index:02d}" for index in range(8))
