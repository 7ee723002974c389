"""A table as data: one row a value, for CSV and Parquet, and the whole structure as JSON.

Values are as measured or published, without the table's scale and digits.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from ....core.redaction import fit_to_leave
from ...published import PublishedFigures
from ...tables.measurement import finite
from ..paper_table import PaperCell, PaperColumn, PaperRow, PaperTable, TablePart

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""What makes a spreadsheet take a text for a formula."""

_COLUMNS: dict[str, pa.DataType] = {
    "table": pa.string(),
    "part": pa.string(),
    "group": pa.string(),
    "run": pa.string(),
    "method": pa.string(),
    "method_name": pa.string(),
    "saw": pa.string(),
    "settings": pa.string(),
    "column": pa.string(),
    "metric": pa.string(),
    "dataset": pa.string(),
    "split": pa.string(),
    "protocol": pa.string(),
    "protocol_digest": pa.string(),
    "value": pa.float64(),
    "standard_error": pa.float64(),
    "low": pa.float64(),
    "high": pa.float64(),
    "bias_corrected": pa.float64(),
    "n": pa.int64(),
    "n_reference": pa.int64(),
    "num_seeds": pa.int64(),
    "coverage": pa.float64(),
    "unit": pa.string(),
    "higher_is_better": pa.bool_(),
    "hardware": pa.string(),
    "rank": pa.string(),
    "stars": pa.string(),
    "notes": pa.string(),
    "published_mark": pa.string(),
    "published_scale": pa.float64(),
    "source": pa.string(),
    "source_place": pa.string(),
    "published_how": pa.string(),
}
"""Columns of the tidy form, the same for every table."""

_OF_THE_ROW = (
    "split",
    "protocol",
    "protocol_digest",
    "standard_error",
    "low",
    "high",
    "bias_corrected",
    "n",
    "n_reference",
    "num_seeds",
    "coverage",
    "unit",
)


def tidy_rows(table: PaperTable, figures: PublishedFigures) -> list[dict[str, Any]]:
    """A row for each measured value and each published figure; cells without either say why."""
    rows = []
    for part in table.parts:
        for group in part.groups:
            for row in group.rows:
                for column, cell in zip(table.columns, row.cells, strict=True):
                    named = _named(table, part, group.heading, row, column)
                    found = list(_values(table, column, cell, figures))
                    rows += [{**dict.fromkeys(_COLUMNS), **named, **values} for values in found]
    return rows


def table_csv(table: PaperTable, figures: PublishedFigures) -> str:
    """The tidy rows as CSV under one header. A text that a spreadsheet would take for a formula has an
    apostrophe before it."""
    out = io.StringIO()
    writer = csv.DictWriter(out, list(_COLUMNS), lineterminator="\n")
    writer.writeheader()
    for row in tidy_rows(table, figures):
        writer.writerow({name: _safe(value) for name, value in row.items()})
    return out.getvalue()


def table_parquet(table: PaperTable, figures: PublishedFigures) -> bytes:
    """The tidy rows as a Parquet file, with the command and the legend in its metadata."""
    import pyarrow.parquet as pq

    rows = tidy_rows(table, figures)
    columns = {name: pa.array([row[name] for row in rows], kind) for name, kind in _COLUMNS.items()}
    about = {
        "reelbench.table": table.name,
        "reelbench.command": table.command,
        "reelbench.legend": table.legend,
    }
    out = pa.BufferOutputStream()
    pq.write_table(pa.table(columns).replace_schema_metadata(about), out, compression="zstd")
    return bytes(out.getvalue())


def table_json(table: PaperTable, figures: PublishedFigures) -> str:
    """The whole structure: as it is printed, with the numbers behind."""
    data = {
        "name": table.name,
        "title": table.title,
        "caption": table.caption,
        "command": table.command,
        "runs": dict(table.runs),
        "settings": list(table.settings),
        "columns": [
            {
                "label": column.label,
                "heading": table.cost_heading if column.is_cost else column.heading,
                "is_cost": column.is_cost,
                "higher_is_better": column.higher_is_better,
                "scale": column.scale,
                "metric": column.metric,
                "dataset": column.dataset,
                "footnotes": list(column.marks),
            }
            for column in table.columns
        ],
        "parts": [
            {
                "title": part.title,
                "is_published": part.is_published,
                "groups": [
                    {"heading": group.heading, "rows": [_row(table, row, figures) for row in group.rows]}
                    for group in part.groups
                ],
            }
            for part in table.parts
        ],
        "legend": table.legend,
        "short_notes": [text for _, text in table.short_notes],
        "facts": [{"name": name, "text": text} for name, text in table.facts],
        "footnotes": list(table.footnotes),
        "sources": {key: figures.sources[key].model_dump(mode="json") for key in table.sources},
    }
    return json.dumps(data, ensure_ascii=False, indent=1) + "\n"


def _row(table: PaperTable, row: PaperRow, figures: PublishedFigures) -> dict[str, Any]:
    return {
        "method": row.label,
        "method_name": row.method,
        "run": row.run,
        "saw": row.saw,
        "n": row.n,
        "settings": dict(zip(table.settings, row.settings, strict=True)),
        "cells": [
            {
                "text": cell.text,
                "error": cell.error,
                "corrected": cell.corrected,
                "footnotes": list(cell.marks),
                "values": [
                    {name: value for name, value in values.items() if value is not None}
                    for values in _values(table, column, cell, figures)
                ],
            }
            for column, cell in zip(table.columns, row.cells, strict=True)
        ],
    }


def _named(
    table: PaperTable, part: TablePart, group: str, row: PaperRow, column: PaperColumn
) -> dict[str, Any]:
    settings = dict(zip(table.settings, row.settings, strict=True))
    return {
        "table": table.name,
        "part": part.title,
        "group": group,
        "run": row.run,
        "method": row.label,
        "method_name": row.method,
        "saw": row.saw,
        "settings": json.dumps(settings, ensure_ascii=False) if settings else "",
        "column": column.label,
        "metric": column.metric,
        "dataset": column.dataset,
        "higher_is_better": column.higher_is_better,
    }


def _values(
    table: PaperTable, column: PaperColumn, cell: PaperCell, figures: PublishedFigures
) -> Iterator[dict[str, Any]]:
    """What a cell holds: a measured value, or published figures; without either, why."""
    notes = "\n".join(table.footnotes[mark - 1] for mark in cell.marks)
    for figure in cell.figures:
        yield {
            "value": figure.value,
            "published_mark": figure.mark,
            "published_scale": figure.scale,
            "source": f"{figure.source}: {figures.sources[figure.source]}",
            "source_place": figure.at,
            "published_how": figure.how,
            "hardware": figure.device or None,
            "notes": figure.note or None,
        }
    if cell.figures:
        return
    of_row: dict[str, Any] = {}
    if cell.row is not None:
        of_row = {name: cell.row.get(name) for name in _OF_THE_ROW}
        of_row = {n: finite(value) if isinstance(value, float) else value for n, value in of_row.items()}
        of_row["hardware"] = (
            fit_to_leave(cell.row["hardware"]) if column.is_cost and cell.row["hardware"] else None
        )
    yield {
        **of_row,
        "value": finite(cell.value),
        "rank": cell.rank or None,
        "stars": cell.stars or None,
        "notes": notes or None,
    }


def _safe(value: Any) -> Any:
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value
