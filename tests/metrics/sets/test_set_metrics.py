"""FVD and KVD as metrics: their uncertainty, their notes, and what they refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from reelbench.core.errors import MetricError
from reelbench.metrics.protocol import Protocol, parse_protocol
from reelbench.metrics.sets.frechet import frechet_distance
from reelbench.metrics.sets.fvd import Fvd
from reelbench.metrics.sets.kernel import polynomial_mmd
from reelbench.metrics.sets.kvd import Kvd


def sets(
    n: int, m: int | None = None, d: int = 12, seed: int = 0, shift: float = 0.3
) -> tuple[np.ndarray, np.ndarray, list[str], list[str]]:
    rng = np.random.default_rng(seed)
    m = n if m is None else m
    x = rng.standard_normal((n, d)).astype(np.float32)
    y = (rng.standard_normal((m, d)) * 1.2 + shift).astype(np.float32)
    return x, y, [f"v{i}" for i in range(n)], [f"v{i}" for i in range(m)]


both = pytest.mark.parametrize("metric_class", [Fvd, Kvd])


def test_values_are_those_of_the_pure_functions(clean: Protocol) -> None:
    x, y, groups, reference_groups = sets(60, 70)
    fvd = Fvd(clean).compute(x, y, groups, reference_groups)
    assert fvd.value == pytest.approx(frechet_distance(x, y), rel=1e-11)
    kvd = Kvd(clean).compute(x, y, groups, reference_groups)
    assert kvd.value == pytest.approx(polynomial_mmd(x, y), rel=1e-11)
    assert (kvd.n, kvd.n_reference, kvd.num_sources) == (60, 70, 60)


@both
def test_standard_error_is_the_true_deviation(metric_class: type[Any], clean: Protocol) -> None:
    """30 draws of 200 clips of 8 dimensions: the mean jackknife error is the deviation of the values."""
    metric = metric_class(clean)
    estimates = [metric.compute(*sets(200, d=8, seed=seed)) for seed in range(60)]
    true = np.std([e.value for e in estimates], ddof=1)
    claimed = np.sqrt(np.mean([e.standard_error**2 for e in estimates]))
    # The deviation of 60 draws is itself known to 9%; the bound is three of these.
    assert claimed == pytest.approx(true, rel=0.3)


def test_bias_correction_moves_fvd_towards_the_truth(clean: Protocol) -> None:
    # Same distribution on both sides: the truth is 0, the plain value is pure bias.
    estimates = [Fvd(clean).compute(*sets(150, d=10, seed=s, shift=0.0)) for s in range(5)]
    rng = np.random.default_rng(9)
    for _ in range(5):
        x, y = rng.standard_normal((150, 10)), rng.standard_normal((150, 10))
        ids = [str(i) for i in range(150)]
        estimate = Fvd(clean).compute(x, y, ids, ids)
        assert abs(estimate.bias_corrected) < 0.35 * estimate.value
    assert all(e.bias_corrected < e.value for e in estimates)


@both
def test_interval_is_named_and_around_the_corrected_value(metric_class: type[Any], clean: Protocol) -> None:
    estimate = metric_class(clean).compute(*sets(100))
    assert (estimate.low + estimate.high) / 2 == pytest.approx(estimate.bias_corrected)
    assert "jackknife" in estimate.interval
    assert "20 groups" in estimate.interval


@both
def test_the_order_of_clips_does_not_matter(metric_class: type[Any], clean: Protocol) -> None:
    x, y, groups, reference_groups = sets(50)
    order = np.random.default_rng(1).permutation(50)
    a = metric_class(clean).compute(x, y, groups, reference_groups)
    b = metric_class(clean).compute(x[order], y, [groups[i] for i in order], reference_groups)
    assert a.value == pytest.approx(b.value, rel=1e-12)
    assert a.standard_error == pytest.approx(b.standard_error, rel=1e-9)


def test_sources_are_left_out_whole(clean: Protocol) -> None:
    # Clips of one source are copies: the error must be that of the 40 sources, not of 200 clips.
    x, y, groups, _ = sets(40)
    many = Fvd(clean).compute(
        np.repeat(x, 5, 0),
        np.repeat(y, 5, 0),
        groups * 1 and np.repeat(groups, 5).tolist(),
        np.repeat(groups, 5).tolist(),
    )
    few = Fvd(parse_protocol({"name": "t", "version": "1", "frechet": {"ddof": 0}})).compute(
        x, y, groups, groups
    )
    assert many.standard_error == pytest.approx(few.standard_error, rel=0.1)
    assert many.num_sources == 40
    assert any("160 generated clips repeat" in note for note in many.notes)


@both
def test_notes_on_small_and_unequal_n(metric_class: type[Any], clean: Protocol) -> None:
    notes = " ".join(metric_class(clean).compute(*sets(30, 40)).notes)
    assert "below 400" in notes
    assert "unequal N: 30 generated, 40 reference" in notes
    big = metric_class(clean).compute(*sets(400))
    assert big.notes == ()


@both
def test_fewer_than_16_sources_are_said(metric_class: type[Any], clean: Protocol) -> None:
    estimate = metric_class(clean).compute(*sets(9))
    assert estimate.standard_error is not None
    assert any("9 jackknife groups" in note for note in estimate.notes)


@both
@pytest.mark.parametrize("sources", [["a", "a", "a", "a"], ["a", "a", "a", "b"]])
def test_too_few_sources_give_a_value_without_error(
    metric_class: type[Any], clean: Protocol, sources: list[str]
) -> None:
    x, y, _, _ = sets(4)
    estimate = metric_class(clean).compute(x, y, sources, sources)
    assert estimate.standard_error is None
    assert np.isfinite(estimate.value)
    assert any("no standard error" in note for note in estimate.notes)


@both
def test_the_side_that_is_too_small_is_named(metric_class: type[Any], clean: Protocol) -> None:
    x, y, _, sources = sets(20)
    estimate = metric_class(clean).compute(x[:2], y, sources[:2], sources)
    (note,) = (note for note in estimate.notes if "no standard error" in note)
    assert note == "2 generated clips of 2 sources: too few to leave any out, no standard error"


@both
def test_two_clips_are_the_minimum(metric_class: type[Any], clean: Protocol) -> None:
    estimate = metric_class(clean).compute(*sets(2))
    assert np.isfinite(estimate.value)
    with pytest.raises(MetricError, match="1 clips on the generated side"):
        metric_class(clean).compute(*sets(1, 5))
    with pytest.raises(MetricError, match="1 clips on the reference side"):
        metric_class(clean).compute(*sets(5, 1))


@both
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_is_refused_at_once(metric_class: type[Any], clean: Protocol, bad: float) -> None:
    x, y, groups, reference_groups = sets(10)
    y[3, 2] = bad
    with pytest.raises(MetricError, match="1 of 10 reference clips have NaN"):
        metric_class(clean).compute(x, y, groups, reference_groups)


@both
def test_shapes_that_do_not_fit_are_refused(metric_class: type[Any], clean: Protocol) -> None:
    x, y, groups, reference_groups = sets(10)
    with pytest.raises(MetricError, match="dimensions"):
        metric_class(clean).compute(x[:, :5], y, groups, reference_groups)
    with pytest.raises(MetricError, match=r"\[N, D\]"):
        metric_class(clean).compute(x[0], y, groups, reference_groups)
    with pytest.raises(MetricError, match="source ids"):
        metric_class(clean).compute(x, y, groups[:3], reference_groups)


def test_protocols_change_the_number(clean: Protocol) -> None:
    x, y, groups, reference_groups = sets(40)
    old = parse_protocol(
        {
            "name": "t",
            "version": "1",
            "frechet": {"ddof": 0, "dtype": "float32", "formula": "svd"},
            "kernel": {"centred": True},
        }
    )
    a, b = (Fvd(p).compute(x, y, groups, reference_groups) for p in (clean, old))
    assert a.value != b.value
    assert b.value == pytest.approx(frechet_distance(x, y, 0), rel=1e-3)
    assert "float64" in b.notes[0]
    shifted = Kvd(old).compute(x, y + 5, groups, reference_groups)
    assert shifted.value == pytest.approx(Kvd(old).compute(x, y, groups, reference_groups).value, rel=1e-4)
    assert Fvd(clean).parameters() != Fvd(old).parameters()


def test_the_jackknife_of_2990_clips_decomposes_no_matrix_for_each_of_them(
    clean: Protocol, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("svd", "eigh", "eigvalsh", "qr", "cholesky")
    called: list[str] = []
    for name in names:
        real = getattr(np.linalg, name)
        monkeypatch.setattr(
            np.linalg, name, lambda *a, n=name, f=real, **k: (called.append(n), f(*a, **k))[1]
        )
    rng = np.random.default_rng(0)
    spectrum = np.arange(1, 401) ** -0.5
    x, y = (rng.standard_normal((2990, 400)) * spectrum for _ in range(2))
    ids = [str(i) for i in range(2990)]
    Fvd(clean).compute(x, y, ids, ids)
    assert 0 < len(called) < 299


def test_fvd_of_fewer_clips_than_dimensions_has_no_interval_and_says_why(clean: Protocol) -> None:
    estimate = Fvd(clean).compute(*sets(30, d=31))
    assert (estimate.low, estimate.high) == (None, None)
    assert estimate.standard_error > 0
    assert estimate.bias_corrected < estimate.value
    assert estimate.interval.startswith("none")
    assert any("fewer clips than the 31 feature dimensions" in note for note in estimate.notes)
    enough = Fvd(clean).compute(*sets(31, d=31))
    assert enough.low < enough.bias_corrected < enough.high
    assert Kvd(clean).compute(*sets(30, d=31)).low is not None


def test_repeated_clips_raise_n_and_not_the_rank(clean: Protocol) -> None:
    # 10 clips repeated 30 times span 9 dimensions: the nuclear norm has 9 terms, whatever N is.
    rng = np.random.default_rng(3)
    x, y = np.repeat(rng.standard_normal((10, 20)), 30, 0), rng.standard_normal((300, 20))
    ids = [str(i) for i in range(300)]
    estimate = Fvd(clean).compute(x, y, ids, ids)
    assert any("290 generated clips repeat another one's features" in note for note in estimate.notes)
    centred_x, centred_y = x - x.mean(0), y - y.mean(0)
    values = np.linalg.svd(centred_x @ centred_y.T, compute_uv=False)
    assert np.sum(values > 1e-8 * values[0]) == 9
    shift = x.mean(0) - y.mean(0)
    traces = np.var(x, axis=0, ddof=1).sum() + np.var(y, axis=0, ddof=1).sum()
    assert estimate.value == pytest.approx(shift @ shift + traces - 2 * values[:9].sum() / 299, rel=1e-10)


@pytest.mark.parametrize(
    ("metric_class", "reason"), [(Fvd, "for a covariance"), (Kvd, "for pairs of clips within a side")]
)
def test_one_clip_is_refused_with_the_reason_and_what_to_do(
    metric_class: type[Any], reason: str, clean: Protocol
) -> None:
    with pytest.raises(MetricError, match=reason) as caught:
        metric_class(clean).compute(*sets(1, 5))
    assert "measure more clips" in str(caught.value)
