"""The Parquet tables of a run: their columns, and how they are written.

Seven long tables. Each file carries its schema version in its metadata. Rows are sorted by their
identity, so the same results give the same table whatever the order they were made in. A run's
tables are a snapshot for its run file, written atomically; the records they are made from (clips,
features, scores) are kept append-only in the store, under their keys.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from .atomic_write import atomic_path
from .errors import StoreError

SCHEMA_VERSION = "3"

_STRING, _FLOAT, _INT, _BOOL = pa.string(), pa.float64(), pa.int64(), pa.bool_()

SCHEMAS: dict[str, pa.Schema] = {
    # One row: what was run, with which weights and on what machine.
    "runs": pa.schema(
        [
            ("run", _STRING),
            ("run_key", _STRING),  # digest of all the cells' keys
            ("run_file", _STRING),  # the validated run file as canonical JSON
            ("protocol", _STRING),
            ("protocol_digest", _STRING),
            ("weights", _STRING),  # JSON: location -> digest
            ("num_clips", _INT),
            ("num_failures", _INT),
            ("reelbench_version", _STRING),
            ("library_versions", _STRING),  # JSON
            ("hardware", _STRING),
        ]
    ),
    # One row for each generated clip, and one for each reference clip (side = "reference").
    "clips": pa.schema(
        [
            ("run", _STRING),
            ("side", _STRING),  # generated | reference
            ("method", _STRING),  # the label in the run file; null for references
            ("dataset", _STRING),
            ("split", _STRING),
            ("sample_id", _STRING),
            ("source", _STRING),
            ("prompt", _STRING),
            ("source_prompt", _STRING),  # what the reference shows, where something is edited
            ("edit", _STRING),  # kind of the edit; null where nothing is edited
            ("prompt_truncated", _BOOL),
            ("seed", _INT),
            ("clip_key", _STRING),
            ("status", _STRING),  # done | failed | missing
            ("error_type", _STRING),
            ("error_message", _STRING),
            ("content_digest", _STRING),
            ("num_frames", _INT),
            ("height", _INT),
            ("width", _INT),
            ("fps", _FLOAT),
            ("sampling_s", _FLOAT),
            ("upscaling_s", _FLOAT),  # part of sampling_s
            ("peak_memory_gib", _FLOAT),
            ("tune_key", _STRING),
            ("tuning_s", _FLOAT),  # of the tuning, which clips of one tune_key share
            ("tuning_memory_gib", _FLOAT),
            ("trainable_parameters", _INT),
            ("hardware", _STRING),
            ("path", _STRING),
            ("preview", _STRING),
        ]
    ),
    # One row for each feature; the values are in the store under feature_key.
    "features": pa.schema(
        [
            ("run", _STRING),
            ("side", _STRING),  # generated | reference | prompt
            ("method", _STRING),
            ("dataset", _STRING),
            ("sample_id", _STRING),
            ("seed", _INT),
            ("extractor", _STRING),
            ("extractor_version", _STRING),
            ("protocol", _STRING),
            ("feature_key", _STRING),
            ("content_digest", _STRING),
            ("status", _STRING),
            ("error_type", _STRING),
            ("error_message", _STRING),
        ]
    ),
    # One row for each clip and clip metric.
    "scores": pa.schema(
        [
            ("run", _STRING),
            ("metric", _STRING),
            ("protocol", _STRING),
            ("protocol_digest", _STRING),
            ("method", _STRING),
            ("dataset", _STRING),
            ("split", _STRING),
            ("conditioning", _STRING),
            ("sample_id", _STRING),
            ("source", _STRING),
            ("edit", _STRING),
            ("seed", _INT),
            ("value", _FLOAT),  # null where the metric could not be computed
            ("error_message", _STRING),  # why not
            ("score_key", _STRING),
        ]
    ),
    # One row for each method x data set x metric (and seed; null = all seeds).
    "summary": pa.schema(
        [
            ("run", _STRING),
            ("metric", _STRING),
            ("label", _STRING),
            ("unit", _STRING),
            ("higher_is_better", _BOOL),
            ("level", _STRING),  # clip | set | cost
            ("protocol", _STRING),
            ("protocol_digest", _STRING),
            ("method", _STRING),
            ("method_name", _STRING),
            ("method_version", _STRING),
            ("method_config", _STRING),  # canonical JSON
            ("dataset", _STRING),
            ("split", _STRING),
            ("conditioning", _STRING),
            ("seed", _INT),
            ("num_seeds", _INT),
            ("value", _FLOAT),
            ("standard_error", _FLOAT),
            ("low", _FLOAT),
            ("high", _FLOAT),
            ("interval", _STRING),
            ("bias_corrected", _FLOAT),
            ("n", _INT),
            ("num_sources", _INT),
            ("num_failures", _INT),
            ("coverage", _FLOAT),  # n / samples asked for, 0 to 1
            ("n_reference", _INT),
            ("signature", _STRING),
            ("notes", _STRING),  # one per line
            ("score_key", _STRING),
            ("hardware", _STRING),
        ]
    ),
    # One row for each pair of methods that saw the same, data set and metric.
    "comparisons": pa.schema(
        [
            ("run", _STRING),
            ("metric", _STRING),
            ("protocol", _STRING),
            ("protocol_digest", _STRING),
            ("dataset", _STRING),
            ("split", _STRING),
            ("conditioning", _STRING),
            ("method_a", _STRING),
            ("method_b", _STRING),
            ("level", _STRING),  # clip | set
            ("difference", _FLOAT),  # a - b: mean over the pairs, or of the two sets' values
            ("standard_error", _FLOAT),
            ("low", _FLOAT),
            ("high", _FLOAT),
            ("p_value", _FLOAT),
            ("p_holm", _FLOAT),  # adjusted over the family
            ("family", _STRING),  # the comparisons that Holm's correction is over, in words
            ("min_detectable", _FLOAT),  # difference found with 80% power at 5%, before Holm
            ("num_pairs", _INT),
            ("num_sources", _INT),
            ("test", _STRING),
            ("notes", _STRING),  # one per line
        ]
    ),
    # One row for each set metric, method, data set and N: the value on smaller parts of the same clips.
    "curves": pa.schema(
        [
            ("run", _STRING),
            ("metric", _STRING),
            ("label", _STRING),
            ("protocol", _STRING),
            ("protocol_digest", _STRING),
            ("method", _STRING),
            ("dataset", _STRING),
            ("split", _STRING),
            ("seed", _INT),
            ("n", _INT),
            ("n_reference", _INT),
            ("value", _FLOAT),  # mean over disjoint parts
            ("spread", _FLOAT),  # standard deviation between them
            ("num_subsets", _INT),
            ("extrapolated", _FLOAT),  # the line's value at 1/N = 0, the same in all rows of a curve
        ]
    ),
}

_IDENTITY = (
    "dataset",
    "side",
    "method",
    "method_a",
    "method_b",
    "metric",
    "extractor",
    "seed",
    "sample_id",
    "n",
)

PROVENANCE_COLUMNS = (
    "sampling_s",
    "upscaling_s",
    "peak_memory_gib",
    "tuning_s",
    "tuning_memory_gib",
    "hardware",
    "library_versions",
    "path",
    "preview",
)
"""Columns that tell where and how fast something was made; they differ between equal results."""


def to_table(name: str, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """The rows as a table of the named schema, sorted by identity.

    Raises:
        ValueError: a row has a column that the schema does not know.
    """
    schema = SCHEMAS[name]
    for row in rows:
        extra = set(row) - set(schema.names)
        if extra:
            raise ValueError(f"table {name!r} has no column {sorted(extra)}; columns: {schema.names}")
    full = [{column: row.get(column) for column in schema.names} for row in rows]
    keys = [column for column in _IDENTITY if column in schema.names]
    full.sort(key=lambda row: tuple((row[key] is not None, str(row[key])) for key in keys))
    table = pa.Table.from_pylist(full, schema=schema)
    return table.replace_schema_metadata(
        {"reelbench.table": name, "reelbench.schema_version": SCHEMA_VERSION}
    )


def write_table(folder: Path, name: str, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Write `<folder>/<name>.parquet` atomically and return its path."""
    path = folder / f"{name}.parquet"
    with atomic_path(path) as temporary:
        pq.write_table(to_table(name, rows), temporary, compression="zstd")
    return path


def read_table(folder: Path, name: str) -> pa.Table:
    """Read a table of a run.

    Raises:
        StoreError: it is not there, cannot be read, or is of another schema version.
    """
    path = folder / f"{name}.parquet"
    if not path.is_file():
        raise StoreError(
            f"no table {path}", "run `reelbench run` (or `reelbench report`) for this run file first"
        )
    try:
        table = pq.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise StoreError(f"cannot read {path}: {error}", "delete it and run `reelbench run` again") from error
    version = (table.schema.metadata or {}).get(b"reelbench.schema_version", b"?").decode()
    if version != SCHEMA_VERSION:
        raise StoreError(
            f"{path} is of schema version {version}, this Reelbench reads {SCHEMA_VERSION}",
            "run `reelbench run` again: the tables are rebuilt from the store",
        )
    return table
