"""The tables of results as data frames of pandas, in the shapes that people pivot."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.errors import UnknownNameError, unknown_name
from ...core.run_folders import find_results
from ...core.tables import SCHEMAS, read_table
from .measurement import format_measurement

if TYPE_CHECKING:
    import pandas as pd

_PLACE = ("dataset", "protocol")
"""What values of one metric may differ by besides the system."""


def read_frame(place: str | Path, name: str) -> pd.DataFrame:
    """A table of results, as it is written; docs/tables.md has its columns.

    Args:
        place: a folder of a run (`out/demo`), of one of its results, of an evaluation, or of the tables.
        name: "runs", "clips", "features", "scores", "summary", "comparisons" or "curves".

    Raises:
        UnknownNameError: no such table.
        StoreError: there are no results, or the table cannot be read.
    """
    if name not in SCHEMAS:
        raise unknown_name("table", name, SCHEMAS)
    frame: pd.DataFrame = read_table(find_results(Path(place)).tables, name).to_pandas()
    return frame


def read_summary(place: str | Path, *, per_seed: bool = False) -> pd.DataFrame:
    """The summary with one row a number: of each metric, system, data set and protocol.

    The file holds the values over all seeds and those of single seeds in one table, told apart by `seed`; who
    pivots it as it is gets each number twice. Here they are apart.

    Args:
        place: see `read_frame`.
        per_seed: the values of single seeds; else those over all seeds, whose `seed` is null.

    Raises:
        StoreError: see `read_frame`.

    For example `read_summary("out/demo").pivot(index="method", columns="metric", values="value")`.
    """
    return one_row_a_number(read_frame(place, "summary"), per_seed=per_seed)


def one_row_a_number(summary: pd.DataFrame, *, per_seed: bool = False) -> pd.DataFrame:
    """See `read_summary`; of a frame that was read."""
    if per_seed:
        return summary[summary["seed"].notna()].astype({"seed": "int64"}).reset_index(drop=True)
    return summary[summary["seed"].isna()].reset_index(drop=True)


def table_frame(summary: pd.DataFrame, order: Sequence[str] = (), *, formatted: bool = False) -> pd.DataFrame:
    """The table of a paper: a row for each system, a column for each metric; with several data sets or
    protocols the columns have levels for these.

    Args:
        summary: `read_summary`'s, over all seeds.
        order: systems that come first, in this order.
        formatted: texts as reports show them ("298.1 ± 5.3"), a dash where there is no value.
    """
    frame = summary.assign(_cell=summary["value"])
    if formatted:
        values = zip(*(summary[name] for name in ("value", "standard_error")), strict=True)
        frame["_cell"] = [_text(value, error) for value, error in values]
    levels = [name for name in _PLACE if frame[name].nunique(dropna=True) > 1]
    frame = frame.fillna(dict.fromkeys(_PLACE, ""))
    metrics = list(dict.fromkeys(frame["metric"]))
    table = frame.pivot(index="method", columns=[*levels, "metric"] if levels else "metric", values="_cell")
    columns = sorted(
        table.columns, key=lambda c: (*c[:-1], metrics.index(c[-1])) if levels else (metrics.index(c),)
    )
    names = [*(name for name in order if name in table.index), *(n for n in table.index if n not in order)]
    return table.loc[names, columns]


def values_of(summary: pd.DataFrame, metric: str) -> Any:
    """The value of a metric: a number where there is one system, data set and protocol; else a Series by
    system, and by data set and protocol where there are several of these.

    Args:
        summary: `read_summary`'s, over all seeds.

    Raises:
        UnknownMetricError: no such metric; the nearest one is the hint. A `KeyError`, too.
    """
    rows = summary[summary["metric"] == metric]
    if not len(rows):
        raise UnknownMetricError.of(metric, list(dict.fromkeys(summary["metric"])))
    levels = [name for name in _PLACE if rows[name].nunique(dropna=True) > 1]
    if rows["method"].nunique() > 1:
        levels.insert(0, "method")
    if not levels:
        return float(rows["value"].iloc[0])
    return rows.set_index(levels)["value"].rename(metric)


class UnknownMetricError(UnknownNameError, KeyError):
    """Results have no metric of that name."""

    @classmethod
    def of(cls, name: str, known: Sequence[str]) -> UnknownMetricError:
        """With the metrics that there are, and the nearest one."""
        error = unknown_name("metric", name, known)
        return cls(error.message, error.hint)

    __str__ = UnknownNameError.__str__


def with_arrows(frame: pd.DataFrame, summary: pd.DataFrame) -> pd.DataFrame:
    """`table_frame`'s table with its metrics as tables head them: "FVD ↓"."""
    heads = {}
    for row in summary.to_dict("records"):
        arrow = {True: " ↑", False: " ↓"}.get(row["higher_is_better"], "")
        heads[row["metric"]] = f"{row['label'] or row['metric']}{arrow}"
    level = "metric" if frame.columns.nlevels > 1 else None
    return frame.rename(columns=heads, level=level)


def facts_of(summary: pd.DataFrame) -> list[str]:
    """What has to stand below a table: protocols, how many clips, and the notes on its values.

    Args:
        summary: `read_summary`'s, over all seeds.
    """
    measured = summary[summary["level"] != "cost"]
    protocols = [text for text in dict.fromkeys(measured["protocol"]) if text]
    counts = sorted({int(n) for n in measured["n"].dropna()})
    span = "" if not counts else str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    notes: dict[str, list[str]] = {}
    for label, text in zip(measured["label"], measured["notes"], strict=True):
        for note in (text or "").split("\n"):
            notes.setdefault(note, []).append(label)
    return [
        f"Protocol: {', '.join(protocols)}. N: {span or 'none'} clips.",
        *(f"{', '.join(dict.fromkeys(labels))}: {note}" for note, labels in notes.items() if note),
    ]


def frame_html(frame: pd.DataFrame, notes: Sequence[str] = ()) -> str:
    """A frame as HTML for notebooks: escaped, in the colours of whatever is around it.

    Args:
        notes: lines below it.
    """
    from html import escape

    table = re.sub(r' (?:border|style)="[^"]*"', "", frame.to_html(escape=True, na_rep="–", justify="right"))
    lines = "".join(f'<div style="font-size:smaller;opacity:.8">{escape(note)}</div>' for note in notes)
    return f'<div style="overflow-x:auto;color:inherit;background:transparent">{table}{lines}</div>'


def _text(value: float | None, error: float | None) -> str:
    import pandas as pd

    if value is None or pd.isna(value):
        return "–"
    return format_measurement(value, None if error is None or pd.isna(error) else error)
