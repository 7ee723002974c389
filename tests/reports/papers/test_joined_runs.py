"""Rows of several runs in one table: clip metrics are tested between the runs, set metrics are not."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from reelbench.core.run_folders import Results
from reelbench.reports.papers.build import build_table
from reelbench.reports.papers.paper_table import PaperTable

from .conftest import MakeRun
from .test_build import CLIPSIM, cells, facts, spec_of

NUM_CLIPS = 24
COLUMNS = ({"metric": "clipsim", "digits": 3}, {"metric": "fvd", "digits": 0})


@pytest.fixture
def run_of(make_run: MakeRun, summary_row: Callable[..., dict[str, Any]]) -> Callable[..., Results]:
    """A run of methods whose clips have the same captions, and scores about the given mean of each method."""

    def make(name: str, means: dict[str, float], keeps_scores: bool = True, n: int = NUM_CLIPS) -> Results:
        summary, scores = [], []
        for method, mean in means.items():
            noise = random.Random(f"{name} {method}")
            row = summary_row(**CLIPSIM, method=method, method_name=method, n=n)
            place = {
                key: row[key] for key in ("dataset", "split", "protocol", "protocol_digest", "conditioning")
            }
            own = [
                {**place, "run": name, "metric": "clipsim", "method": method, "sample_id": f"clip-{i}",
                 "source": f"video-{i}", "seed": 0, "value": mean + 0.01 * (i % 5) + noise.gauss(0, 0.002)}
                for i in range(n)
            ]  # fmt: skip
            row["value"] = sum(score["value"] for score in own) / n
            summary += [
                row,
                summary_row(method=method, method_name=method, n=n, value=1e3 * (1 - mean)),
            ]
            scores += own if keeps_scores else []
        return make_run(summary, name=name, scores=scores)

    return make


def marks(table: PaperTable) -> dict[str, list[str]]:
    return {
        label: [" ".join(text.split()[1:]) for text in texts]
        for label, texts in cells(table.parts[0]).items()
    }


def test_a_difference_between_runs_is_marked(run_of: Callable[..., Results]) -> None:
    table = build_table(
        spec_of(*COLUMNS), [run_of("one", {"a": 0.30}), run_of("two", {"a": 0.32, "b": 0.31})]
    )
    found = marks(table)
    assert [found[label][0] for label in ("a (one)", "a (two)", "b")] == ["***", "best", "second ***"]
    assert {of_fvd for _, of_fvd in found.values()} == {""}
    assert facts(table)["Tested between runs"].startswith(
        "clip metrics, from the runs' scores, with Holm over 3 tests; not set metrics"
    )
    assert facts(table)["No paired test, so nothing marked"] == "FVD: a (two), b and a (one)"


def test_where_runs_do_not_differ_nothing_is_marked(run_of: Callable[..., Results]) -> None:
    table = build_table(spec_of(*COLUMNS), [run_of("one", {"a": 0.30}), run_of("two", {"a": 0.30})])
    assert marks(table) == {"a (one)": ["", ""], "a (two)": ["", ""]}
    assert "CLIPSIM: a (" in facts(table)["Not told apart from the best value (paired test, Holm, 5%)"]


def test_without_scores_nothing_is_tested_between_runs(run_of: Callable[..., Results]) -> None:
    runs = [run_of("one", {"a": 0.30}, keeps_scores=False), run_of("two", {"a": 0.32}, keeps_scores=False)]
    table = build_table(spec_of(*COLUMNS), runs)
    assert marks(table) == {"a (one)": ["", ""], "a (two)": ["", ""]}
    assert facts(table)["Tested between runs"].startswith("nothing, as the runs' scores were not kept")


def test_runs_that_stand_apart_are_not_tested_against_each_other(run_of: Callable[..., Results]) -> None:
    one, two = run_of("one", {"a": 0.30, "b": 0.31}), run_of("two", {"a": 0.32}, n=12)
    table = build_table(spec_of(*COLUMNS), [one, two], allow_mixed=True)
    assert [part.title for part in table.parts] == ["Run one", "Run two"]
    assert "Tested between runs" not in facts(table)
