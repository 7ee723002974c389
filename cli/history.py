"""`reelbench history`: each value of a run over time."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import JsonOption, OutputOption, RunFileArgument, load, relative, shell_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..reports.nights.changes import Changes
    from ..reports.nights.history import CellHistory, Point

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
            "--prune",
            metavar="N",
            min=1,
            help="Delete all results but the newest N and the last good one of each method.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Show each value over the runs, with what changed against the last good run before: = nothing, ~ no
    significant difference, + better, ! worse; values of other protocols or samples, or of fewer clips than
    were asked for, stand in parentheses.

    Exit code 0; 1: there are no results yet; 2: something to mend first.
    """
    from ..core.errors import NothingMadeError
    from ..core.run_folders import adopt_old_layout, prune_results, run_ids
    from ..reports.nights.history import history_rows, read_history, selected
    from ..reports.nights.history_page import write_history_page
    from ..stages.nights.compare import kept_nights
    from ..stages.nights.record import night_ids

    if as_csv and as_json:
        raise typer.BadParameter("--csv and --json are given: choose one of them")
    run = load(run_file, None, None, output, look_up=False)
    with _warned("results of an earlier version are not moved"):
        adopt_old_layout(run.run_dir)
    ids = night_ids(run.run_dir)
    if not ids:
        raise NothingMadeError(
            f"there are no results of the run {run.name!r} in {relative(run.run_dir)} yet",
            f"reelbench run {shell_path(run_file)}",
        )
    if prune is not None:
        kept, older = kept_nights(run.run_dir), run_ids(run.run_dir)[:-prune]
        for name in prune_results(run.run_dir, prune, {*kept, *ids[-prune:]}):
            typer.echo(f"deleted {relative(run.run_dir / name)}", err=as_csv or as_json)
        ids = night_ids(run.run_dir)
        for name in [name for name in older if name in kept]:
            text = f"kept {relative(run.run_dir / name)}: the last good night of {', '.join(kept[name])}"
            typer.echo(text, err=as_csv or as_json)
    nights = [(name, run.run_dir / name, _changes(run.run_dir, name)) for name in ids[-last:]]
    histories, notes = read_history(nights)
    for note in notes:
        typer.secho(note, fg="yellow", err=True)
    found = selected(histories, methods or (), metrics or ())
    rows = history_rows(found)
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
    elif as_csv:
        writer = csv.DictWriter(sys.stdout, list(rows[0]) if rows else ["method"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    else:
        _print(found, ids[-last:])
        page = run.run_dir / "history.html"
        with _warned(f"{relative(page)} is not written"):
            write_history_page(run.name, selected(histories), page, notes)
        if page.is_file():
            typer.echo(f"Page:    python3 -m webbrowser {shell_path(page)}")


@contextlib.contextmanager
def _warned(what: str) -> Iterator[None]:
    """Of what cannot be written it is told why, and the rest is shown."""
    try:
        yield
    except OSError as error:
        typer.secho(f"{what}: {error.strerror or error}", fg="yellow", err=True)


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
    lines, most = [], [len("Method"), len("Data set"), len("Metric")]
    widths = dict.fromkeys(ids, len("11-27 03:00"))
    for cell in histories:
        arrow = {True: " ↑", False: " ↓", None: ""}[cell.higher_is_better]
        names = [cell.method, cell.dataset, cell.label + arrow]
        most = [max(pair) for pair in zip(most, map(len, names), strict=True)]
        shown = {point.run_id: _shown(point, cell.series) for point in cell.points}
        widths |= {name: max(widths[name], len(text)) for name, (text, _) in shown.items()}
        lines.append((names, shown))
    console = Console(width=_width())
    room = console.width - sum(most) - 3 * len(most)  # 3: between two columns
    fitting: list[str] = []
    for name in reversed(ids):
        room -= widths[name] + 3
        if room < 0 and fitting:
            break
        fitting.insert(0, name)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("Method", "Data set", "Metric"):
        table.add_column(heading, overflow="fold")
    for name in fitting:
        heading = f"{name[4:6]}-{name[6:8]} {name[9:11]}:{name[11:13]}{name[16:]}"
        table.add_column(heading, justify="right", no_wrap=True)
    for names, shown in lines:
        texts = (shown.get(name, ("-", "")) for name in fitting)
        table.add_row(*map(Text, names), *(Text(text, style=colours.get(mark, "")) for text, mark in texts))
    console.print(table)
    if len(fitting) < len(ids):
        typer.echo(f"{len(ids)} nights, the last {len(fitting)} shown; --csv or history.html for all")


def _shown(point: Point, series: str) -> tuple[str, str]:
    """The text of a value in the table, and its mark."""
    if point.value is None:
        return point.status, ""
    text = f"{point.value:.4g}" if point.series == series else f"({point.value:.4g})"
    if point.status != "done":
        text = f"({point.value:.4g}) {point.status}"
    return f"{text} {point.mark or ' '}", point.mark


def _width() -> int | None:
    """Of the table in letters; None for that of the terminal."""
    columns = os.environ.get("COLUMNS", "")
    if columns.isdecimal() and int(columns) > 0:
        return int(columns)
    return None if sys.stdout.isatty() else _WIDTH_OF_A_PIPE
