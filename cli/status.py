"""`reelbench status`: what a run has so far, also while it is going on."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

import typer

from .options import LimitOption, OnlyOption, OutputOption, RunFileArgument, load, relative
from .plan import print_plan
from .results import print_failures

if TYPE_CHECKING:
    from pathlib import Path

    from ..core.run_file import RunFile


def status(
    run_file: RunFileArgument,
    limit: LimitOption = None,
    only: OnlyOption = None,
    output: OutputOption = None,
) -> None:
    """Show the progress, the last run, and which tables and failures there are."""
    from ..flows.servers.prefect_server import is_running
    from ..stages.planning import look_at_run

    run = load(run_file, limit, only, output)
    planned, _ = look_at_run(run)
    print_plan(planned)
    is_going_on = is_running(run.output)
    if is_going_on:
        typer.secho(f"A run is going on in {relative(run.output)}.", fg="green")
    _print_last_run(run, is_going_on)
    _print_files(run)


def _print_last_run(run: RunFile, is_going_on: bool) -> None:
    """What the run's own Prefect server recorded last, read from its database.

    A killed run leaves its state as it was: without an end, and nobody holds the database.
    """
    import contextlib
    import sqlite3

    path = run.output / "prefect" / "prefect.db"
    if not path.is_file():
        return
    # Read-only, and a damaged or foreign database is not worth an error here.
    with contextlib.suppress(sqlite3.Error):
        database = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=1.0)
        try:
            row = database.execute(
                "select name, state_name, start_time, end_time from flow_run order by created desc limit 1"
            ).fetchone()
        finally:
            database.close()
        if row is not None:
            name, state, start, end = row
            times = [str(time)[:19] if time else "-" for time in (start, end)]
            if not end and not is_going_on:
                state = f"{state}, but not running any more (killed?)"
            typer.echo(f"Last run: {name}, {state}, started {times[0]}, ended {times[1]} (UTC)")


def _print_files(run: RunFile) -> None:
    from ..core.errors import StoreError
    from ..core.run_folders import results_dir, run_ids
    from ..core.tables import SCHEMAS, read_table

    results = results_dir(run.run_dir)
    folder = results / "tables"
    there = [name for name in SCHEMAS if (folder / f"{name}.parquet").is_file()]
    if not there:
        typer.echo(f"No tables in {relative(run.run_dir)} yet: `reelbench run` writes them at its end.")
        return
    if num_older := len([name for name in run_ids(run.run_dir) if name != results.name]):
        typer.echo(f"Results: {relative(results)}, and {num_older} older beside it")
    for name in there:
        try:
            num_rows = f"{read_table(folder, name).num_rows} rows"
        except StoreError as error:
            num_rows = error.message
        typer.echo(f"{name:12} {num_rows}, written {_written(folder / f'{name}.parquet')}")
    if {"clips", "features"} <= set(there):
        print_failures(results)
    for name in ("comparison.md", "report/index.html", "report.html"):
        if (results / name).is_file():
            typer.echo(f"{relative(results / name)}, written {_written(results / name)}")


def _written(path: Path) -> str:
    return datetime.datetime.fromtimestamp(path.stat().st_mtime).strftime("%Y-%m-%d %H:%M:%S")
