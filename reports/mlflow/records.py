"""What a run is to MLflow: a parent and one child for each method and data set, as plain data.

The identity of a record is a digest of its content, so equal results are the same record and new
results are a new one: MLflow cannot change a value that it has, it can only add to its history.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...core.errors import StoreError
from ...core.hashing import digest
from ...core.tables import read_table
from ..tables.comparison import all_seeds_rows, by_protocol, load_method_order
from ..tables.measurement import is_value
from ..tables.notes import missing_reason

CONTENT_TAG = "reelbench.content_key"
COMPLETE_TAG = "reelbench.artifacts"
"""Set last, to a digest of the artifacts: a run that carries it is logged to its end."""

_MAX_PARAMETER, _MAX_TAG = 6000, 5000
_NOT_IN_NAME = re.compile(r"[^A-Za-z0-9_\-./: ]")
_NUMBERS = ("standard_error", "low", "high", "n", "num_sources", "n_reference", "coverage", "num_failures")


@dataclass(frozen=True)
class Record:
    """One MLflow run.

    Attributes:
        key: digest of the content.
        name: what the page calls it.
        params, metrics, tags: as MLflow takes them.
        method, dataset, split: of a child; empty for the parent.
    """

    key: str
    name: str
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    method: str = ""
    dataset: str = ""
    split: str = ""


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
    runs = read_table(tables_folder, "runs").to_pylist()
    if len(runs) != 1:
        raise StoreError(
            f"{tables_folder / 'runs.parquet'} has {len(runs)} rows, expected one",
            "run `reelbench run` again: the tables are rebuilt from the store",
        )
    run = runs[0]
    summary = read_table(tables_folder, "summary").to_pylist()
    comparisons = read_table(tables_folder, "comparisons").to_pylist()
    order = load_method_order(tables_folder)
    cells = _cells(all_seeds_rows(summary))
    children = tuple(
        _child(rows, run)
        for _, rows in sorted(
            cells.items(), key=lambda cell: (cell[0][:2], _place(cell[0][2], order), cell[0])
        )
    )
    content = {
        "run": run["run"],
        "run_key": run["run_key"],
        "children": [child.key for child in children],
        "comparisons": [_plain(row) for row in comparisons],
        "num_clips": run["num_clips"],
        "num_failures": run["num_failures"],
    }
    return RunRecords(_parent(run, digest(content)), children)


def _cells(rows: Iterable[Mapping[str, Any]]) -> dict[tuple[str, ...], list[Mapping[str, Any]]]:
    """Summary rows by (data set, split, method, conditioning, protocol digest)."""
    cells: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for (dataset, split, _, protocol_digest), part in by_protocol(rows).items():
        for row in part:
            key = (dataset, split, row["method"] or "", row["conditioning"] or "", protocol_digest)
            cells.setdefault(key, []).append(row)
    return cells


def _place(method: str, order: tuple[str, ...]) -> int:
    return order.index(method) if method in order else len(order)


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row that has a digest: NaN and infinities as text."""
    return {
        name: str(value) if isinstance(value, float) and not is_value(value) else value
        for name, value in row.items()
    }


def _child(rows: list[Mapping[str, Any]], run: Mapping[str, Any]) -> Record:
    # The protocol is that of the measured rows; rows of cost may have none.
    first = min(rows, key=lambda row: (row["level"] == "cost", row["metric"]))
    metrics: dict[str, float] = {}
    tags = {"reelbench.kind": "method"}
    for row in rows:
        name = metric_name(row["metric"])
        if not is_value(row["value"]):
            tags[f"undefined.{name}"] = missing_reason(row)[:_MAX_TAG]
            continue
        metrics[name] = float(row["value"])
        metrics |= {
            f"{name}.{column}": float(row[column])
            for column in _NUMBERS
            if row[column] is not None and is_value(float(row[column]))
        }
    params = {
        column: str(first[column])
        for column in (
            "method", "method_name", "method_version", "dataset", "split", "conditioning", "protocol",
            "protocol_digest", "num_seeds", "hardware",
        )
        if first[column] is not None
    }  # fmt: skip
    params |= _config_params(first["method_config"])
    key = digest({"run_key": run["run_key"], "rows": [_plain(row) for row in rows]})
    name = " · ".join(part for part in (first["method"], first["dataset"], first["split"]) if part)
    return Record(
        key,
        name,
        _cut(params),
        metrics,
        tags,
        first["method"] or "",
        first["dataset"] or "",
        first["split"] or "",
    )


def _parent(run: Mapping[str, Any], key: str) -> Record:
    params = {
        column: str(run[column])
        for column in ("run", "run_key", "protocol", "protocol_digest", "reelbench_version", "hardware")
        if run[column] is not None
    }
    for column in ("weights", "library_versions"):
        params |= {f"{column}.{name}": str(value) for name, value in _object(run[column]).items()}
    metrics = {name: float(run[name]) for name in ("num_clips", "num_failures") if run[name] is not None}
    tags = {"reelbench.kind": "benchmark", "reelbench.run_key": run["run_key"] or ""}
    return Record(key, run["run"] or "benchmark", _cut(params), metrics, tags)


def metric_name(name: str) -> str:
    """`name` with what MLflow refuses in names replaced."""
    return _NOT_IN_NAME.sub("_", name)


def _config_params(config: str | None, prefix: str = "config") -> dict[str, str]:
    """A configuration as flat parameters: `config.scheduler.name`."""
    params: dict[str, str] = {}

    def walk(name: str, value: Any) -> None:
        if isinstance(value, dict) and value:
            for key, item in value.items():
                walk(f"{name}.{key}", item)
        else:
            params[name] = value if isinstance(value, str) else json.dumps(value)

    for key, item in _object(config).items():
        walk(f"{prefix}.{key}", item)
    return params


def _object(text: str | None) -> dict[str, Any]:
    value = json.loads(text or "{}")
    return value if isinstance(value, dict) else {}


def _cut(params: Mapping[str, str]) -> dict[str, str]:
    """Parameters within MLflow's limits; whole ones are in the tables."""
    return {
        metric_name(name)[:250]: value if len(value) <= _MAX_PARAMETER else value[: _MAX_PARAMETER - 1] + "…"
        for name, value in params.items()
    }
