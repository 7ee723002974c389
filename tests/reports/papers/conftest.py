"""Small runs, as the tables of papers are filled from them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from reelbench.core.run_folders import Results, find_results
from reelbench.core.tables import write_table

MakeRun = Callable[..., Results]


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Writes the tables of a run and returns where they lie."""
    numbers = itertools.count()

    def make(
        summary: Iterable[Mapping[str, Any]],
        comparisons: Iterable[Mapping[str, Any]] = (),
        *,
        name: str = "demo",
        folder: str = "",
        datasets: Mapping[str, str] | None = None,
        clips: Iterable[Mapping[str, Any]] = (),
        scores: Iterable[Mapping[str, Any]] = (),
        parameters: Mapping[str, int] | None = None,
    ) -> Results:
        place = tmp_path / "out" / (folder or f"run{next(numbers)}")
        rows = [{**row, "run": name} for row in summary]
        labels = dict.fromkeys(row["method"] for row in rows)
        entries = [{"name": known, "label": label} for label, known in (datasets or {}).items()]
        methods = [{"name": label, "config": {"weights": f"hub/{label[-1]}"}} for label in labels]
        run_file = {"name": name, "methods": methods, "datasets": entries}
        run = {"run": name, "run_key": "ab" * 32, "run_file": json.dumps(run_file), "weights": "{}",
               "parameters": None if parameters is None else json.dumps(parameters),
               "reelbench_version": "0", "num_clips": 0, "num_failures": 0}  # fmt: skip
        for table, its in {
            "runs": [run], "summary": rows, "comparisons": comparisons, "clips": clips, "scores": scores,
        }.items():  # fmt: skip
            write_table(place / "tables", table, list(its))
        return find_results(place)

    return make
