"""What a run is to MLflow: a parent and one child for each method and data set, as plain data.

Its identity is a digest of its content, as MLflow cannot change a value that it has: new results, new record.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...core.errors import StoreError
from ...core.hashing import digest
from ...core.redaction import without_machine
from ..tables.build import why_missing
from ..tables.measurement import is_value
from ..tables.run_tables import Row, RunTables, by_protocol, flat_settings, json_object, order_key
from .store import MAX_PARAMETER, MAX_TAG, mlflow_name

CONTENT_TAG = "reelbench.content_key"
COMPLETE_TAG = "reelbench.artifacts"
"""Set last, to a digest of the artifacts: a run that carries it is logged to its end."""

_NUMBERS = (
    "standard_error",
    "low",
    "high",
    "bias_corrected",
    "n",
    "num_sources",
    "n_reference",
    "coverage",
    "num_failures",
)


@dataclass(frozen=True)
class Record:
    """One MLflow run.

    Attributes:
        key: digest of the content.
        name: what the page calls it.
        params, metrics, tags: as MLflow takes them.
        method, dataset, split: of a child; empty for the parent.
        has_failures: whether a part of it failed.
    """

    key: str
    name: str
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    method: str = ""
    dataset: str = ""
    split: str = ""
    has_failures: bool = False


@dataclass(frozen=True)
class RunRecords:
    """The parent, and its children in the order of the table."""

    parent: Record
    children: tuple[Record, ...]


def load_run_records(tables_folder: Path) -> RunRecords:
    """The records of the run whose Parquet tables lie in `tables_folder`.

    Raises:
        StoreError: a table is missing, or `runs` has not exactly one row.
    """
    tables = RunTables(tables_folder)
    runs = tables.rows("runs")
    if len(runs) != 1:
        raise StoreError(
            f"{tables_folder / 'runs.parquet'} has {len(runs)} rows, expected one",
            "run `reelbench run` again: the tables are rebuilt from the store",
        )
    run = runs[0]
    comparisons = tables.rows("comparisons")
    cells = sorted(
        _cells(tables.summary).items(),
        key=lambda cell: (cell[0][:2], order_key(cell[0][2], tables.method_order), cell[0]),
    )
    children = tuple(_child(rows, run) for _, rows in cells)
    content = {
        "run": run["run"],
        "run_key": run["run_key"],
        "children": [child.key for child in children],
        "comparisons": [_plain(row) for row in comparisons],
        "num_clips": run["num_clips"],
        "num_failures": run["num_failures"],
    }
    return RunRecords(_parent(run, digest(content)), children)


def _cells(rows: Iterable[Row]) -> dict[tuple[str, ...], list[Row]]:
    """Summary rows by (data set, split, method, conditioning, protocol digest)."""
    cells: dict[tuple[str, ...], list[Row]] = {}
    for (dataset, split, _, protocol_digest), part in by_protocol(rows).items():
        for row in part:
            key = (dataset, split, row["method"] or "", row["conditioning"] or "", protocol_digest)
            cells.setdefault(key, []).append(row)
    return cells


def _plain(row: Row) -> dict[str, Any]:
    """A row that has a digest: NaN and infinities as text."""
    return {
        name: str(value) if isinstance(value, float) and not is_value(value) else value
        for name, value in row.items()
    }


def _child(rows: list[Row], run: Row) -> Record:
    # The protocol is that of the measured rows; rows of cost may have none.
    first = min(rows, key=lambda row: (row["level"] == "cost", row["metric"]))
    metrics: dict[str, float] = {}
    tags = {"reelbench.kind": "method"}
    for row in rows:
        name = mlflow_name(without_machine(row["metric"]))
        if not is_value(row["value"]):
            tags[f"undefined.{name}"] = without_machine(why_missing(row))[:MAX_TAG]
            continue
        metrics[name] = float(row["value"])
        if row.get("references"):
            tags[f"references.{name}"] = row["references"]
        metrics |= {f"{name}.{column}": float(row[column]) for column in _NUMBERS if is_value(row[column])}
    params = {
        column: str(first[column])
        for column in (
            "method", "method_name", "method_version", "dataset", "split", "conditioning", "protocol",
            "protocol_digest", "num_seeds", "hardware",
        )
        if first[column] is not None
    }  # fmt: skip
    params |= {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in flat_settings(json_object(first["method_config"]), "config.").items()
    }
    key = digest({"run_key": run["run_key"], "rows": [_plain(row) for row in rows]})
    place_of = [first[column] or "" for column in ("method", "dataset", "split")]
    has_failures = any(row["num_failures"] for row in rows)
    name = " · ".join(filter(None, place_of))
    method, dataset, split = place_of
    return Record(key, name, _cut(params), metrics, tags, method, dataset, split, has_failures)


def _parent(run: Row, key: str) -> Record:
    params = {
        column: str(run[column])
        for column in ("run", "run_key", "protocol", "protocol_digest", "reelbench_version", "hardware")
        if run[column] is not None
    }
    for column in ("weights", "library_versions"):
        params |= {f"{column}.{name}": str(value) for name, value in json_object(run[column]).items()}
    metrics = {name: float(run[name]) for name in ("num_clips", "num_failures") if run[name] is not None}
    tags = {"reelbench.kind": "benchmark", "reelbench.run_key": run["run_key"] or ""}
    name, has_failures = run["run"] or "benchmark", bool(run["num_failures"])
    return Record(key, name, _cut(params), metrics, tags, has_failures=has_failures)


def _cut(params: Mapping[str, str]) -> dict[str, str]:
    """Parameters within MLflow's limits, and without places of this machine; whole ones are in the tables."""
    clean = {mlflow_name(without_machine(name)): without_machine(value) for name, value in params.items()}
    return {
        name: value if len(value) <= MAX_PARAMETER else value[: MAX_PARAMETER - 1] + "…"
        for name, value in clean.items()
    }
