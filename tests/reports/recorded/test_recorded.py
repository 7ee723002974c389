"""Tables that are committed: small, readable like a run's, and without the machine they were made on."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from reelbench.core.errors import StoreError
from reelbench.core.hashing import digest
from reelbench.core.tables import PROVENANCE_COLUMNS, read_table, write_table
from reelbench.reports.recorded.tables import RECORDED_TABLES, read_recorded, record_tables, without_folders
from reelbench.reports.tables.comparison import comparison_table
from reelbench.reports.tables.run_tables import RunTables

Make = Callable[..., dict[str, Any]]


def test_recorded_tables_show_what_the_run_shows_but_for_the_machine(
    make_tables: Callable[..., Path], tmp_path: Path
) -> None:
    folder = make_tables(videos=False)
    record_tables(folder, tmp_path / "recorded")
    (ours,) = comparison_table(RunTables(folder)).sections
    (theirs,) = comparison_table(RunTables(tmp_path / "recorded")).sections
    assert [column.metric for column in theirs.columns] == [
        "fvd",
        "clipsim",
    ]  # sampling depends on the machine
    for group, recorded in zip(ours.groups, theirs.groups, strict=True):
        for row, kept in zip(group.rows, recorded.rows, strict=True):
            assert (kept.method, kept.cells) == (row.method, row.cells[:2])
    assert dict(theirs.facts) == {name: text for name, text in ours.facts if name != "Hardware"}


def test_what_tells_of_the_machine_is_gone(
    make_tables: Callable[..., Path], full_summary: list[dict[str, Any]], tmp_path: Path
) -> None:
    for row in full_summary:
        row["method_config"] = json.dumps({"trained": "/home/some one/out/fca", "num_steps": 20})
        row["notes"] = "1 clips could not be scored: cannot read /home/some one/clips/a.mkv: damaged"
    folder = make_tables(full_summary, videos=False)
    runs = read_table(folder, "runs").to_pylist()
    runs[0]["run_file"] = json.dumps(
        {"name": "b", "seeds": [0], "output": "/home/me/out",
         "methods": [{"name": "zs2", "label": "b", "config": {"x": "/home/me"}}, {"name": "simda"}],
         "datasets": [{"name": "msrvtt", "config": {"root": "/home/me/data"}}]}
    )  # fmt: skip
    write_table(folder, "runs", runs)
    written = record_tables(folder, tmp_path / "recorded")
    assert {path.stem for path in written} == set(RECORDED_TABLES)
    for path in written:
        assert b"/home" not in path.read_bytes()
        for row in read_recorded(tmp_path / "recorded", path.stem):
            assert "home" not in json.dumps(row)
            assert not any(row.get(column) for column in (*PROVENANCE_COLUMNS, "score_key"))
    row = read_recorded(tmp_path / "recorded", "summary")[0]
    assert json.loads(row["method_config"]) == {"trained": "fca", "num_steps": 20}
    assert row["notes"].endswith("cannot read a.mkv: damaged")
    assert RunTables(tmp_path / "recorded").method_order == ("b", "simda")


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("ViT-B-32:/data/w/open.pt", "ViT-B-32:open.pt"),
        ("~/w/sd/", ""),
        ("sprites/t2i and out/fca", "sprites/t2i and out/fca"),
        ("s/clip, PSNR / SSIM / LPIPS, 1/N", "s/clip, PSNR / SSIM / LPIPS, 1/N"),
        ("https://example.org/a/b", "https://example.org/a/b"),
        (None, None),
    ],
)
def test_only_folders_of_absolute_paths_are_taken_out(text: str | None, left: str | None) -> None:
    assert without_folders(text) == left


def test_a_benchmark_takes_less_than_200_kb(tmp_path: Path, summary_row: Make, comparison_row: Make) -> None:
    """12 methods of 256 clips under six clip metrics and two set metrics, with values that do not repeat."""
    draw = np.random.default_rng(0)
    methods = [f"method-{index}" for index in range(12)]
    clip_metrics = [f"metric_{index}" for index in range(6)]
    scores = [
        {"run": "b", "metric": metric, "method": method, "dataset": "msrvtt", "split": "test",
         "protocol": "clean", "protocol_digest": digest("p"), "conditioning": "text",
         "sample_id": f"video{7010 + place}", "source": f"video{7010 + place}", "seed": 0,
         "value": float(draw.normal()), "score_key": digest([metric, method, place])}
        for metric in clip_metrics for method in methods for place in range(256)
    ]  # fmt: skip
    summary = [
        summary_row(metric=metric, method=method, value=float(draw.normal()), low=float(draw.normal()),
                    high=float(draw.normal()), standard_error=float(draw.random()))
        for metric in [*clip_metrics, "fvd", "kvd"] for method in methods
    ]  # fmt: skip
    comparisons = [
        comparison_row(metric=metric, method_a=a, method_b=b, difference=float(draw.normal()),
                       standard_error=float(draw.random()), low=float(draw.normal()),
                       high=float(draw.normal()), p_value=float(draw.random()), p_holm=float(draw.random()))
        for metric in [*clip_metrics, "fvd", "kvd"] for a, b in itertools.combinations(methods, 2)
    ]  # fmt: skip
    for name, rows in {"runs": [{"run": "b"}], "summary": summary, "scores": scores,
                       "comparisons": comparisons}.items():  # fmt: skip
        write_table(tmp_path / "run", name, rows)
    written = record_tables(tmp_path / "run", tmp_path / "recorded")
    assert sum(path.stat().st_size for path in written) < 200_000
    values = [row["value"] for row in read_table(tmp_path / "run", "scores").to_pylist()]
    kept = [row["value"] for row in read_recorded(tmp_path / "recorded", "scores")]
    np.testing.assert_allclose(kept, values, rtol=1e-7)
    assert pq.read_schema(written[0]) == read_table(tmp_path / "run", written[0].stem).schema


def test_a_folder_without_recorded_tables_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"no recorded table .*summary\.parquet"):
        read_recorded(tmp_path, "summary")
