"""The Parquet tables of a run."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from reelbench.core.errors import StoreError
from reelbench.core.tables import SCHEMAS, read_table, to_table, write_table

ROWS = [
    {"method": "b", "dataset": "d", "metric": "fvd", "seed": None, "value": 1.0},
    {"method": "a", "dataset": "d", "metric": "fvd", "seed": 0, "value": 2.0},
    {"method": "a", "dataset": "d", "metric": "fvd", "seed": None, "value": 3.0},
]


def test_rows_are_sorted_by_identity_so_order_of_work_does_not_show(tmp_path: Path) -> None:
    one = write_table(tmp_path / "one", "summary", ROWS)
    two = write_table(tmp_path / "two", "summary", ROWS[::-1])
    assert one.read_bytes() == two.read_bytes()
    assert read_table(tmp_path / "one", "summary")["value"].to_pylist() == [3.0, 2.0, 1.0]


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_an_empty_table_has_all_its_columns(tmp_path: Path, name: str) -> None:
    write_table(tmp_path, name, [])
    table = read_table(tmp_path, name)
    assert table.schema.names == SCHEMAS[name].names
    assert table.num_rows == 0


def test_a_column_that_the_schema_does_not_know_is_a_defect() -> None:
    with pytest.raises(ValueError, match="fdv"):
        to_table("summary", [{"fdv": 1.0}])


def test_missing_damaged_and_foreign_tables_are_clear_errors(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no table"):
        read_table(tmp_path, "summary")
    (tmp_path / "summary.parquet").write_bytes(b"PAR1")
    with pytest.raises(StoreError, match="cannot read"):
        read_table(tmp_path, "summary")
    table = to_table("summary", ROWS).replace_schema_metadata({"reelbench.schema_version": "0"})
    pq.write_table(table, tmp_path / "summary.parquet")
    with pytest.raises(StoreError, match="schema version 0"):
        read_table(tmp_path, "summary")
