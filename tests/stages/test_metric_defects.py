"""What a metric's own code gets wrong costs the numbers that it was to give, says so, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from reelbench.core.contracts import ClipMetric, SetMetric
from reelbench.core.paired import PairedComparison
from reelbench.core.tables import ClipRow, SummaryRow, Tables
from reelbench.core.types import Estimate
from reelbench.metrics.protocol import parse_protocol
from reelbench.stages.measuring import Measuring, PlannedExtractor
from reelbench.stages.scoring.metric_calls import Defects
from reelbench.stages.scoring.observations import FeatureCell, Observation, Observations, System
from reelbench.stages.scoring.score import score

PROTOCOL = parse_protocol({"name": "t", "version": "1"})
N = 16


class Mean(ClipMetric):
    """The mean feature."""

    name, version, label, higher_is_better, needs = "mean", "1", "Mean", True, ("i3d",)

    def compute(self, features: Mapping[str, np.ndarray]) -> float:
        return float(features["i3d"].mean())


class Distance(SetMetric):
    """The distance of two means."""

    name, version, label, higher_is_better, needs = "distance", "1", "Distance", False, ("i3d",)

    def compute(
        self,
        generated_ND: np.ndarray,
        reference_ND: np.ndarray,
        groups: Sequence[str],
        reference_groups: Sequence[str],
    ) -> Estimate:
        value = self.value(generated_ND, reference_ND)
        return Estimate(value, None, None, None, "none", len(groups), len(groups), len(reference_groups))

    def value(self, generated_ND: np.ndarray, reference_ND: np.ndarray) -> float:
        return float(np.linalg.norm(generated_ND.mean(axis=0) - reference_ND.mean(axis=0)))

    def compare(
        self,
        a: Sequence[np.ndarray],
        b: Sequence[np.ndarray],
        reference_ND: np.ndarray,
        groups: Sequence[str],
        reference_groups: Sequence[str],
        seed: int = 0,
    ) -> PairedComparison:
        return PairedComparison(0.5, None, None, None, 0, 0.25, "a test", 0.01, len(groups), len(groups))


def raises(*_: Any, **__: Any) -> float:
    return 1 / 0


def gives(value: float | Estimate) -> Callable[..., Any]:
    return lambda *_, **__: value


def broken(base: type[Any], **hooks: Any) -> type[Any]:
    return type(f"Broken{base.__name__}", (base,), {"name": "broken", **hooks})


def scored(*metrics: type[Any]) -> tuple[Tables, Defects]:
    """The tables of two systems of 16 clips each."""

    def observation(index: int, method: str | None) -> Observation:
        clip = ClipRow(run="r", side="generated" if method else "reference", method=method, dataset="data",
                       split="test", sample_id=f"v{index:02}", source=f"s{index:02}", clip_key="",
                       seed=0 if method else None, status="done")  # fmt: skip
        values = np.random.default_rng([index, len(method or "")]).normal(size=3).astype(np.float32)
        return Observation(clip, {"i3d": FeatureCell("i3d", f"{method}{index}", None, values, None)})

    measuring = Measuring(PROTOCOL, tuple(cls(PROTOCOL) for cls in metrics), {"i3d": extractor()})
    systems = tuple(System(label, "made", "1", "{}", "text") for label in ("a", "bb"))
    references = tuple(observation(index, None) for index in range(N))
    observations = Observations("r", systems, {"data": "test"}, (0,), references=references)
    return score(
        measuring, observations, [[observation(i, item.label) for i in range(N)] for item in systems]
    )


def extractor() -> PlannedExtractor:
    class Plugin:
        version, rows = "1", "clip"

    return PlannedExtractor("i3d", Plugin(), {})


def summary(tables: Tables, metric: str = "broken") -> SummaryRow:
    (row,) = [row for row in tables.summary if (row.metric, row.method, row.seed) == (metric, "a", None)]
    return row


@pytest.fixture
def sound() -> Tables:
    """What the sound metrics give when no other is beside them."""
    return scored(Mean, Distance)[0]


BAD_VALUES = {
    "raises": (raises, "compute() failed: ZeroDivisionError: division by zero"),
    "None": (gives(None), "it gave None, which is not a number"),
    "a string": (gives("0.5"), "it gave '0.5', which is not a number"),
    "NaN": (gives(float("nan")), "it gave nan, which is not finite"),
    "infinity": (gives(np.inf), "it gave inf, which is not finite"),
    "an array": (gives(np.ones(2)), "which is not a number"),
    "true": (gives(True), "it gave True, which is not a number"),
}


@pytest.mark.parametrize("how", sorted(BAD_VALUES))
def test_a_clip_metric_costs_its_own_scores(how: str, sound: Tables) -> None:
    compute, reason = BAD_VALUES[how]
    tables, defects = scored(Mean, broken(Mean, compute=compute), Distance)
    rows = [row for row in tables.scores if row.metric == "broken"]
    assert len(rows) == defects.num_scores == 2 * N
    assert all(row.value is None and reason in row.error_message for row in rows)
    assert summary(tables).value is None
    assert reason in summary(tables).notes
    assert [row for row in tables.scores if row.metric == "mean"] == sound.scores
    assert summary(tables, "distance") == summary(sound, "distance")


@pytest.mark.parametrize("how", sorted(BAD_VALUES))
def test_a_set_metric_costs_its_own_value(how: str, sound: Tables) -> None:
    compute, reason = BAD_VALUES[how]
    if how != "raises":
        value = compute()
        compute = gives(Estimate(value, None, None, None, "none", N, N, N))
    tables, defects = scored(Distance, broken(Distance, compute=compute), Mean)
    assert summary(tables).value is None
    assert reason in summary(tables).notes
    assert (defects.num_scores, defects.num_cells) == (0, 2)
    assert summary(tables, "distance") == summary(sound, "distance")


def test_a_set_metric_that_gives_no_estimate() -> None:
    tables, _ = scored(broken(Distance, compute=gives(0.5)))
    assert "it gave 0.5, which is not of class Estimate" in summary(tables).notes


@pytest.mark.parametrize("base", [Mean, Distance])
def test_parameters_that_cannot_be_told_leave_no_number_without_a_key(base: type[Any], sound: Tables) -> None:
    tables, defects = scored(broken(base, parameters=raises), Mean, Distance)
    row = summary(tables)
    assert (row.value, row.score_key, row.signature) == (None, None, None)
    assert "broken: parameters() failed: ZeroDivisionError" in row.notes
    assert defects.num_scores + defects.num_cells == (2 * N if base is Mean else 2)
    assert summary(tables, "mean") == summary(sound, "mean")


@pytest.mark.parametrize(
    ("compare", "reason"),
    [
        (raises, "compare() failed: ZeroDivisionError"),
        (gives("less"), "it gave 'less', which is not of class PairedComparison"),
        (gives(PairedComparison(0.5, None, None, None, 0, 2.0, "", 0.01, N, N)), "a p-value lies in [0, 1]"),
    ],
)
def test_a_comparison_that_fails_is_left_out_and_noted(
    compare: Callable[..., Any], reason: str, sound: Tables
) -> None:
    tables, defects = scored(broken(Distance, compare=compare), Distance)
    assert summary(tables).value == summary(tables, "distance").value
    assert "methods are not compared by it: broken: " in summary(tables).notes
    assert reason in summary(tables).notes
    assert defects.num_cells == 1
    assert [row.metric for row in tables.comparisons] == ["distance"]
    assert tables.comparisons[0].p_holm == 0.25, "the family has one comparison fewer"


@pytest.mark.parametrize(("value", "reason"), [(raises, "ZeroDivisionError"), (gives(np.nan), "not finite")])
def test_a_curve_that_fails_is_left_out_and_noted(value: Callable[..., Any], reason: str) -> None:
    estimate = gives(Estimate(1.0, None, None, None, "none", N, N, N))
    tables, defects = scored(broken(Distance, compute=estimate, value=value), Distance)
    assert summary(tables).value == 1.0
    assert "no curve against N: broken: value() failed: " in summary(tables).notes
    assert reason in summary(tables).notes
    assert defects.num_cells == 2
    assert {row.metric for row in tables.curves} == {"distance"}


def test_a_set_metric_without_comparison_and_curve_says_so_once() -> None:
    bare = broken(SetMetric, compute=Distance.compute, label="Bare", version="1", needs=("i3d",),
                  higher_is_better=False, number=Distance.value)  # fmt: skip
    bare.compute = gives(Estimate(1.0, None, None, None, "none", N, N, N))
    tables, defects = scored(bare)
    assert summary(tables).notes == "methods are not compared by it: it offers no paired test"
    assert (tables.comparisons, tables.curves, defects.num_cells) == ([], [], 0)


METRIC = """
from reelbench.core.contracts import ClipMetric

class Divides(ClipMetric):
    name, version, label, higher_is_better, needs = "divides", "1", "Divides", True, ("clip_image",)

    def compute(self, features):
        return 1 / 0
"""


def test_a_run_ends_with_its_other_numbers_and_counts_what_the_metric_lacks(world: Any) -> None:
    world.write({"v0": "a cat", "v1": "a dog"})
    (world.folder / "divides.py").write_text(METRIC)
    metrics = [f"{world.folder}/divides.py:Divides", "clipsim"]
    tables, result, _ = world.run(metrics=metrics)
    values = {row["metric"]: row["value"] for row in tables["summary"] if row["level"] == "clip"}
    assert values["divides"] is None
    assert values["clipsim"] is not None
    assert result.num_failures == 2
    assert tables["runs"][0]["num_failures"] == 2
