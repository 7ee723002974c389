"""From features to comparisons and curves, without videos: the real metrics on features that are drawn."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from reelbench.core.tables import ClipRow
from reelbench.core.types import Conditioning
from reelbench.metrics.build import build_metric
from reelbench.metrics.protocol import parse_protocol
from reelbench.metrics.sets.frechet import frechet_distance
from reelbench.metrics.sets.fvd import Fvd
from reelbench.stages.measuring import Measuring
from reelbench.stages.scoring.comparisons import comparison_rows
from reelbench.stages.scoring.curves import curve_rows
from reelbench.stages.scoring.metric_calls import Defects
from reelbench.stages.scoring.observations import FeatureCell, Observation, Observations, System
from reelbench.stages.scoring.summary import summary_rows

D = 4
SPECTRUM = np.arange(1, D + 1) ** -0.5


I3D = {"i3d": SimpleNamespace(weight_digests={})}
"""Weights of nobody, of which rows of the summary name the digests."""


def features(n: int, seed: int, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, D)) * SPECTRUM + shift


def score(
    methods: dict[str, tuple[Conditioning, dict[int, np.ndarray]]],
    reference: np.ndarray,
    *,
    metrics: Sequence[str] = ("fvd",),
    protocol: dict[str, Any] | None = None,
    seeds: tuple[int, ...] = (0,),
    gaps: Collection[tuple[str, int, int]] = (),
    extractors: Mapping[str, Any] | None = None,
) -> tuple[Measuring, Observations]:
    """Measuring and observations of methods {label: (conditioning, {seed: features [N, D]})}.

    Args:
        gaps: (label, seed, row) of clips that have no features.
    """
    parsed = parse_protocol({"name": "t", "version": "1", **(protocol or {})})
    systems = tuple(System(label, "made", "1", "{}", str(saw)) for label, (saw, _) in methods.items())
    observed = [
        observation(index, None if (label, seed, index) in gaps else row, method=label, seed=seed)
        for label, (_, by_seed) in methods.items()
        for seed, rows in by_seed.items()
        for index, row in enumerate(rows)
    ]
    references = [observation(index, row) for index, row in enumerate(reference)]
    measuring = Measuring(parsed, tuple(build_metric(name, parsed) for name in metrics), extractors or {})
    everything = Observations("r", systems, {"data": "test"}, seeds, tuple(observed), tuple(references))
    return measuring, everything


def observation(
    index: int, values: np.ndarray | None, method: str | None = None, seed: int | None = None
) -> Observation:
    key = f"{method}{seed}v{index:03}"
    clip = ClipRow(
        run="r",
        side="reference" if method is None else "generated",
        method=method,
        dataset="data",
        split="test",
        sample_id=f"v{index:03}",
        source=f"s{index:03}",
        seed=seed,
        clip_key=key,
        status="done",
    )
    return Observation(clip, {"i3d": FeatureCell("i3d", key, None, values, None)})


def comparisons(*arguments: Any, **options: Any) -> list[dict[str, Any]]:
    rows = comparison_rows(*score(*arguments, **options), [], Defects())
    return [asdict(row) for row in rows]


def curves(*arguments: Any, **options: Any) -> list[dict[str, Any]]:
    return [asdict(row) for row in curve_rows(*score(*arguments, **options), Defects())]


TEXT = Conditioning.TEXT


def test_no_difference_is_called_detectable_by_a_test_that_cannot_find_any() -> None:
    """The smallest p of four sources is 1/8."""
    a, b, reference = features(4, 0), features(4, 1, 0.5), features(4, 2)
    (row,) = comparisons({"a": (TEXT, {0: a}), "b": (TEXT, {0: b})}, reference)
    assert row["min_detectable"] is None
    assert "smallest p this test can give" in row["notes"]


def test_set_metrics_are_compared_with_an_error_a_test_and_what_could_be_seen() -> None:
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


def test_holm_is_over_all_metrics_and_pairs_and_the_family_is_named() -> None:
    sides = {label: (TEXT, {0: features(30, k, 0.04 * k)}) for k, label in enumerate("abc")}
    rows = comparisons(sides, features(30, 9), metrics=("fvd", "kvd"))
    assert len(rows) == 6
    assert {row["family"] for row in rows} == {
        "6 comparisons: all metrics and pairs of methods of this data set and protocol"
    }
    smallest = min(rows, key=lambda row: row["p_value"])
    assert smallest["p_holm"] == pytest.approx(min(1.0, 6 * smallest["p_value"]))
    assert all(row["p_holm"] >= row["p_value"] for row in rows)


def test_methods_that_saw_different_things_are_not_compared() -> None:
    sides = {
        "a": (TEXT, {0: features(20, 0)}),
        "b": (next(item for item in Conditioning if item is not TEXT), {0: features(20, 1)}),
    }
    assert comparisons(sides, features(20, 2)) == []


def test_seeds_are_exchanged_together_and_only_samples_of_all_seeds_count() -> None:
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


def test_a_test_too_coarse_for_its_family_says_so() -> None:
    sides = {"a": (TEXT, {0: features(5, 0)}), "b": (TEXT, {0: features(5, 1, 9.0)})}
    (row,) = comparisons(sides, features(5, 2))
    assert row["p_value"] >= 2 / 32
    assert "the smallest p this test can give is 0.062" in row["notes"]


def test_a_metric_that_cannot_compare_says_so_and_gives_no_row() -> None:
    sides = {"a": (TEXT, {0: features(20, 0)}), "b": (TEXT, {0: features(20, 1)})}
    centred = {"kernel": {"centred": True}}
    measuring, observations = score(sides, features(20, 2), metrics=("kvd",), protocol=centred)
    assert comparison_rows(measuring, observations, [], Defects()) == []
    metric: Any
    (metric,) = measuring.metrics
    items = observations.of("a", "data")
    note = metric.compute(
        np.stack([np.asarray(item.features["i3d"].values) for item in items]),
        features(20, 2),
        [item.clip.source for item in items],
        [item.clip.source for item in items],
    ).notes[0]
    assert "methods are not compared by it" in note


def test_curves_have_a_row_for_each_size_of_the_first_seed() -> None:
    sides = {"a": (TEXT, {seed: features(64, seed) for seed in (0, 1)})}
    reference = features(64, 5)
    rows = curves(sides, reference, seeds=(0, 1))
    assert [(row["n"], row["num_subsets"]) for row in rows] == [(64, 1), (32, 2), (16, 4), (8, 8)]
    assert {row["seed"] for row in rows} == {0}
    assert rows[0]["value"] == pytest.approx(frechet_distance(sides["a"][1][0], reference))


def test_curves_of_nothing_are_empty() -> None:
    sides = {"a": (TEXT, {0: features(3, 0)})}
    gaps = {("a", 0, index) for index in range(3)}
    assert curves(sides, features(3, 1), gaps=gaps) == []


def test_where_methods_saw_frames_they_are_compared_against_the_references_of_other_clips() -> None:
    """B keeps to its own references with the wrong deviation; A has the right one and keeps to nothing."""
    reference, fresh = features(60, 0), features(60, 1)
    followed = 1.15 * (0.95 * reference + np.sqrt(1 - 0.95**2) * features(60, 2))
    saw = Conditioning.TEXT_AND_FRAMES
    methods = {"a": (saw, {0: fresh}), "b": (saw, {0: followed})}
    measuring, everything = score(methods, reference, metrics=("fvd", "kvd"), extractors=I3D)
    rows = summary_rows(measuring, everything, [], Defects())
    found = {(row.metric, row.method): row for row in rows if row.seed is None}
    assert found["fvd", "b"].value < found["fvd", "a"].value  # what misleads
    assert found["fvd_others", "b"].value > found["fvd_others", "a"].value
    assert {row.metric: row.references for row in rows} == {
        "fvd": "own", "kvd": "own", "fvd_others": "others", "kvd_others": "others",
    }  # fmt: skip
    assert {row.metric: row.warn_below_n for row in rows} == {
        "fvd": 400, "kvd": 400, "fvd_others": 800, "kvd_others": 400,
    }  # fmt: skip
    compared = comparison_rows(measuring, everything, [], Defects())
    assert [row.metric for row in compared] == ["fvd_others", "kvd_others"]
    assert all(row.difference < 0 for row in compared)
    # Named in the run file, they are not measured twice; a text alone leaves things as they were.
    measuring, everything = score(methods, reference, metrics=("kvd", "kvd_others"), extractors=I3D)
    rows = summary_rows(measuring, everything, [], Defects())
    assert sorted((row.metric, row.method) for row in rows if row.seed is None) == [
        ("kvd", "a"), ("kvd", "b"), ("kvd_others", "a"), ("kvd_others", "b"),
    ]  # fmt: skip
    text = {label: (Conditioning.TEXT, made) for label, (_, made) in methods.items()}
    measuring, everything = score(text, reference, extractors=I3D)
    rows = summary_rows(measuring, everything, [], Defects())
    assert {(row.metric, row.references) for row in rows} == {("fvd", None)}
    assert [row.metric for row in comparison_rows(measuring, everything, [], Defects())] == ["fvd"]


class MyDistance(Fvd):
    """A plug-in that computes something of its own."""

    name = "my_distance"

    def _value(self, generated_ND: Any, reference_MD: Any) -> float:
        return 2 * super()._value(generated_ND, reference_MD)


def test_a_subclass_is_not_taken_for_what_its_parent_is_compared_by() -> None:
    saw = Conditioning.TEXT_AND_FRAMES
    methods = {label: (saw, {0: features(60, seed)}) for seed, label in enumerate("ab", 1)}
    measuring, everything = score(methods, features(60, 0), metrics=("fvd",), extractors=I3D)
    measuring = replace(measuring, metrics=(*measuring.metrics, MyDistance(measuring.protocol)))
    assert [metric.name for metric in measuring.set_metrics_of([saw])] == ["fvd", "fvd_others", "my_distance"]
    compared = comparison_rows(measuring, everything, [], Defects())
    assert [row.metric for row in compared] == ["fvd_others", "my_distance"]
    assert ["closeness to them counts as a merit" in row.notes for row in compared] == [False, True]
    rows = summary_rows(measuring, everything, [], Defects())
    assert {row.references for row in rows if row.metric == "my_distance"} == {"own"}
