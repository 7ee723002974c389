"""Recorded tables: what a benchmark measured, small enough to be committed, without the machine it ran on.

Four of a run's tables in their own schema, so that all that reads a run's tables reads these, with null where
a column says where and how fast something was made. README's table is made from them (`readme_table`), and a
small run of the same clips is held against them (`reproduction`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ...core.atomic_write import atomic_path
from ...core.errors import StoreError
from ...core.hashing import canonical_json
from ...core.tables import PROVENANCE_COLUMNS, SCHEMAS, read_table, to_table

RECORDED_TABLES = ("runs", "summary", "scores", "comparisons")

_DROPPED = frozenset({*PROVENANCE_COLUMNS, "score_key", "run_key", "weights", "error_message"})
"""Columns that are null in recorded tables: what differs between machines, and keys of a store that nobody
else has. The contents of weights are in the signatures. Messages of failures name files."""

_FOLDERS = re.compile(r"(?<![\w.~/-])~?/(?:[^\s/\"'][^/\"'\n]*/)+")
"""The folders of an absolute path."""


def record_tables(tables_folder: Path, out_folder: Path) -> tuple[Path, ...]:
    """Write the tables of a run that are worth keeping to `out_folder`, for the repository.

    Costs that depend on the machine (seconds, memory) are left out, and so are paths: of a path in a method's
    configuration its last part remains. Scores are rounded to single precision. 12 methods of 256 clips under
    8 metrics take less than 200 KB.

    Args:
        tables_folder: the Parquet tables of the run.
        out_folder: made where it is not there; files in it are replaced.

    Returns:
        the files.

    Raises:
        StoreError: a table is missing or cannot be read.
    """
    written = []
    for name in RECORDED_TABLES:
        rows = read_table(tables_folder, name).to_pylist()
        kept = [_kept(name, row) for row in rows if row.get("metric") not in PROVENANCE_COLUMNS]
        written.append(_write(out_folder / f"{name}.parquet", to_table(name, kept)))
    return tuple(written)


def read_recorded(folder: Path, name: str) -> list[dict[str, Any]]:
    """The rows of a recorded table.

    Raises:
        StoreError: it is not there or cannot be read.
    """
    if not (folder / f"{name}.parquet").is_file():
        raise StoreError(
            f"no recorded table {folder / f'{name}.parquet'}",
            "give the folder that `record_tables` wrote: docs/benchmark of a checkout",
        )
    return read_table(folder, name).to_pylist()


def without_folders(text: str | None) -> str | None:
    """`text` with the folders of absolute paths taken out of it.

    >>> without_folders('{"trained": "/home/me/out/fca", "unit": "s/clip"}')
    '{"trained": "fca", "unit": "s/clip"}'
    """
    return _FOLDERS.sub("", text) if text else text


def _kept(name: str, row: Mapping[str, Any]) -> dict[str, Any]:
    kept = {column: None if column in _DROPPED else value for column, value in row.items()}
    if name == "runs":
        kept["run_file"] = _names_of(row["run_file"])
    if name == "summary":
        kept["method_config"] = without_folders(row["method_config"])
    if name in ("summary", "comparisons"):
        kept["notes"] = without_folders(row["notes"])
    if name == "scores" and row["value"] is not None:
        kept["value"] = float(np.float32(row["value"]))
    return kept


def _names_of(run_file: str | None) -> str:
    """Of a run file what was compared, in its order: names and labels, no settings."""
    data = json.loads(run_file or "{}")
    names: dict[str, Any] = {
        kind: [{"name": entry["name"], "label": entry.get("label")} for entry in data.get(kind, ())]
        for kind in ("methods", "datasets")
    }
    return canonical_json({"name": data.get("name"), "seeds": data.get("seeds")} | names)


def _write(path: Path, table: pa.Table) -> Path:
    schema = SCHEMAS[path.stem]
    floats = [field.name for field in schema if pa.types.is_floating(field.type)]
    with atomic_path(path) as temporary:
        pq.write_table(
            table,
            temporary,
            compression="zstd",
            compression_level=19,
            use_dictionary=[name for name in schema.names if name not in floats],
            # Bytes of equal meaning side by side: those that single precision leaves empty cost nothing.
            column_encoding=dict.fromkeys(floats, "BYTE_STREAM_SPLIT"),
            write_statistics=False,
        )
    return path
