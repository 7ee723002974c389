"""How one measured value is written: the standard error decides the digits.

The error is rounded to two significant digits and the value to the same place: 298.1 ± 5.3.
"""

from __future__ import annotations

import math

DASH = "–"
"""What stands where there is no value; a footnote says why."""

_DIGITS_WITHOUT_ERROR = 4
_LARGEST_NUM_DECIMALS = 8
_ROUNDING = 1e-12
"""An error of so small a share of the value is what sums of equal numbers leave, and counts as none."""


def is_value(value: float | None) -> bool:
    """Whether there is a number to show: not null, NaN or infinite."""
    return value is not None and math.isfinite(value)


def finite(value: float | None) -> float | None:
    """`value` where it is a number to show, else None."""
    return value if is_value(value) else None


def format_measurement(value: float | None, standard_error: float | None = None) -> str:
    """`value ± standard error`, or the value alone, or a dash.

    Args:
        value: the point estimate; null, NaN and infinities give a dash.
        standard_error: its standard error; null, NaN and 0 leave four significant digits.

    >>> format_measurement(0.294512, 0.001234)
    '0.2945 ± 0.0012'
    >>> format_measurement(298.13, 27.4)
    '298 ± 27'
    """
    if value is None or not math.isfinite(value):
        return DASH
    if standard_error is None or not math.isfinite(standard_error) or standard_error < 0:
        return _fixed(value, _num_decimals(value, _DIGITS_WITHOUT_ERROR))
    if standard_error <= _ROUNDING * abs(value) or _fixed(standard_error, _LARGEST_NUM_DECIMALS) == "0":
        return f"{_fixed(value, _num_decimals(value, _DIGITS_WITHOUT_ERROR))} ± 0"
    num_decimals = _num_decimals(standard_error, 2)
    return f"{_fixed(value, num_decimals)} ± {_fixed(standard_error, num_decimals)}"


def format_rounded(value: float, num_digits: int = 2) -> str:
    """`value` with so many significant digits and never an exponent, as a difference in passing is written.

    >>> format_rounded(118.4), format_rounded(0.01234)
    ('118', '0.012')
    """
    return _fixed(value, _num_decimals(value, num_digits))


def format_interval(low: float, high: float, standard_error: float | None) -> str:
    """An interval to the digits of `format_measurement` of the value in it.

    >>> format_interval(0.29204, 0.29699, 0.001234)
    '0.2920 to 0.2970'
    """
    if (
        standard_error is None
        or not math.isfinite(standard_error)
        or standard_error <= _ROUNDING * max(abs(low), abs(high))
    ):
        return f"{format_measurement(low)} to {format_measurement(high)}"
    num_decimals = _num_decimals(standard_error, 2)
    return f"{_fixed(low, num_decimals)} to {_fixed(high, num_decimals)}"


def format_count(count: float | None) -> str:
    """A whole number as tables print parameters: "24.86 M" from a million on, with separators below.

    >>> format_count(24_855_680), format_count(421_600), format_count(1_090_000_000)
    ('24.86 M', '421,600', '1.09 B')
    """
    if count is None or not math.isfinite(count):
        return DASH
    for size, letter in ((1e9, "B"), (1e6, "M")):
        # Rounding must not carry into the next unit: 999,999,999 is 1.00 B, not 1000.00 M.
        if abs(count) >= size * (1 - 5e-6 if size > 1e6 else 1):
            return f"{count / size:.2f} {letter}"
    return f"{count:,.0f}"


def format_p_value(p_value: float | None) -> str:
    """A p value with two significant digits, "< 0.001" below that, or a dash."""
    if p_value is None or not math.isfinite(p_value):
        return DASH
    if p_value < 0.001:
        return "< 0.001"
    return _fixed(p_value, min(3, _num_decimals(p_value, 2)))


def _num_decimals(value: float, num_digits: int) -> int:
    """Decimals that leave `num_digits` significant digits of `value`, never fewer than none."""
    if value == 0:
        return _LARGEST_NUM_DECIMALS  # a bare "0", as what is too small for any digit
    # Through the exponent form, since rounding may carry: 0.0996 has its two digits as 0.10.
    exponent = int(f"{abs(value):.{num_digits - 1}e}".partition("e")[2])
    return min(max(0, num_digits - 1 - exponent), _LARGEST_NUM_DECIMALS)


def _fixed(value: float, num_decimals: int) -> str:
    text = f"{value:.{num_decimals}f}"
    if text.strip("-0."):
        return text
    # Too small for any digit, and no negative zero.
    return "0" if num_decimals == _LARGEST_NUM_DECIMALS else text.removeprefix("-")
