"""The standard error decides the digits."""

from __future__ import annotations

import math

import pytest

from reelbench.reports.tables.measurement import format_count, format_measurement, format_p_value


@pytest.mark.parametrize(
    ("value", "standard_error", "text"),
    [
        (298.1324, 5.2719, "298.1 ± 5.3"),
        (298.1324, 27.4, "298 ± 27"),
        (298.1324, 274.0, "298 ± 274"),
        (0.294512, 0.001234, "0.2945 ± 0.0012"),
        (1.23456, 0.0996, "1.23 ± 0.10"),  # rounding carries
        (-0.00001, 0.01, "0.000 ± 0.010"),  # no negative zero
        (-3.21, 0.5, "-3.21 ± 0.50"),
        (0.294512, None, "0.2945"),
        (298.1324, math.nan, "298.1"),
        (123456.7, None, "123457"),
        (0.0, None, "0"),
        (0.0, 0.0, "0 ± 0"),
        (2.5, 1.0e-10, "2.500 ± 0"),
        (2.5, 0.0, "2.500 ± 0"),
        (1.0, 1.0e-17, "1.000 ± 0"),  # what a sum of equal numbers leaves is no error
        (0.0, 3.0e-12, "0 ± 0"),  # below every digit that is shown
        (-4.0e-12, 1.2e-7, "0 ± 0.00000012"),
        (3.0e-12, None, "0"),
        (None, 1.0, "–"),
        (math.nan, 1.0, "–"),
        (math.inf, None, "–"),
    ],
)
def test_measurement(value: float | None, standard_error: float | None, text: str) -> None:
    assert format_measurement(value, standard_error) == text


@pytest.mark.parametrize(
    ("p_value", "text"),
    [(0.5, "0.50"), (0.0364, "0.036"), (0.00399, "0.004"), (0.0002, "< 0.001"), (1.0, "1.0"), (None, "–")],
)
def test_p_value(p_value: float | None, text: str) -> None:
    assert format_p_value(p_value) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0"),
        (999, "999"),
        (421_600, "421,600"),
        (999_999, "999,999"),
        (1_000_000, "1.00 M"),
        (24_855_680, "24.86 M"),
        (999_994_000, "999.99 M"),
        (999_999_999, "1.00 B"),
        (1_090_000_000, "1.09 B"),
        (None, "–"),
        (math.nan, "–"),
    ],
)
def test_counts_have_separators_or_a_unit(count: float | None, text: str) -> None:
    assert format_count(count) == text
