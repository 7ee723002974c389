"""A small run held against recorded tables, score by score."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reelbench.core.tables import write_table
from reelbench.reports.recorded.reproduction import (
    SPREAD_SHARE,
    Reproduction,
    compare_with_recorded,
    reproduction_text,
)
from reelbench.reports.recorded.tables import record_tables

METHODS = ("zs2", "floor")
PROTOCOL = {"protocol": "clean", "protocol_digest": "c" * 64}
NUM_RECORDED = 20

Rows = list[dict[str, Any]]


def value_of(method: str, place: int) -> float:
    """ZS² differs from clip to clip, the floor does not."""
    return 0.8 if method == "floor" else 0.6 + 0.1 * (place % 2)


class Run:
    """Tables of a run of the first clips, to be changed and then written."""

    def __init__(self, num_clips: int, summary_row: Callable[..., dict[str, Any]]) -> None:
        self.summary: Rows = [
            summary_row(metric=metric, label=label, level=level, method=method, n=num_clips,
                        value=0.65, standard_error=0.011, low=0.628, high=0.672, **PROTOCOL)
            for method in METHODS
            for metric, label, level in (("clipsim", "CLIPSIM", "clip"), ("fvd", "FVD", "set"))
        ]  # fmt: skip
        self.scores: Rows = [
            {"run": "b", "metric": "clipsim", "method": method, "dataset": "sprites", "split": "test",
             "sample_id": f"video{place}", "source": f"video{place}", "seed": 0,
             "value": value_of(method, place), **PROTOCOL}
            for method in METHODS
            for place in range(num_clips)
        ]  # fmt: skip

    def write(self, folder: Path) -> Path:
        run_file = json.dumps({"name": "b", "methods": [{"name": method} for method in METHODS]})
        for name, rows in {
            "summary": self.summary, "scores": self.scores, "comparisons": [],
            "runs": [{"run": "b", "run_file": run_file}],
        }.items():  # fmt: skip
            write_table(folder, name, rows)
        return folder


@pytest.fixture
def small(summary_row: Callable[..., dict[str, Any]]) -> Run:
    """A run of the first four clips."""
    return Run(4, summary_row)


@pytest.fixture
def compare(
    small: Run, summary_row: Callable[..., dict[str, Any]], tmp_path: Path
) -> Callable[..., Reproduction]:
    """Holds the small run against one of 20 clips."""

    def compared(**options: Any) -> Reproduction:
        recorded = Run(NUM_RECORDED, summary_row).write(tmp_path / "benchmark")
        record_tables(recorded, tmp_path / "recorded")
        return compare_with_recorded(small.write(tmp_path / "small"), tmp_path / "recorded", **options)

    return compared


SPREAD = (20 * 0.05**2 / 38) ** 0.5  # 20 scores of ZS² are 0.05 from their mean, those of the floor are at it


def test_equal_scores_are_reproduced_whatever_the_rounding(compare: Callable[..., Reproduction]) -> None:
    found = compare()
    assert [(row.method, row.num_reproduced, row.num_compared) for row in found.rows] == [
        ("zs2", 4, 4),
        ("floor", 4, 4),
    ]
    assert found.is_whole
    assert all(row.largest is not None and row.largest < 1e-7 for row in found.rows)
    # The spread is that within methods, over both.
    assert [row.tolerance for row in found.rows] == pytest.approx([SPREAD_SHARE * SPREAD] * 2)
    assert found.rows[0].recorded["n"] == NUM_RECORDED


def test_scores_beyond_the_tolerance_are_named_the_worst_first(
    small: Run, compare: Callable[..., Reproduction]
) -> None:
    small.scores[1]["value"] += 0.9 * SPREAD_SHARE * SPREAD
    small.scores[2]["value"] += 0.01
    small.scores[3]["value"] -= 0.02
    zs2, floor = compare().rows
    assert (zs2.num_reproduced, floor.num_reproduced) == (2, 4)
    assert [missed.sample_id for missed in zs2.missed] == ["video3", "video2"]
    assert zs2.largest == pytest.approx(0.02)
    assert not compare().is_whole
    assert compare(tolerances={"clipsim": 0.015}).rows[0].num_reproduced == 3
    assert compare(tolerances={"psnr": 9.0}).rows[0].num_reproduced == 2


def test_clips_that_failed_here_are_no_success(small: Run, compare: Callable[..., Reproduction]) -> None:
    small.scores = [row for row in small.scores if row["method"] != "zs2"]
    small.scores[0]["value"] = None
    small.summary[0].update(num_failures=4, value=None)
    small.summary[2].update(num_failures=1)
    found = compare()
    assert [(row.num_compared, row.num_failed, row.largest is None) for row in found.rows] == [
        (0, 4, True),
        (3, 1, False),
    ]
    assert not found.is_whole
    assert "0 of 0, 4 failed" in reproduction_text(found)


@pytest.mark.parametrize("change", [{"method": "other"}, {"protocol_digest": "f" * 64}, {"seed": 7}])
def test_what_is_not_recorded_is_not_compared_and_said(
    change: dict[str, Any], small: Run, compare: Callable[..., Reproduction]
) -> None:
    for row in small.scores[:4]:
        row.update(change)
    if "seed" not in change:
        small.summary[0].update(change)
    found = compare()
    assert [row.method for row in found.rows] == ["floor"]
    method = change.get("method", "zs2")
    assert f"{method} on sprites: 4 scores have no recorded counterpart" in " ".join(found.notes)
    small.scores, small.summary = small.scores[:4], small.summary[:1]
    assert reproduction_text(compare()).startswith("Nothing was compared")
    assert not compare().is_whole


def test_other_settings_are_said(small: Run, compare: Callable[..., Reproduction]) -> None:
    small.summary[0].update(method_config=json.dumps({"num_steps": 5, "trained": "/elsewhere/out/a"}))
    assert "zs2 was recorded with other settings: num_steps 5 (recorded: –), trained a (recorded: –)" in (
        compare().notes
    )


def test_the_text_reads_as_a_table_on_a_terminal(small: Run, compare: Callable[..., Reproduction]) -> None:
    small.scores[2]["value"] += 0.01
    small.scores[4:] = [row | {"value": 0.9} for row in small.scores[4:]]
    assert (
        reproduction_text(compare())
        == """\
3 of 8 scores of the recorded benchmark were reproduced here (to 10% of their spread, or the metric's own \
tolerance).

| Method | Metric  | Reproduced | Largest difference (of what is allowed) | Recorded, 95% interval | Clips |
|--------|---------|------------|-----------------------------------------|------------------------|-------|
| zs2    | CLIPSIM | 3 of 4     | 0.01 (of 0.0036)                        | 0.650 (0.628 to 0.672) | 20    |
| floor  | CLIPSIM | 0 of 4     | 0.1 (of 0.0036)                         | 0.650 (0.628 to 0.672) | 20    |

- Not reproduced: zs2, CLIPSIM: video2 0.61 (recorded: 0.6)
- Not reproduced: floor, CLIPSIM: video0 0.9 (recorded: 0.8), video1 0.9 (recorded: 0.8), video2 0.9 \
(recorded: 0.8) and 1 more
- FVD: not compared, since a value of a set depends on its number of clips (4 here, 20 recorded)
"""
    )
