"""`reelbench history`: each value of a run over time."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import JsonOption, OutputOption, RunFileArgument, load, relative, shell_path

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..reports.nights.changes import Changes
    from ..reports.nights.history import CellHistory

_WIDTH_OF_A_PIPE = 160


def history(
    run_file: RunFileArgument,
    output: OutputOption = None,
    last: Annotated[int, typer.Option("--last", metavar="N", min=1, help="The newest N runs.")] = 8,
    methods: Annotated[
        list[str] | None,
        typer.Option("--method", metavar="LABEL", help="Only this method; repeatable.", show_default=False),
    ] = None,
    metrics: Annotated[
        list[str] | None,
        typer.Option("--metric", metavar="NAME", help="Only this metric; repeatable.", show_default=False),
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, a line for each value.")] = False,
    as_json: JsonOption = False,
    prune: Annotated[
        int | None,
        typer.Option(
            "--prune", metavar="N", min=1, help="Delete all results but the newest N.", show_default=False
        ),
    ] = None,
) -> None:
    """Show each value over the runs, with what changed against the last good run before: = nothing, ~ no
    significant difference, + better, ! worse; values of other protocols or samples stand in parentheses.

    Exit code 0; 1: there are no results yet; 2: something to mend first.
    """
    from ..core.errors import NothingMadeError
    from ..core.run_folders import adopt_old_layout, prune_results, run_ids
    from ..reports.nights.history import history_rows, read_history
    from ..reports.nights.history_page import write_history_page

    run = load(run_file, None, None, output)
    adopt_old_layout(run.run_dir)
    ids = run_ids(run.run_dir)
    if not ids:
        raise NothingMadeError(
            f"there are no results of the run {run.name!r} in {relative(run.run_dir)} yet",
            f"reelbench run {shell_path(run_file)}",
        )
    if prune is not None:
        for name in prune_results(run.run_dir, prune):
            typer.echo(f"deleted {relative(run.run_dir / name)}")
        ids = run_ids(run.run_dir)
    nights = [(name, run.run_dir / name, _changes(run.run_dir, name)) for name in ids[-last:]]
    histories, notes = read_history(nights, methods or (), metrics or ())
    for note in notes:
        typer.secho(note, fg="yellow", err=True)
    rows = history_rows(histories)
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
    elif as_csv:
        writer = csv.DictWriter(sys.stdout, list(rows[0]) if rows else ["method"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    else:
        _print(histories, ids[-last:])
        page = write_history_page(run.name, histories, run.run_dir / "history.html")
        typer.echo(f"Page:    python3 -m webbrowser {shell_path(page)}")


def _changes(run_dir: Path, run_id: str) -> Changes | None:
    """What the night said of itself; else clip metrics by the tables, which say nothing of sets."""
    from ..core.errors import ReelbenchError
    from ..reports.nights.changes import read_changes
    from ..stages.nights.compare import compare_nights

    try:
        return read_changes(run_dir / run_id) or compare_nights(run_dir, run_id)
    except ReelbenchError:
        return None


def _print(histories: Sequence[CellHistory], ids: Sequence[str]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    colours = {"!": "red", "+": "green", "~": "yellow"}
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("Method", "Data set", "Metric"):
        table.add_column(heading)
    for name in ids:
        table.add_column(f"{name[4:6]}-{name[6:8]} {name[9:11]}:{name[11:13]}{name[16:]}", justify="right")
    for cell in histories:
        points = {point.run_id: point for point in cell.points}
        shown = []
        for name in ids:
            point = points.get(name)
            if point is None or point.value is None:
                shown.append(Text("-" if point is None else point.status))
                continue
            text = f"{point.value:.4g}" if point.series == cell.series else f"({point.value:.4g})"
            if point.status != "done":
                text = f"({point.value:.4g}) {point.status}"
            shown.append(Text(f"{text} {point.mark or ' '}", style=colours.get(point.mark, "")))
        arrow = {True: " ↑", False: " ↓", None: ""}[cell.higher_is_better]
        table.add_row(Text(cell.method), Text(cell.dataset), Text(cell.label + arrow), *shown)
    Console(width=None if sys.stdout.isatty() else _WIDTH_OF_A_PIPE).print(table)
