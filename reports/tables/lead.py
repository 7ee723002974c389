"""Which value of a column may be called the best: one rule for every table, plot and format.

A value leads if it is better than that of *each* other method that saw the same, each time by the paired test
of the `comparisons` table after Holm's correction: as the test is paired, a value farther away than the
runner-up's can be the one that cannot be told apart. Where there is no such value nothing is marked, and the
methods that cannot be told from the best value are named instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ...core.statistics import ALPHA
from .measurement import format_rounded, is_value
from .method_table import Column, Group, Lead
from .run_tables import Row

_LEGEND_BOLD = (
    "Bold: better than every other method that saw the same, by the paired test (Holm over all metrics and "
    f"pairs, {ALPHA:.0%})"
)
_LEGEND_COUNTED = "; of trained parameters: fewer than all others"

NOT_TOLD_APART = f"Not told apart (paired test, Holm, {ALPHA:.0%})"
NO_TEST = "No paired test, so nothing marked"

UNRANKED = Lead()


def legend(columns: Iterable[Column]) -> str:
    """What stands under a table of these columns."""
    return f"Values ± one standard error. {legend_bold(columns)}"


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
    shared, untested, detectable = [leader], [leader], []
    for method in others:
        found = tests.find(metric, leader, method)
        if found is None and values[method] != values[leader]:
            untested.append(method)
            continue
        if found is not None:
            difference, row = found
            if row["p_holm"] <= ALPHA and sign * difference > 0 and values[method] != values[leader]:
                continue
            if is_value(row["min_detectable"]):
                detectable.append(row["min_detectable"])
        shared.append(method)
    alone = len(shared) == 1
    return Lead(
        best=leader if alone and len(untested) == 1 else None,
        shared=() if alone else tuple(shared),
        detectable=max(detectable, default=None),
        untested=() if len(untested) == 1 else tuple(untested),
    )


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
    return Lead(best=first if is_alone else None)


def lead_facts(labels: Sequence[str], groups: Sequence[Group]) -> list[tuple[str, str]]:
    """(name, text) lines that name the differences that are none, and those that nothing tests.

    Args:
        labels: of the columns.
    """
    shared, untested = [], []
    for index, label in enumerate(labels):
        for group in groups:
            lead = group.leads[index]
            if lead.shared:
                known = f" (detectable: {format_rounded(lead.detectable)})" if lead.detectable else ""
                shared.append(f"{label}: {_names(lead.shared, group, groups)}{known}")
            if lead.untested:
                untested.append(f"{label}: {_names(lead.untested, group, groups)}")
    facts = [(NOT_TOLD_APART, "; ".join(shared)), (NO_TEST, "; ".join(untested))]
    return [(name, text) for name, text in facts if text]


def _names(methods: Sequence[str], group: Group, groups: Sequence[Group]) -> str:
    """ "a, b and c", or, of a group of more than three, "all 5"."""
    if len(methods) == len(group.methods) > 3:
        return f"all {len(methods)}" + (f" that saw {group.conditioning}" if len(groups) > 1 else "")
    return f"{', '.join(methods[:-1])} and {methods[-1]}"
