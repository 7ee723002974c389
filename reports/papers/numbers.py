"""Numbers as papers print them: by the table's scale and digits, or by the standard error."""

from __future__ import annotations

import math
from decimal import Decimal

from ..tables.measurement import DASH, format_count, format_measurement, is_value


def printed(
    value: float | None, error: float | None, *, scale: float = 1.0, digits: int | None = None
) -> tuple[str, str]:
    """A value and its standard error as texts, the error "" where there is none.

    Args:
        digits: decimals of both; None lets the error decide. An error that these would print as 0 is printed
            as less than the last digit.

    >>> printed(0.29451, 0.0012, scale=100, digits=2), printed(0.29451, 0.0012)
    (('29.45', '0.12'), ('0.2945', '0.0012'))
    >>> printed(0.29451, 0.0012, digits=2), printed(None, None)
    (('0.29', '<0.01'), ('–', ''))
    """
    if value is None or not math.isfinite(value):
        return DASH, ""
    scaled = value * scale
    spread = error * scale if error is not None and is_value(error) and error >= 0 else None
    if digits is None:
        text, _, deviation = format_measurement(scaled, spread).partition(" ± ")
        return text, deviation
    text = f"{scaled:.{digits}f}"
    if not text.strip("-0."):
        text = text.removeprefix("-")
    if spread is None:
        return text, ""
    deviation = f"{spread:.{digits}f}"
    if spread and not deviation.strip("0."):
        deviation = f"<{10.0**-digits:.{digits}f}"
    return text, deviation


def printed_count(count: float | None, *, scale: float = 1.0, digits: int | None = None) -> str:
    """A number of parameters: in millions and billions, or by the table's scale and digits.

    >>> printed_count(24_855_680), printed_count(24_855_680, scale=1e-6, digits=1)
    ('24.86 M', '24.9')
    """
    if count is None or not math.isfinite(count):
        return DASH
    return (
        format_count(count)
        if scale == 1 and digits is None
        else printed(count, None, scale=scale, digits=digits)[0]
    )


def as_published(printed_there: str, scale_there: float, scale_here: float) -> str:
    """A published number in the scale of a table, with the digits it was published with.

    Args:
        printed_there: as its source prints it.
        scale_there: what it was multiplied by there.

    >>> as_published("0.2930", 1, 1), as_published("92.4", 100, 1), as_published("0.2930", 1, 100)
    ('0.2930', '0.924', '29.30')
    >>> as_published("1294", 1, 1e-3)
    '1.294'
    """
    if scale_there == scale_here:
        return printed_there
    number = Decimal(printed_there) * Decimal(repr(scale_here)) / Decimal(repr(scale_there))
    decimals = len(printed_there.partition(".")[2]) + round(math.log10(scale_there / scale_here))
    return f"{number:.{max(0, decimals)}f}"
