"""The tables and features of an unpacked bundle, read as what somebody else wrote.

A few bytes of Parquet can stand for any number of rows and any length of text; what a file says of itself is
looked at before it is read, and texts are counted before they are laid out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ...core.bundles import MAX_TEXT_BYTES
from ...core.errors import ReelbenchError
from ...core.hashing import digest_array
from ...core.tables import SCHEMA_VERSION, SCHEMAS
from ...core.types import Features

MAX_ROWS = 20_000_000
MAX_COLUMN_BYTES = 8 * 2**30

Rows = list[dict[str, Any]]


class UnreadableError(ReelbenchError):
    """A member of a bundle is not what it should be."""


def read_rows(path: Path, name: str) -> Rows:
    """The rows of a table.

    Raises:
        UnreadableError: it is damaged, of another schema version, or has columns of other types.
    """
    table = _read(path)
    version = (table.schema.metadata or {}).get(b"reelbench.schema_version", b"?").decode(errors="replace")
    if version != SCHEMA_VERSION:
        raise UnreadableError(
            f"it is of schema version {version!r:.20}, this Reelbench reads {SCHEMA_VERSION}"
        )
    schema = SCHEMAS[name]
    for column in table.schema:
        if column.name not in schema.names:
            raise UnreadableError(f"it has a column {column.name!r:.60}, which the table {name!r} has not")
        if column.type not in (wanted := schema.field(column.name).type, pa.null()):
            raise UnreadableError(f"its column {column.name!r} is of type {column.type}, not {wanted}")
    for column in schema:
        if column.name not in table.schema.names:
            table = table.append_column(column, pa.nulls(len(table), column.type))
    rows: Rows = table.to_pylist()
    return rows


@dataclass(frozen=True)
class FeatureFile:
    """The features of one extractor by key."""

    extractor: str
    values: pa.Array
    shapes: list[list[int]]
    index: Mapping[str, int]

    def get(self, key: str) -> Features | None:
        """The features under a key, None where they are not there. They are not copied."""
        at = self.index.get(key)
        if at is None:
            return None
        return np.frombuffer(self.values[at].as_buffer(), dtype="<f4").reshape(self.shapes[at])


def read_features(path: Path) -> tuple[FeatureFile, list[str]]:
    """The features in a file, and the keys of those that do not match their digests.

    Raises:
        UnreadableError: it is damaged, or no file of features.
    """
    table = _read(path)
    extractor = (table.schema.metadata or {}).get(b"reelbench.extractor", b"").decode(errors="replace")
    try:
        keys, shapes = table["feature_key"].to_pylist(), table["shape"].to_pylist()
        values, digests = table["values"].combine_chunks(), table["digest"].to_pylist()
        if isinstance(values, pa.ChunkedArray):
            values = pa.concat_arrays(values.chunks) if values.num_chunks else pa.array([], pa.large_binary())
        file = FeatureFile(extractor, values, shapes, {key: at for at, key in enumerate(keys)})
        wrong = []
        for key, digest in zip(keys, digests, strict=True):
            array = file.get(key)
            if array is None or digest_array(array) != digest or not np.isfinite(array).all():
                wrong.append(key)
    except (KeyError, TypeError, ValueError, AttributeError, pa.ArrowException) as error:
        raise UnreadableError(f"it is no file of features: {_line(error)}") from error
    return file, wrong


def read_json(path: Path) -> Any:
    """The JSON in a member; None where there is no such member.

    Raises:
        UnreadableError: it is none.
    """
    try:
        if path.stat().st_size > MAX_TEXT_BYTES:
            raise UnreadableError(f"it has more than {MAX_TEXT_BYTES >> 20} MiB")
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise UnreadableError(f"it is no JSON: {_line(error)}") from error


def read_lines(path: Path) -> list[Any] | None:
    """The JSON values in the lines of a member; as `read_json`."""
    try:
        if path.stat().st_size > MAX_TEXT_BYTES:
            raise UnreadableError(f"it has more than {MAX_TEXT_BYTES >> 20} MiB")
        # Not splitlines: captions may hold other marks of lines.
        return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise UnreadableError(f"it is no JSON by lines: {_line(error)}") from error


def _read(path: Path) -> pa.Table:
    """A Parquet file whose size in memory is known to be bearable; texts and bytes of any length."""
    try:
        file = pq.ParquetFile(path)
        schema, rows = file.schema_arrow, file.metadata.num_rows
        if rows > MAX_ROWS:
            raise UnreadableError(f"it says that it has {rows} rows; at most {MAX_ROWS} are read")
        groups = [file.metadata.row_group(g) for g in range(file.metadata.num_row_groups)]
        most = max(
            (group.column(c).num_values for group in groups for c in range(group.num_columns)), default=0
        )
        if most > 4 * MAX_ROWS:
            raise UnreadableError(f"it says that it has {most} values in a column")
        long = [f.name for f in schema if pa.types.is_string(f.type) or pa.types.is_binary(f.type)]
        # As words of a dictionary, in which a word takes its space once however often it is there.
        table = pq.ParquetFile(path, read_dictionary=long, page_checksum_verification=True).read()
        for name in long:
            table = table.set_column(table.schema.names.index(name), name, _laid_out(name, table[name]))
        return table.replace_schema_metadata(schema.metadata)
    except (ReelbenchError, FileNotFoundError):
        raise
    except Exception as error:  # damaged bytes lead Arrow's reader to errors of any class
        raise UnreadableError(f"it is no readable Parquet file: {_line(error)}") from error


def _laid_out(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    total = 0
    chunks = []
    for chunk in column.chunks:
        if not pa.types.is_dictionary(chunk.type):
            chunks.append(chunk)
            continue
        lengths = pc.take(pc.binary_length(chunk.dictionary), chunk.indices)
        total += pc.sum(lengths).as_py() or 0
        if total > MAX_COLUMN_BYTES:
            raise UnreadableError(f"the texts of its column {name!r:.60} are too long together")
        values = chunk.dictionary
        # More than 2 GiB in one array need wide offsets.
        is_text = pa.types.is_string(values.type)
        chunks.append(
            pc.take(values.cast(pa.large_string() if is_text else pa.large_binary()), chunk.indices)
        )
    if not chunks:
        kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
        return pa.chunked_array([], kind)
    if all(pa.types.is_large_string(chunk.type) for chunk in chunks):
        chunks = [chunk.cast(pa.string()) for chunk in chunks]
    return pa.chunked_array(chunks)


def _line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:200]
