"""What a finished run shows: the comparison, what failed, and where everything is."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from .options import relative, shell_path

if TYPE_CHECKING:
    from ..core.run_file import RunFile

NUM_FAILURES_SHOWN = 10


def print_tables(run_dir: Path, is_brief: bool = False) -> None:
    """The comparison table on the terminal, or as Markdown where the output is not one; then the tables of
    editing and prediction, unless `is_brief`."""
    from ..reports.pages.markdown_report import comparison_markdown, task_markdown
    from ..reports.pages.terminal_report import print_table
    from ..reports.tables.comparison import comparison_table
    from ..reports.tables.run_tables import RunTables
    from ..stages.results import tables_dir

    tables, is_terminal = RunTables(tables_dir(run_dir)), sys.stdout.isatty()
    table = comparison_table(tables)
    typer.echo("")
    if is_terminal:
        print_table(table)
    else:
        typer.echo(comparison_markdown(table))
    if not is_brief and (more := task_markdown(tables, is_plain=is_terminal)):
        typer.echo(more)


def print_failures(run_dir: Path, tables: Sequence[str] = ("clips", "features")) -> None:
    """The causes of failures in some tables, the first ones."""
    from ..core.tables import read_table
    from ..reports.pages.failures import failures_of
    from ..stages.results import tables_dir

    folder = tables_dir(run_dir)
    rows = [read_table(folder, name).to_pylist() for name in tables]
    failures = failures_of(*rows)
    for failure in failures[:NUM_FAILURES_SHOWN]:
        samples = ", ".join(failure.samples[:3]) + (", ..." if failure.num_items > 3 else "")
        what, why = ("missing", "") if failure.cause == "missing" else ("failed", f": {failure.cause}")
        typer.secho(
            f"{what}: {failure.stage}, {failure.method} on {failure.dataset}, {failure.num_items} x "
            f"({samples}){why}",
            fg="red",
        )
    if len(failures) > NUM_FAILURES_SHOWN:
        typer.echo(f"... and {len(failures) - NUM_FAILURES_SHOWN} more causes; the report lists them all")


def check_recorded(folder: Path) -> None:
    """Refuse a folder without recorded tables, before anything is made.

    Raises:
        StoreError: a table is missing or cannot be read.
    """
    from ..reports.recorded.tables import RECORDED_TABLES, read_recorded

    for name in RECORDED_TABLES:
        read_recorded(folder, name)


def print_reproduction(run_dir: Path, recorded: Path) -> bool:
    """Which of a run's scores are the recorded ones; whether all are."""
    from ..reports.recorded.reproduction import compare_with_recorded, reproduction_text
    from ..stages.results import tables_dir

    found = compare_with_recorded(tables_dir(run_dir), recorded)
    typer.echo(reproduction_text(found))
    return found.is_whole


def print_places(run: RunFile) -> None:
    """Where the tables are, and the commands that open the report and MLflow."""
    from ..reports.mlflow.store import default_tracking_uri, mlflow_command
    from ..stages.results import tables_dir

    typer.echo(f"Tables:  {relative(tables_dir(run.run_dir))}/*.parquet")
    typer.echo(f"Report:  python3 -m webbrowser {shell_path(run.run_dir / 'report.html')}")
    typer.echo(f"MLflow:  {mlflow_command(default_tracking_uri(run.output))}")
