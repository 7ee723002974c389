"""Set metrics against the references of other clips: blind to how close a clip keeps to its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from reelbench.core import registry
from reelbench.core.errors import MetricError
from reelbench.metrics.build import build_metric
from reelbench.metrics.protocol import Protocol, load_protocol
from reelbench.metrics.sets.frechet import frechet_distance
from reelbench.metrics.sets.paired_sets import PairedSetMetric

D = 8


def ids(n: int) -> list[str]:
    return [f"s{index}" for index in range(n)]


def tied(n: int, correlation: float, seed: int, scale: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Clips and their own references, [N, D] each: normal, of deviations `scale` and 1."""
    rng = np.random.default_rng(seed)
    real, own = rng.normal(size=(2, n, D))
    return scale * (correlation * real + np.sqrt(1 - correlation**2) * own), real


def means(name: str, correlation: float, scale: float = 1.0, protocol: str = "clean", n: int = 40) -> Any:
    """(value, corrected value) over 60 draws."""
    metric = build_metric(name, load_protocol(protocol))
    found = [metric.compute(*tied(n, correlation, seed, scale), ids(n), ids(n)) for seed in range(60)]
    return np.mean([[item.value, item.bias_corrected] for item in found], axis=0)


def test_a_kernel_distance_is_unbiased_whatever_clips_have_in_common_with_their_references() -> None:
    for correlation in (0.0, 0.9):
        others, own = means("kvd_others", correlation), means("kvd", correlation)
        assert others == pytest.approx([0, 0], abs=0.02)
        assert own[1] == pytest.approx(0, abs=0.02)
    assert own[0] < -0.06  # the plain value of clips that follow their references


def test_a_frechet_distance_of_halves_does_not_fall_with_the_correlation() -> None:
    apart, close = means("fvd_others", 0.0), means("fvd_others", 0.9)
    assert close[0] == pytest.approx(apart[0], rel=0.1)
    assert means("fvd", 0.9)[0] < 0.3 * means("fvd", 0.0)[0]


def test_a_wrong_distribution_that_follows_its_references_is_behind_a_right_one() -> None:
    """The plain values say the opposite."""
    n = 64
    for name, is_fair in (("fvd", False), ("kvd", False), ("fvd_others", True), ("kvd_others", True)):
        metric = build_metric(name, load_protocol("clean"))
        right_ahead = []
        for seed in range(20):
            wrong, real = tied(n, 0.9, seed, scale=1.2)
            right = np.random.default_rng(1000 + seed).normal(size=(n, D))
            values = [metric.compute(side, real, ids(n), ids(n)).value for side in (right, wrong)]
            right_ahead.append(values[0] < values[1])
        assert np.mean(right_ahead) > 0.8 if is_fair else np.mean(right_ahead) < 0.2, name


@pytest.mark.parametrize("n", [16, 64, 256])
def test_the_correction_of_a_centred_kernel_centres_anew(n: int) -> None:
    value, corrected = means("kvd", 0.0, protocol="seer", n=n)
    assert value < -1 / n
    assert abs(corrected) < 0.2 * abs(value)


def test_the_value_is_that_of_both_halves_put_together_by_hand(clean: Protocol) -> None:
    x, y = tied(50, 0.5, 0)
    metric = build_metric("fvd_others", clean)
    sets = metric._checked(x, y, ids(50), ids(50))
    assert np.array_equal(sets.half_N, sets.half_M)
    assert abs(sets.half_N.mean() - 0.5) <= 0.02
    for group in range(sets.num_groups):
        assert set(sets.half_N[sets.group_N == group]) == {0, 1}
    of_x, of_y = sets.half_N == 0, sets.half_M == 1
    by_hand = (frechet_distance(x[of_x], y[of_y]) + frechet_distance(x[~of_x], y[~of_y])) / 2
    assert metric.compute(x, y, ids(50), ids(50)).value == pytest.approx(by_hand, rel=1e-9)


def test_a_kernel_leaves_out_pairs_of_one_source_alone(clean: Protocol) -> None:
    """Against loops, with several clips of a source on both sides and sources on one side only."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(7, D)), rng.normal(size=(6, D))
    of_x, of_y = list("aabbcde"), list("aabcxy")
    k = lambda a, b: (a @ b.T / D + 1) ** 3  # noqa: E731
    within_x, within_y, between = k(x, x), k(y, y), k(x, y)
    pairs = [(i, j) for i in range(7) for j in range(6) if of_x[i] != of_y[j]]
    expected = (
        (within_x.sum() - np.trace(within_x)) / 42
        + (within_y.sum() - np.trace(within_y)) / 30
        - 2 * np.mean([between[pair] for pair in pairs])
    )
    found = build_metric("kvd_others", clean).compute(x, y, of_x, of_y)
    assert found.value == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", ["fvd_others", "kvd_others"])
@pytest.mark.parametrize("n", [12, 60])
def test_the_difference_of_two_systems_is_that_of_their_values(name: str, n: int, clean: Protocol) -> None:
    metric = build_metric(name, clean)
    (a, real), (b, _) = tied(n, 0.8, 0), tied(n, 0.0, 1, 1.2)
    found = metric.compare([a], [b], real, ids(n), ids(n), max_swaps=9)
    values = [metric.compute(side, real, ids(n), ids(n)) for side in (a, b)]
    assert found.difference == pytest.approx(values[0].value - values[1].value, rel=1e-8)
    if found.standard_error is not None:
        centre = (found.low + found.high) / 2
        assert centre == pytest.approx(values[0].bias_corrected - values[1].bias_corrected, rel=1e-6)


def test_too_few_sources_are_refused_in_words(clean: Protocol) -> None:
    x, y = tied(6, 0.0, 0)
    with pytest.raises(MetricError, match="at least 4 are needed for two halves with a covariance each"):
        build_metric("fvd_others", clean).compute(x[:3], y[:3], ids(3), ids(3))
    with pytest.raises(MetricError, match="1 sources do not give two halves of two clips each"):
        build_metric("fvd_others", clean).compute(x, y, ["s"] * 6, ["s"] * 6)
    with pytest.raises(MetricError, match="all clips are of one source"):
        build_metric("kvd_others", clean).compute(x, y, ["s"] * 6, ["s"] * 6)
    few = build_metric("fvd_others", clean).compute(x[:4], y[:4], ids(4), ids(4))
    assert few.standard_error is None


def test_clips_that_follow_their_references_are_told_of(clean: Protocol) -> None:
    for n, correlation, is_said in ((64, 0.5, True), (256, 0.9, True), (256, 0.0, False), (6, 0.9, False)):
        x, y = tied(n, correlation, n)
        notes = build_metric("kvd", clean).compute(x, y, ids(n), ids(n)).notes
        assert any(f"correlation {correlation}" in note for note in notes) == is_said, (n, correlation)
        apart = build_metric("kvd", clean).compute(x, y, ids(n), [f"r{name}" for name in ids(n)])
        assert not any("correlation" in note for note in apart.notes)


def test_every_set_metric_of_ours_names_its_counterpart_which_reads_the_same(clean: Protocol) -> None:
    ours = [build_metric(name, clean) for name in registry.names("metrics")]
    ours = [metric for metric in ours if isinstance(metric, PairedSetMetric)]
    for metric in ours:
        if metric.references == "others":
            assert metric.others is None
            continue
        if (
            metric.noun == "frames"
        ):  # FID and CLIP-FID have none; they say where clips follow their references
            assert metric.others is None
            continue
        other = build_metric(metric.others, clean)
        assert (other.needs, other.unit, other.references) == (metric.needs, metric.unit, "others")
        assert "references:others" in other.describe()
