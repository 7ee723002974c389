"""What a run is to MLflow: a parent and one child for each method and data set, as plain data.

A child's metrics are the table's values and their standard errors, no more, so that its columns compare at
once; intervals, N and coverage are in its artifact `summary.json`. The parent has the values of all its
children for a look over several nights, and the differences of the paired tests.

A run's identity is a digest of its content, as MLflow cannot change a value that it has: new results, new
record.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...core.errors import StoreError
from ...core.hashing import digest
from ...core.redaction import fit_to_leave, without_machine
from ...core.run_folders import started_at
from ...core.run_record import RunRecord, read_record
from ..tables.build import span, why_missing
from ..tables.measurement import is_value
from ..tables.run_tables import (
    Key,
    Row,
    RunTables,
    by_protocol,
    flat_settings,
    json_object,
    order_key,
    protocol_key,
    protocol_text,
)
from .inputs import DataInput, data_inputs
from .names import CURVE, DIFFERENCE, P_HOLM, SE, MetricNames, mlflow_part, place_names
from .store import MAX_PARAMETER, MAX_TAG, mlflow_name

CONTENT_TAG = "reelbench.content_key"
COMPLETE_TAG = "reelbench.artifacts"
"""Set last, to a digest of the artifacts: a run that carries it is logged to its end."""

LAYOUT = 2
"""Of what is logged; it is part of the content, so what is logged otherwise than before is logged anew."""

MAX_COMPARISONS, MAX_VALUES = 200, 400
"""How many differences and values become metrics of the parent; all are in its tables."""

Value = tuple[str, float, int]
"""A metric's name, value and step."""


@dataclass(frozen=True)
class Record:
    """One MLflow run.

    Attributes:
        key: digest of the content.
        earlier_key: what an earlier version logged the same results under.
        name: what the page calls it.
        params, tags: as MLflow takes them.
        metrics: the values; those of curves have their N as step.
        inputs: the data sets.
        rows: of the summary, of a child.
        method, dataset, split: of a child; empty for the parent.
        work_s: seconds that tuning and sampling its clips took; None where they are not recorded.
        has_failures: whether a part of it failed.
    """

    key: str
    earlier_key: str
    name: str
    params: Mapping[str, str]
    metrics: Sequence[Value]
    tags: Mapping[str, str]
    inputs: Sequence[DataInput] = ()
    rows: Sequence[Row] = ()
    method: str = ""
    dataset: str = ""
    split: str = ""
    work_s: float | None = None
    has_failures: bool = False


@dataclass(frozen=True)
class RunRecords:
    """The parent, and its children in the order of the table."""

    parent: Record
    children: tuple[Record, ...]
    names: MetricNames
    places: Mapping[Key, str]


class _Run:
    """The tables of a run, and what they give for its records."""

    def __init__(self, tables: RunTables, row: Row, folder: Path) -> None:
        self.tables, self.row = tables, row
        self.parts = by_protocol(tables.summary)
        self.names = MetricNames(tables.summary)
        self.places = place_names(self.parts)
        self.inputs = data_inputs(rows_if_there(tables, "clips"), json_object(row["run_file"]))
        self.record = read_record(folder) or RunRecord()
        self.started = started_at(folder)
        self.id = folder.name if self.started else ""
        self.source = "reelbench evaluate" if (folder / "inputs.json").exists() else "reelbench run"
        self.weights = {
            fit_to_leave(place): str(value) for place, value in json_object(row["weights"]).items()
        }
        self.work = _work(rows_if_there(tables, "clips"))
        self.curves: dict[tuple[Key, str], list[Row]] = {}
        for curve in rows_if_there(tables, "curves"):
            self.curves.setdefault((protocol_key(curve), curve["method"] or ""), []).append(curve)


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
    run = _Run(tables, runs[0], tables_folder.parent)
    cells = sorted(
        _cells(run.parts).items(),
        key=lambda cell: (cell[0][:2], order_key(cell[0][2], tables.method_order), cell[0][3], cell[0][5]),
    )
    children = tuple(_child(rows, key, run) for key, rows in cells)
    return RunRecords(_parent(run, children), children, run.names, run.places)


def rows_if_there(tables: RunTables, name: str) -> list[Row]:
    """The rows of a table; none where the run was recorded without it."""
    if tables.folder is not None and not (tables.folder / f"{name}.parquet").exists():
        return []
    return tables.rows(name)


def _cells(parts: Mapping[Key, Iterable[Row]]) -> dict[tuple[str, ...], list[Row]]:
    """Summary rows by (data set, split, method, conditioning, protocol, its digest)."""
    cells: dict[tuple[str, ...], list[Row]] = {}
    for (dataset, split, protocol, protocol_digest), part in parts.items():
        for row in part:
            key = (dataset, split, row["method"] or "", row["conditioning"] or "", protocol, protocol_digest)
            cells.setdefault(key, []).append(row)
    return cells


def _work(clips: Iterable[Row]) -> dict[tuple[str, str, str], float]:
    """Seconds of tuning and sampling by (data set, split, method), of cells whose every clip has recorded
    them; a tuning that several clips share counts once."""
    seconds: dict[tuple[str, str, str], float] = {}
    unknown, tunings = set(), set()
    for row in clips:
        if row["side"] != "generated" or row["status"] != "done":
            continue
        cell = (row["dataset"], row["split"] or "", row["method"] or "")
        if row["sampling_s"] is None:
            unknown.add(cell)
            continue
        seconds[cell] = seconds.get(cell, 0.0) + row["sampling_s"]
        if row["tuning_s"] is not None and (*cell, row["tune_key"]) not in tunings:
            tunings.add((*cell, row["tune_key"]))
            seconds[cell] += row["tuning_s"]
    return {cell: found for cell, found in seconds.items() if cell not in unknown}


def _plain(row: Row) -> dict[str, Any]:
    """A row that has a digest: NaN and infinities as text."""
    return {
        name: str(value) if isinstance(value, float) and not is_value(value) else value
        for name, value in row.items()
    }


def _child(rows: list[Row], cell: tuple[str, ...], run: _Run) -> Record:
    dataset, split, method, conditioning, protocol, protocol_digest = cell
    key: Key = (dataset, split, protocol, protocol_digest)
    # The protocol is that of the measured rows; rows of cost may have none.
    first = min(rows, key=lambda row: (row["level"] == "cost", row["metric"]))
    metrics: list[Value] = []
    tags = {"reelbench.kind": "method", **_common_tags(run)}
    tags |= {"reelbench.protocol": protocol, "reelbench.protocol_digest": protocol_digest}
    for row in rows:
        name = run.names.of_row(row)
        if row["signature"]:
            tags[f"signature.{name}"] = row["signature"]
        if not is_value(row["value"]):
            tags[f"undefined.{name}"] = why_missing(row)
            continue
        metrics.append((name, float(row["value"]), 0))
        if is_value(row["standard_error"]):
            metrics.append((name + SE, float(row["standard_error"]), 0))
        if row.get("references"):
            tags[f"references.{name}"] = row["references"]
    curves = run.curves.get((key, method), [])
    metrics += _curve_values(curves, run.names)
    tags |= {
        f"weights.{place.removeprefix(f'{method}:')}": value
        for place, value in run.weights.items()
        if place.startswith(f"{method}:") or not _is_of_a_method(place, run)
    }
    measured = [row for row in rows if row["level"] != "cost"] or rows
    params = {
        "method": method,
        "dataset": dataset,
        "split": split,
        "saw": conditioning,
        "protocol": protocol_text(protocol, protocol_digest),
        "n": span(row["n"] for row in measured if row["n"] is not None),
        "n_reference": span(row["n_reference"] for row in rows if row["n_reference"] is not None),
        "coverage": " to ".join(
            dict.fromkeys(f"{end(_coverages(measured)):.4g}" for end in (min, max) if _coverages(measured))
        ),
        "seeds": str(first["num_seeds"]),
        "version": f"{first['method_name']} {first['method_version']}",
        "hardware": first["hardware"] or "",
        **_settings(first["method_config"]),
    }
    earlier = digest({"run_key": run.row["run_key"], "rows": [_plain(row) for row in rows]})
    content = {"layout": LAYOUT, "results": earlier, "curves": [_plain(row) for row in curves]}
    several = len({other for other in run.parts if other[:2] == (dataset, split)}) > 1
    name_parts = [method, dataset, split, protocol if several else ""]
    inputs = run.inputs.get((dataset, split))
    return Record(
        key=digest(content),
        earlier_key=earlier,
        name=fit_to_leave(" · ".join(filter(None, name_parts))),
        params=_cut(params, MAX_PARAMETER),
        metrics=metrics,
        tags=_cut(tags, MAX_TAG),
        inputs=[] if inputs is None else [inputs],
        rows=rows,
        method=method,
        dataset=dataset,
        split=split,
        work_s=run.work.get((dataset, split, method)),
        has_failures=any(row["num_failures"] for row in measured),
    )


def _curve_values(rows: Iterable[Row], names: MetricNames) -> list[Value]:
    """The value at each N, the mean over seeds: MLflow keeps one line for each metric."""
    found: dict[tuple[str, int], list[float]] = {}
    for row in rows:
        if is_value(row["value"]):
            found.setdefault((f"{CURVE}/{names.of(row['metric'])}", row["n"]), []).append(row["value"])
    return [(name, sum(values) / len(values), n) for (name, n), values in sorted(found.items())]


def _parent(run: _Run, children: Sequence[Record]) -> Record:
    row = run.row
    comparisons = rows_if_there(run.tables, "comparisons")
    values = [
        (
            f"{run.places[key]}/{run.names.of_row(value)}/{mlflow_part(value['method'] or '')}",
            value["value"],
            0,
        )
        for key, part in run.parts.items()
        for value in part
        if is_value(value["value"])
    ]
    differences = _differences(comparisons[:MAX_COMPARISONS], run)
    counts = [("clips", row["num_clips"]), ("failures", row["num_failures"])]
    metrics = [(name, float(count), 0) for name, count in counts if count is not None]
    tags = {"reelbench.kind": "benchmark", **_common_tags(run)}
    tags |= {f"weights.{place}": value for place, value in run.weights.items()}
    libraries = json_object(row["library_versions"])
    tags |= {f"library.{name}": str(value) for name, value in libraries.items()}
    for what, found, most in (
        ("differences", len(comparisons), MAX_COMPARISONS),
        ("values", len(values), MAX_VALUES),
    ):
        if found > most:
            tags[f"reelbench.{what}"] = f"the first {most} of {found}; all are in the artifacts, in tables/"
    params = {
        "run": row["run"] or "",
        "protocol": row["protocol"] or "",
        "datasets": ", ".join(dict.fromkeys(child.dataset for child in children)),
        "methods": ", ".join(dict.fromkeys(child.method for child in children)),
        "n": span(
            int(part) for child in children for part in child.params.get("n", "").split(" to ") if part
        ),
        "reelbench": row["reelbench_version"] or "",
        "hardware": row["hardware"] or "",
    }
    earlier = digest(
        {
            "run": row["run"],
            "run_key": row["run_key"],
            "children": [child.earlier_key for child in children],
            "comparisons": [_plain(comparison) for comparison in comparisons],
            "num_clips": row["num_clips"],
            "num_failures": row["num_failures"],
        }
    )
    name = row["run"] or "benchmark"
    if run.started is not None:
        name += f" {run.started:%Y-%m-%d %H:%M} UTC"
    return Record(
        key=digest({"layout": LAYOUT, "results": earlier, "children": [child.key for child in children]}),
        earlier_key=earlier,
        name=fit_to_leave(name),
        params=_cut(params, MAX_PARAMETER),
        metrics=[*metrics, *_first_of_a_name([*values[:MAX_VALUES], *differences])],
        tags=_cut(tags, MAX_TAG),
        inputs=list(run.inputs.values()),
        has_failures=bool(row["num_failures"]),
    )


def _differences(rows: Iterable[Row], run: _Run) -> list[Value]:
    found: list[Value] = []
    for row in rows:
        place = run.places.get(protocol_key(row)) or mlflow_part(row["dataset"] or "all")
        pair = f"{mlflow_part(row['method_a'])} - {mlflow_part(row['method_b'])}"
        for what, column in ((DIFFERENCE, "difference"), (P_HOLM, "p_holm")):
            if is_value(row[column]):
                found.append((f"{what}/{place}/{run.names.of(row['metric'])}/{pair}", float(row[column]), 0))
    return found


def _first_of_a_name(values: Iterable[Value]) -> list[Value]:
    """MLflow would join two of a name, as of cut names, to one line."""
    found: dict[str, Value] = {}
    for name, value, step in values:
        found.setdefault(mlflow_name(name), (mlflow_name(name), float(value), step))
    return list(found.values())


def _common_tags(run: _Run) -> dict[str, str]:
    """Which results these are, and the code that made them."""
    version, _, commit = run.record.reelbench.partition(" ")
    return {
        "reelbench.run_key": run.row["run_key"] or "",
        "reelbench.results": run.id,
        "reelbench.version": run.row["reelbench_version"] or version,
        "reelbench.run_file_commit": run.record.run_file,
        "reelbench.uncommitted_changes": "yes" if commit.endswith("+changes") else "",
        "mlflow.source.name": f"{run.source} {run.row['run'] or ''}".strip(),
        "mlflow.source.type": "LOCAL",
        "mlflow.source.git.commit": commit.removesuffix("+changes"),
    }


def _is_of_a_method(place: str, run: _Run) -> bool:
    return any(place.startswith(f"{method}:") for method in run.tables.method_order)


def _coverages(rows: Iterable[Row]) -> list[float]:
    return [row["coverage"] for row in rows if is_value(row["coverage"])]


def _settings(config: str | None) -> dict[str, str]:
    return {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in flat_settings(json_object(config), "settings.").items()
    }


def _cut(texts: Mapping[str, str], longest: int) -> dict[str, str]:
    """Parameters or tags within MLflow's limits, without places of this machine and without empty ones; whole
    ones are in the tables."""
    clean = {
        mlflow_name(without_machine(name)): without_machine(text) for name, text in texts.items() if text
    }
    return {name: text if len(text) <= longest else text[: longest - 1] + "…" for name, text in clean.items()}
