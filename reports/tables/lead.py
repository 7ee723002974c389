"""Which values of a column may be called the best: one rule for every table, plot and format.

Marked are the best value among methods that saw the same and those that the paired test of the `comparisons`
table does not tell from it after Holm's correction, where it tells at least one: as the test is paired, a
value farther away than the runner-up's can be the one that cannot be told apart. Set metrics are ordered by
their values without the estimated bias where all have one, and a difference counts only if it has the same
sign without its bias. Nothing is marked below the metric's warning N, and where clips are held against
references that they were made from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ...core.statistics import ALPHA
from .measurement import format_rounded, is_value
from .method_table import Column, Group, Lead
from .run_tables import Row

_LEGEND_BOLD = (
    "Bold: the best value of those that saw the same, and all that the paired test does not tell from "
    f"it, where it tells any (Holm over all metrics and pairs, {ALPHA:.0%})"
)
_LEGEND_COUNTED = "; of trained parameters: fewer than all others"
_LEGEND_CORRECTED = (
    "In parentheses: the value without its estimated bias, around which its interval lies and by which it is "
    "ranked. "
)

NOT_TOLD_APART = f"Not told apart from the best value (paired test, Holm, {ALPHA:.0%})"
NO_TEST = "No paired test, so nothing marked"
TOO_FEW = "Too few clips to mark anything"
OWN_LABEL = " (own references)"
OWN_REFERENCES = "Own references, so not ranked"
NOT_BY_KIND = "Kinds"
WHY_UNMARKED = (OWN_REFERENCES, TOO_FEW, NOT_TOLD_APART, NO_TEST, NOT_BY_KIND)
"""The names of the lines without which a table is read wrong."""

UNRANKED = Lead()


def legend(columns: Iterable[Column]) -> str:
    """What stands under a table of these columns."""
    columns = list(columns)
    return f"Values ± one standard error. {legend_corrected(columns)}{legend_bold(columns)}"


def legend_corrected(columns: Iterable[Column]) -> str:
    """What values in parentheses are; "" where no column has any."""
    return _LEGEND_CORRECTED if any(column.has_corrected for column in columns) else ""


def legend_bold(columns: Iterable[Column]) -> str:
    """What bold means in a table of these columns; of costs only a count is ranked."""
    is_counted = any(column.level == "cost" and column.higher_is_better is not None for column in columns)
    return _LEGEND_BOLD + (_LEGEND_COUNTED if is_counted else "") + "."


class PairedTests:
    """The paired tests of one table, by metric and pair of methods.

    Args:
        comparisons: rows of the `comparisons` table of one data set and protocol, with the metrics' names of
            the columns. Rows without a difference or without `p_holm` are left out.
    """

    def __init__(self, comparisons: Iterable[Row]) -> None:
        self._rows: dict[tuple[str, str, str], tuple[float, Row]] = {}
        for row in comparisons:
            if is_value(row["difference"]) and is_value(row["p_holm"]):
                a, b = row["method_a"], row["method_b"]
                self._rows[row["metric"], a, b] = row["difference"], row
                self._rows[row["metric"], b, a] = -row["difference"], row

    def find(self, metric: str, a: str, b: str) -> tuple[float, Row] | None:
        """The difference a - b and the row of its test; None where there is none."""
        return self._rows.get((metric, a, b))


def measured_lead(
    metric: str, higher_is_better: bool, values: Mapping[str, float], tests: PairedTests
) -> Lead:
    """The lead of a measured column.

    Args:
        values: finite values by method, of methods that saw the same.
    """
    if len(values) < 2:
        return UNRANKED
    sign = 1.0 if higher_is_better else -1.0
    leader, *others = sorted(values, key=lambda method: -sign * values[method])
    shared, untested, detectable, undetectable = [leader], [leader], [], 0
    for method in others:
        found = tests.find(metric, leader, method)
        if found is None and values[method] != values[leader]:
            untested.append(method)
            continue
        if found is not None:
            difference, row = found
            is_told = row["p_holm"] <= ALPHA and values[method] != values[leader]
            if is_told and sign * difference > 0 and keeps_its_sign(row):
                continue
            if is_value(row["min_detectable"]):
                detectable.append(row["min_detectable"])
            elif values[method] != values[leader]:
                undetectable += 1
        shared.append(method)
    tells_any = len(shared) < len(values)
    return Lead(
        marked=tuple(shared) if tells_any and len(untested) == 1 else (),
        shared=() if len(shared) == 1 else tuple(shared),
        detectable=max(detectable, default=None),
        can_tell=not undetectable or bool(detectable),
        untested=() if len(untested) == 1 else tuple(untested),
    )


def too_few(warn_below_n: int | None, *counts: int | None) -> int:
    """The metric's warning N where clips or references are fewer, so that nothing is said of its values; else
    0. A count that is not recorded counts as none."""
    return warn_below_n if warn_below_n and min(count or 0 for count in counts) < warn_below_n else 0


def keeps_its_sign(row: Row) -> bool:
    """Whether the difference of a set metric has the same sign without its bias, around which the interval
    lies.

    Args:
        row: with `level`, `difference`, `low` and `high`.
    """
    if row["level"] != "set" or not (is_value(row["low"]) and is_value(row["high"])):
        return True
    return bool((row["low"] + row["high"]) * row["difference"] > 0)


def counted_lead(values: Mapping[str, float], texts: Mapping[str, str]) -> Lead:
    """The lead of a column of counts, which are known exactly: the smallest, if it is the only one and is not
    printed as another one's.

    Args:
        values, texts: by method; all methods that saw the same.
    """
    if len(values) < 2:
        return UNRANKED
    first, second, *_ = sorted(values, key=lambda method: values[method])
    is_alone = values[first] < values[second] and texts[first] != texts[second]
    return Lead(marked=(first,) if is_alone else ())


def lead_facts(columns: Sequence[Column], groups: Sequence[Group]) -> list[tuple[str, str]]:
    """(name, text) lines that name what is not ranked and why, the differences that are none, and those that
    nothing tests."""
    own: dict[str, list[str]] = {}
    few: dict[str, None] = {}
    shared: dict[str, list[str]] = {}
    untested: dict[str, list[str]] = {}
    for index, column in enumerate(columns):
        for group in groups:
            lead = group.leads[index]
            if lead.is_own:
                saw = f" of methods that saw {group.conditioning}" if len(groups) > 1 else ""
                own.setdefault(saw, []).append(column.label.removesuffix(OWN_LABEL))
            if lead.too_few:
                few[f"{column.label} below N = {lead.too_few}"] = None
            if lead.shared:
                text = _names(lead.shared, group, groups) + _detectable_text(lead)
                shared.setdefault(text, []).append(column.label)
            if lead.untested:
                untested.setdefault(_names(lead.untested, group, groups), []).append(column.label)
    facts = [
        (OWN_REFERENCES, _own_text(own, columns) if own else ""),
        (TOO_FEW, ", ".join(few)),
        (NOT_TOLD_APART, _of_columns(shared)),
        (NO_TEST, _of_columns(untested)),
    ]
    return [(name, text) for name, text in facts if text]


def _of_columns(labels: Mapping[str, Sequence[str]]) -> str:
    """ "FVD, KVD: a and b; CLIPSIM: b and c": each text after the columns that it holds for."""
    return "; ".join(f"{', '.join(of)}: {text}" for text, of in labels.items())


def _detectable_text(lead: Lead) -> str:
    if not lead.can_tell:
        return " (too few sources for any difference to be told)"
    return f" (detectable: {format_rounded(lead.detectable)})" if lead.detectable else ""


def _own_text(own: Mapping[str, Sequence[str]], columns: Sequence[Column]) -> str:
    what = "; ".join(f"{', '.join(labels)}{saw}" for saw, labels in own.items())
    others = [column.label for column in columns if column.references == "others"]
    instead = (
        f"compare methods by {' and '.join(others)}"
        if others
        else "methods are told apart by values against the references of other clips"
    )
    return (
        f"{what}: the clips were made from a part of the very references that they are held "
        "against, and closeness to these makes the values smaller even where the distribution is wrong; "
        f"{instead}"
    )


def _names(methods: Sequence[str], group: Group, groups: Sequence[Group]) -> str:
    """ "a, b and c", or, of a group of more than three, "all 5"."""
    if len(methods) == len(group.methods) > 3:
        return f"all {len(methods)}" + (f" that saw {group.conditioning}" if len(groups) > 1 else "")
    names = [f"'{name}'" if "," in name else name for name in methods]
    return f"{', '.join(names[:-1])} and {names[-1]}"
