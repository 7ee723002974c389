"""Views of the tables that cannot be made are warnings: the tables and the other views are there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reelbench.core.run_file import RunFile
from reelbench.reports import publish as module
from reelbench.reports.publish import publish

TABLES = Path(module.__file__).resolve().parents[1] / "docs" / "benchmark"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of results: recorded tables, and empty ones in the place of those that are not recorded."""
    from reelbench.core.tables import SCHEMAS, read_table, write_table

    folder = tmp_path / "out" / "demo" / "20261127T030000Z"
    for name in SCHEMAS:
        rows = read_table(TABLES, name).to_pylist() if (TABLES / f"{name}.parquet").is_file() else []
        write_table(folder / "tables", name, rows)
    return folder


def run_file(folder: Path, **changes: object) -> RunFile:
    data = {"name": "demo", "output": str(folder.parents[1]), "mlflow": False, **changes}
    methods, datasets = [{"name": "zs2"}], [{"name": "msrvtt"}]
    return RunFile.model_validate({**data, "methods": methods, "datasets": datasets, "metrics": ["fvd"]})


def test_all_views_are_written(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert publish(folder, run_file(folder)).problem is None
    assert (folder / "comparison.md").is_file()
    assert (folder / "report.html").is_file()
    assert "warning" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("broken", "other"), [("report.html", "comparison.md"), ("comparison.md", "report.html")]
)
def test_a_file_that_cannot_be_written_is_a_warning(
    folder: Path, capsys: pytest.CaptureFixture[str], broken: str, other: str
) -> None:
    (folder / broken).mkdir()
    (folder / broken / "mine").touch()
    publish(folder, run_file(folder))
    said = capsys.readouterr().err
    assert f"warning: {broken} was not written:" in said
    assert "the tables are whole" in said
    assert "Traceback" not in said
    assert (folder / other).is_file()
    assert other in json.loads((folder / "digests.json").read_text())
    assert broken not in json.loads((folder / "digests.json").read_text())


def test_a_view_that_rows_break_is_a_warning_and_the_other_views_are_made(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A plug-in's label can be any text, and rows that claim one cell twice raise in every view."""
    from reelbench.core.tables import read_table, write_table

    rows = read_table(folder / "tables", "summary").to_pylist()
    write_table(folder / "tables", "summary", [*rows, rows[0]])
    logged = publish(folder, run_file(folder, mlflow=True))
    said = capsys.readouterr().err
    assert "warning: comparison.md was not written: ValueError: two all-seeds rows" in said
    assert "warning: report.html was not written: ValueError" in said
    assert logged.run_id is None
    assert logged.problem is not None
