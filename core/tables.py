"""The Parquet tables of a run: a dataclass for the rows of each, and how they are written and read.

Seven long tables; a dataclass's fields are the table's columns. Each file carries its schema version in its
metadata. Rows are sorted by their identity, so the same results give the same table whatever the order they
were made in. A run's tables are a snapshot for its run file, written atomically; the records they are made
from (clips, features) are kept append-only in the store, under their keys.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pyarrow as pa
import pyarrow.parquet as pq

from .atomic_write import atomic_path
from .errors import NewerVersionError, StoreError
from .records import newer_than_known

SCHEMA_VERSION = "3"


@dataclass(frozen=True, kw_only=True)
class RunRow:
    """Table `runs`, one row: what was run, with which weights and on what machine."""

    run: str
    run_key: str
    """Digest of what was run and of every clip."""
    run_file: str
    """The validated run file as canonical JSON."""
    protocol: str
    protocol_digest: str
    weights: str
    """JSON: location -> digest."""
    parameters: str | None = None
    """JSON: method -> numbers in the weight files that it loads; a method whose files do not say it has none.
    What a tuning adds is not in it."""
    num_clips: int
    num_failures: int
    reelbench_version: str
    library_versions: str
    """JSON."""
    hardware: str


@dataclass(frozen=True, kw_only=True)
class ClipRow:
    """Table `clips`: one row for each generated clip, and one for each reference clip."""

    run: str
    side: str
    """generated | reference."""
    method: str | None = None
    """The label in the run file; None for references."""
    dataset: str
    split: str
    sample_id: str
    source: str
    prompt: str | None = None
    source_prompt: str | None = None
    """What the reference shows, where something is edited."""
    edit: str | None = None
    """Kind of the edit; None where nothing is edited."""
    prompt_truncated: bool | None = None
    seed: int | None = None
    clip_key: str
    status: str
    """done | failed | missing."""
    error_type: str | None = None
    error_message: str | None = None
    content_digest: str | None = None
    num_frames: int | None = None
    height: int | None = None
    width: int | None = None
    fps: float | None = None
    sampling_s: float | None = None
    upscaling_s: float | None = None
    """Part of `sampling_s`."""
    peak_memory_gib: float | None = None
    tune_key: str | None = None
    tuning_s: float | None = None
    """Of the tuning, which clips of one `tune_key` share."""
    tuning_memory_gib: float | None = None
    trainable_parameters: int | None = None
    hardware: str | None = None
    start_s: float | None = None
    """Of a reference: where its window begins in the file, None for the file's start."""
    end_s: float | None = None
    first_frame: int | None = None
    """Of a reference that is a folder of frames: the first number of its window, None for all of it."""
    last_frame: int | None = None
    path: str | None = None
    preview: str | None = None


@dataclass(frozen=True, kw_only=True)
class FeatureRow:
    """Table `features`: one row for each feature; the values are in the store under `feature_key`."""

    run: str
    side: str
    """generated | reference | prompt."""
    method: str | None = None
    dataset: str
    sample_id: str
    seed: int | None = None
    extractor: str
    extractor_version: str
    protocol: str
    feature_key: str
    content_digest: str | None
    status: str
    """done | failed | missing."""
    error_type: str | None = None
    error_message: str | None = None


@dataclass(frozen=True, kw_only=True)
class ScoreRow:
    """Table `scores`: one row for each clip and clip metric."""

    run: str
    metric: str
    protocol: str
    protocol_digest: str
    method: str
    dataset: str
    split: str
    conditioning: str
    sample_id: str
    source: str
    edit: str | None = None
    seed: int
    value: float | None
    """None where the metric could not be computed."""
    error_message: str | None = None
    """Why not."""
    score_key: str | None


@dataclass(frozen=True, kw_only=True)
class SummaryRow:
    """Table `summary`: one row for each method, data set and metric under each seed, and one over all."""

    run: str
    metric: str
    label: str
    unit: str
    higher_is_better: bool | None
    level: str
    """clip | set | cost."""
    protocol: str | None = None
    protocol_digest: str | None = None
    method: str
    method_name: str
    method_version: str
    method_config: str
    """Canonical JSON."""
    dataset: str
    split: str
    conditioning: str
    seed: int | None
    """None for all seeds."""
    num_seeds: int
    value: float | None = None
    standard_error: float | None = None
    low: float | None = None
    high: float | None = None
    interval: str | None = None
    bias_corrected: float | None = None
    n: int
    num_sources: int | None = None
    num_failures: int
    coverage: float
    """n / samples asked for, 0 to 1."""
    n_reference: int | None = None
    warn_below_n: int | None = None
    """Of a set metric: with fewer clips on a side its values are not ranked."""
    references: str | None = None
    """Of a set metric: "own" where clips were made from a part of the references that they are held against,
    "others" where none is held against its own."""
    signature: str | None = None
    notes: str | None = None
    """One per line."""
    score_key: str | None = None
    hardware: str


@dataclass(frozen=True, kw_only=True)
class ComparisonRow:
    """Table `comparisons`: one row for each metric, data set and pair of methods that saw the same."""

    run: str
    metric: str
    protocol: str
    protocol_digest: str
    dataset: str
    split: str
    conditioning: str
    method_a: str
    method_b: str
    level: str
    """clip | set."""
    difference: float
    """a - b: mean over the pairs, or of the two sets' values."""
    standard_error: float | None
    low: float | None
    high: float | None
    p_value: float
    p_holm: float
    """Adjusted over the family."""
    family: str
    """The comparisons that Holm's correction is over, in words."""
    min_detectable: float | None
    """Difference found with 80% power at 5%, before Holm."""
    num_pairs: int
    num_sources: int
    test: str
    notes: str
    """One per line."""


@dataclass(frozen=True, kw_only=True)
class CurveRow:
    """Table `curves`: the value of a set metric on smaller parts of the same clips, one row for each N."""

    run: str
    metric: str
    label: str
    protocol: str
    protocol_digest: str
    method: str
    dataset: str
    split: str
    seed: int
    n: int
    n_reference: int
    value: float
    """Mean over disjoint parts."""
    spread: float | None
    """Standard deviation between them."""
    num_subsets: int
    extrapolated: float | None
    """The line's value at 1/N = 0, the same in all rows of a curve."""


Row = RunRow | ClipRow | FeatureRow | ScoreRow | SummaryRow | ComparisonRow | CurveRow

_ARROW_TYPES = {str: pa.string(), float: pa.float64(), int: pa.int64(), bool: pa.bool_()}


def _schema(row: type[Row]) -> pa.Schema:
    """The columns of a dataclass of rows; each can be null."""
    types = {name: (get_args(hint) or (hint,))[0] for name, hint in get_type_hints(row).items()}
    return pa.schema([(name, _ARROW_TYPES[kind]) for name, kind in types.items()])


@dataclass
class Tables:
    """The rows of all tables of a run."""

    runs: list[RunRow] = field(default_factory=list)
    clips: list[ClipRow] = field(default_factory=list)
    features: list[FeatureRow] = field(default_factory=list)
    scores: list[ScoreRow] = field(default_factory=list)
    summary: list[SummaryRow] = field(default_factory=list)
    comparisons: list[ComparisonRow] = field(default_factory=list)
    curves: list[CurveRow] = field(default_factory=list)

    def extend(self, other: Tables) -> None:
        """Add the rows of other tables."""
        for name, rows in vars(other).items():
            getattr(self, name).extend(rows)

    def write(self, folder: Path) -> None:
        """Write each as `<folder>/<name>.parquet`, that of the run last."""
        for name, rows in reversed(vars(self).items()):
            write_table(folder, name, rows)


SCHEMAS: dict[str, pa.Schema] = {
    name: _schema(get_args(rows)[0]) for name, rows in get_type_hints(Tables).items()
}

_IDENTITY = (
    "dataset", "side", "method", "method_a", "method_b", "metric", "extractor", "seed", "sample_id", "n"
)  # fmt: skip
"""Columns by which rows are sorted, of those that a table has."""

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


def to_table(name: str, rows: Sequence[Row | Mapping[str, Any]]) -> pa.Table:
    """The rows as a table of the named schema, sorted by identity.

    Args:
        rows: of the table's dataclass, or mappings (rows that were read before); what these lack is null.

    Raises:
        ValueError: a row has a column that the schema does not know.
    """
    schema = SCHEMAS[name]
    full = [row if isinstance(row, Mapping) else vars(row) for row in rows]
    known = frozenset(schema.names)
    for row in full:
        if not known.issuperset(row):
            raise ValueError(
                f"table {name!r} has no column {sorted({*row} - known)}; columns: {schema.names}"
            )
    keys = [column for column in _IDENTITY if column in known]
    full.sort(key=lambda row: tuple((row.get(key) is not None, str(row.get(key))) for key in keys))
    # By columns: a dictionary of all columns for each row takes more memory than the rows.
    table = pa.table(
        [pa.array([row.get(field.name) for row in full], field.type) for field in schema], schema=schema
    )
    return table.replace_schema_metadata(
        {"reelbench.table": name, "reelbench.schema_version": SCHEMA_VERSION}
    )


def write_table(folder: Path, name: str, rows: Sequence[Row | Mapping[str, Any]]) -> Path:
    """Write `<folder>/<name>.parquet` atomically and return its path.

    Raises:
        NewerVersionError: a newer Reelbench wrote the table that is there.
    """
    path = folder / f"{name}.parquet"
    with contextlib.suppress(OSError, pa.ArrowException):  # none there, or a damaged one
        if (newer := _newer(path, pq.read_schema(path))) is not None:
            raise newer
    with atomic_path(path) as temporary:
        pq.write_table(to_table(name, rows), temporary, compression="zstd")
    return path


def _version(schema: pa.Schema) -> str:
    return str((schema.metadata or {}).get(b"reelbench.schema_version", b"?").decode(errors="replace"))


def _newer(path: Path, schema: pa.Schema) -> NewerVersionError | None:
    newer = newer_than_known(_version(schema), known=int(SCHEMA_VERSION))
    if newer is None:
        return None
    return NewerVersionError(
        f"{path} was {newer.message}", "upgrade Reelbench, or give another folder with `--output`"
    )


def plain_rows(folder: Path, name: str) -> list[dict[str, Any]]:
    """The rows of a table for JSON: what is not a number is None.

    Raises:
        StoreError: see `read_table`.
    """

    def plain(value: Any) -> Any:
        return None if isinstance(value, float) and not math.isfinite(value) else value

    rows = read_table(folder, name).to_pylist()
    return [{column: plain(value) for column, value in row.items()} for row in rows]


def read_table(folder: Path, name: str) -> pa.Table:
    """Read a table of a run; columns that it was written without are null.

    Raises:
        StoreError: it is not there, cannot be read, or is of another schema version.
    """
    path = folder / f"{name}.parquet"
    if not path.is_file():
        there = ", ".join(other for other in SCHEMAS if (folder / f"{other}.parquet").is_file())
        raise StoreError(
            f"no table {name!r} in {folder}: " + (f"it has {there}" if there else "there is no table"),
            "`reelbench run`, `report` and `evaluate` write all of them; recorded results keep some"
            if there
            else "`reelbench run` writes the tables of a run",
        )
    try:
        table = pq.ParquetFile(path).read()
    except Exception as error:  # damaged bytes lead Arrow's reader to errors of any class
        why = (str(error) or type(error).__name__).splitlines()[0][:300]
        raise StoreError(f"cannot read {path}: {why}", "delete it and run `reelbench run` again") from error
    version = _version(table.schema)
    if (newer := _newer(path, table.schema)) is not None:
        raise newer
    if version != SCHEMA_VERSION:
        raise StoreError(
            f"{path} is of schema version {version}, this Reelbench reads {SCHEMA_VERSION}",
            "run `reelbench run` again: the tables are rebuilt from the store",
        )
    for column in SCHEMAS.get(name, ()):
        if column.name not in table.schema.names:  # of an earlier Reelbench
            table = table.append_column(column, pa.nulls(len(table), column.type))
    return table
