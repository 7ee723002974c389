"""What a finished run shows: the comparison, what failed, and where everything is."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from .options import relative, shell_path

if TYPE_CHECKING:
    from ..core.run_file import RunFile

NUM_FAILURES_SHOWN = 10


def print_tables(folder: Path, is_brief: bool = False) -> None:
    """The comparison table on the terminal, or as Markdown where the output is not one; then the tables of
    editing and prediction, unless `is_brief`.

    Args:
        folder: of the results, as all functions here.
    """
    from ..reports.pages.markdown_report import comparison_markdown, task_markdown
    from ..reports.pages.terminal_report import print_table
    from ..reports.tables.comparison import comparison_table
    from ..reports.tables.run_tables import RunTables

    tables, is_terminal = RunTables(folder / "tables"), sys.stdout.isatty()
    try:
        table = comparison_table(tables)
    except ValueError as error:
        typer.secho(f"warning: the comparison cannot be shown: {error}", fg="yellow", err=True)
        return
    typer.echo("")
    if is_terminal:
        print_table(table)
    else:
        typer.echo(comparison_markdown(table))
    if not is_brief and (more := task_markdown(tables, is_plain=is_terminal)):
        typer.echo(more)


def print_failures(folder: Path, names: Sequence[str] = ("clips", "features")) -> None:
    """The causes of failures in some tables, the first ones."""
    from ..core.tables import read_table
    from ..reports.pages.failures import failures_of

    rows = [read_table(folder / "tables", name).to_pylist() for name in names]
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


def print_reproduction(folder: Path, recorded: Path) -> bool:
    """Which of a run's scores are the recorded ones; whether all are."""
    from ..reports.recorded.reproduction import compare_with_recorded, reproduction_text

    found = compare_with_recorded(folder / "tables", recorded)
    typer.echo(reproduction_text(found))
    return found.is_whole


def print_places(run: RunFile, folder: Path, logged: Mapping[str, str | None]) -> None:
    """Where the tables are, and how to open the report and MLflow.

    Args:
        logged: what came of logging to MLflow: `run_id`, `page`, `problem`.
    """
    from ..reports.mlflow.place import tracking_of

    typer.echo(f"Tables:  {relative(folder / 'tables')}/*.parquet")
    page = folder / "report" / "index.html"
    if page.is_file():
        typer.echo(f"Report:  python3 -m webbrowser {shell_path(page)}")
    if (tracking := tracking_of(run)) is not None and logged["problem"] is None:
        typer.echo(f"MLflow:  {logged['page'] or tracking.how_to_open()}")
    if logged["problem"] is not None:
        typer.secho(
            f"MLflow:  {logged['problem']}\n"
            "  -> tables and report are whole; `reelbench report` with the same run file and options"
            " logs the run later",
            fg="yellow",
        )
