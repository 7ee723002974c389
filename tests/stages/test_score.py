"""From features to comparisons and curves, without videos: the real metrics on features that are drawn."""

from __future__ import annotations

import numpy as np
import pytest

from reelbench.core.contracts import FrozenConfig
from reelbench.core.plan import Cell, ClipTask, Plan, PlannedDataset, PlannedMethod
from reelbench.core.run_file import RunFile
from reelbench.core.types import Conditioning, Sample
from reelbench.metrics.build import build_metric
from reelbench.metrics.protocol import parse_protocol
from reelbench.metrics.sets.frechet import frechet_distance
from reelbench.stages.measuring import Measuring
from reelbench.stages.observations import FeatureCell, Observation, Observations, Reference
from reelbench.stages.score import comparison_rows, curve_rows

D = 4
SPECTRUM = np.arange(1, D + 1) ** -0.5


class Made:
    """Stands for a method or a data set: here only what it is called and saw counts."""

    class Config(FrozenConfig):
        pass

    name, version, split, task = "made", "1", "test", "text-to-video"

    def __init__(self, conditioning=Conditioning.TEXT):
        self.config, self.conditioning = self.Config(), conditioning


def features(n, seed, shift=0.0):
    return np.random.default_rng(seed).normal(size=(n, D)) * SPECTRUM + shift


def score(methods, reference, *, metrics=("fvd",), protocol=None, seeds=(0,), gaps=()):
    """Plan, measuring and observations of methods {label: (conditioning, {seed: features [N, D]})}.

    Args:
        gaps: (label, seed, row) of clips that have no features.
    """
    protocol = parse_protocol({"name": "t", "version": "1", **(protocol or {})})
    samples = tuple(Sample(id=f"v{k:03}", prompt="p", source=f"s{k:03}") for k in range(len(reference)))
    dataset = PlannedDataset("data", Made(), samples)
    entries = [{"name": "zs2", "label": label} for label in methods]
    run = RunFile.model_validate(
        {"name": "r", "methods": entries, "datasets": [{"name": "msrvtt"}], "seeds": list(seeds)}
    )
    planned, cells, observed = [], [], []
    for label, (conditioning, by_seed) in methods.items():
        planned.append(PlannedMethod(label, "made", Made(conditioning), label, {}))
        for seed, rows in by_seed.items():
            tasks = tuple(ClipTask(f"{label}{seed}{sample.id}", sample, seed) for sample in samples)
            cells.append(Cell(planned[-1], dataset, seed, tasks, {}, None, None))
            for index, (task, row) in enumerate(zip(tasks, rows, strict=True)):
                values = None if (label, seed, index) in gaps else row
                cell = FeatureCell("i3d", task.key, None, values, None)
                observed.append(Observation(cells[-1], task, None, {"i3d": cell}))
    references = tuple(
        Reference(dataset, sample, sample.id, {"i3d": FeatureCell("i3d", sample.id, None, row, None)})
        for sample, row in zip(samples, reference, strict=True)
    )
    plan = Plan(run, tuple(planned), (dataset,), tuple(cells))
    measuring = Measuring(protocol, tuple(build_metric(name, protocol) for name in metrics), {})
    return plan, measuring, Observations(tuple(observed), references)


def comparisons(*arguments, **options):
    plan, measuring, observations = score(*arguments, **options)
    return comparison_rows(plan, measuring, [], observations)


TEXT = Conditioning.TEXT


def test_set_metrics_are_compared_with_an_error_a_test_and_what_could_be_seen():
    a, b, reference = features(40, 0), features(40, 1, 0.5), features(40, 2)
    (row,) = comparisons({"a": (TEXT, {0: a}), "b": (TEXT, {0: b})}, reference)
    assert (row["method_a"], row["method_b"], row["level"]) == ("a", "b", "set")
    assert row["difference"] == pytest.approx(frechet_distance(a, reference) - frechet_distance(b, reference))
    assert row["low"] < row["difference"] < row["high"] < 0
    assert row["p_value"] == row["p_holm"] == pytest.approx(1 / 1000)
    # 19 degrees of freedom: t_{0.975} + t_{0.8}.
    assert row["min_detectable"] == pytest.approx((2.0930 + 0.8610) * row["standard_error"], rel=1e-3)
    assert (row["num_pairs"], row["num_sources"]) == (40, 40)
    assert "swap permutation" in row["test"]
    assert row["notes"] == ""


def test_holm_is_over_all_metrics_and_pairs_and_the_family_is_named():
    sides = {label: (TEXT, {0: features(30, k, 0.04 * k)}) for k, label in enumerate("abc")}
    rows = comparisons(sides, features(30, 9), metrics=("fvd", "kvd"))
    assert len(rows) == 6
    assert {row["family"] for row in rows} == {
        "6 comparisons: all metrics and pairs of methods of this data set and protocol"
    }
    smallest = min(rows, key=lambda row: row["p_value"])
    assert smallest["p_holm"] == pytest.approx(min(1.0, 6 * smallest["p_value"]))
    assert all(row["p_holm"] >= row["p_value"] for row in rows)


def test_methods_that_saw_different_things_are_not_compared():
    sides = {
        "a": (TEXT, {0: features(20, 0)}),
        "b": (next(item for item in Conditioning if item is not TEXT), {0: features(20, 1)}),
    }
    assert comparisons(sides, features(20, 2)) == []


def test_seeds_are_exchanged_together_and_only_samples_of_all_seeds_count():
    a = {seed: features(24, seed) for seed in (0, 1)}
    b = {seed: features(24, 10 + seed, 0.3) for seed in (0, 1)}
    reference = features(24, 5)
    sides = {"a": (TEXT, a), "b": (TEXT, b)}
    (row,) = comparisons(sides, reference, seeds=(0, 1), gaps={("b", 1, 7)})
    kept = np.arange(24) != 7
    expected = np.mean(
        [
            frechet_distance(a[seed][kept], reference) - frechet_distance(b[seed][kept], reference)
            for seed in (0, 1)
        ]
    )
    assert row["num_pairs"] == 23
    assert row["difference"] == pytest.approx(expected)


def test_a_test_too_coarse_for_its_family_says_so():
    sides = {"a": (TEXT, {0: features(5, 0)}), "b": (TEXT, {0: features(5, 1, 9.0)})}
    (row,) = comparisons(sides, features(5, 2))
    assert row["p_value"] >= 2 / 32
    assert "the smallest p this test can give is 0.062" in row["notes"]


def test_a_metric_that_cannot_compare_says_so_and_gives_no_row():
    sides = {"a": (TEXT, {0: features(20, 0)}), "b": (TEXT, {0: features(20, 1)})}
    centred = {"kernel": {"centred": True}}
    plan, measuring, observations = score(sides, features(20, 2), metrics=("kvd",), protocol=centred)
    assert comparison_rows(plan, measuring, [], observations) == []
    (metric,) = measuring.metrics
    items = observations.of("a", "data")
    note = metric.compute(
        np.stack([item.features["i3d"].values for item in items]),
        features(20, 2),
        [item.task.sample.source for item in items],
        [item.task.sample.source for item in items],
    ).notes[0]
    assert "methods are not compared by it" in note


def test_curves_have_a_row_for_each_size_of_the_first_seed():
    sides = {"a": (TEXT, {seed: features(64, seed) for seed in (0, 1)})}
    reference = features(64, 5)
    rows = curve_rows(*score(sides, reference, seeds=(0, 1)))
    assert [(row["n"], row["num_subsets"]) for row in rows] == [(64, 1), (32, 2), (16, 4), (8, 8)]
    assert {row["seed"] for row in rows} == {0}
    assert rows[0]["value"] == pytest.approx(frechet_distance(sides["a"][1][0], reference))


def test_curves_of_nothing_are_empty():
    sides = {"a": (TEXT, {0: features(3, 0)})}
    gaps = {("a", 0, index) for index in range(3)}
    assert curve_rows(*score(sides, features(3, 1), gaps=gaps)) == []
