"""`reelbench plan`: what a run would do, and what it would take."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import typer

from .options import JsonOption, LimitOption, OnlineOption, OnlyOption, OutputOption, RunFileArgument, load

if TYPE_CHECKING:
    from ..core.plan import Plan, PlannedDataset, PlannedMethod
    from ..core.types import WeightsRef

_WIDTH_OF_A_PIPE = 200


def plan(
    run_file: RunFileArgument,
    limit: LimitOption = None,
    only: OnlyOption = None,
    output: OutputOption = None,
    as_json: JsonOption = False,
    online: OnlineOption = False,
) -> None:
    """Show which clips a run has, which are missing, and what they will take. Makes nothing."""
    import os

    from ..core.store import Store
    from ..datasets.video import default_codec
    from ..flows.workers.ray_address import check_form
    from ..reports.mlflow.place import tracking_of
    from ..stages.nights.record import why_missing
    from ..stages.planning import look_at_run

    run = load(run_file, limit, only, output)
    tracking_of(run)  # an address that cannot be is refused
    if run.executor != "local":
        check_form(os.environ.get("RAY_ADDRESS", ""))
    planned, weights = look_at_run(run)
    to_fetch = [fetch_text(ref, online) for ref in weights.not_fetched]
    free_bytes = Store(run.store_dir, default_codec(), read_only=True).files.free_bytes()
    if as_json:
        import json

        typer.echo(json.dumps({**plan_data(planned, free_bytes), "to_fetch": to_fetch}, indent=2))
        return
    print_plan(planned)
    for item in why_missing(planned):
        typer.echo(f"changed since {item.before_id}: {item.words}")
    for line in to_fetch:
        typer.secho(line, fg="yellow")
    estimate_bytes = _total([cell.estimate_bytes for cell in planned.cells])
    if estimate_bytes is not None and estimate_bytes > free_bytes:
        typer.secho(
            f"The disk has {size_text(free_bytes)} free; the missing clips will take about "
            f"{size_text(estimate_bytes)}.",
            fg="yellow",
        )


def fetch_text(ref: WeightsRef, online: bool) -> str:
    """What a run fetches of weights that are not on this machine.

    Args:
        online: ask the hub; otherwise nothing is asked.

    Raises:
        WeightsError: the hub was asked, and does not have them or does not answer.
    """
    from ..core.weights import look

    if online:
        found = look(ref)
        return (
            f"{ref.location} ({ref.name}): not fetched yet; the run will fetch {found.num_files} files, "
            f"{size_text(found.num_bytes)}"
        )
    num_files = ref.format.num_files
    return (
        f"{ref.location} ({ref.name}): no local file or folder, and not in the hub's cache; the run will "
        f"fetch {'' if num_files is None else f'about {num_files} '}files (--online asks the hub now)"
    )


def plan_data(planned: Plan, free_bytes: int) -> dict[str, Any]:
    """The plan as JSON-able data."""
    return {
        "run": planned.run.name,
        "num_samples": planned.num_samples,
        "num_missing": planned.num_missing,
        "estimate_s": _total([cell.estimate_s for cell in planned.cells]),
        "estimate_bytes": _total([cell.estimate_bytes for cell in planned.cells]),
        "free_bytes": free_bytes,
        "notes": [
            *(f"{label}: {note}" for label, note in notes(planned)),
            *warnings(planned),
        ],
        "cells": [
            {
                "method": cell.method_label,
                "dataset": cell.dataset_label,
                "seed": cell.seed,
                "num_samples": cell.num_samples,
                "num_done": cell.num_done,
                "num_failed": cell.num_failed,
                "num_missing": cell.num_missing,
                "num_missing_tunings": len(cell.missing_tunings),
                "estimate_s": cell.estimate_s,
                "estimate_bytes": cell.estimate_bytes,
            }
            for cell in planned.cells
        ],
    }


def print_plan(planned: Plan) -> None:
    """One line for each cell, and one for all."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("Method", "Data set"):
        table.add_column(heading)
    tunes = any(cell.missing_tunings for cell in planned.cells)
    counts = ("seed", "clips", "done", "missing", "failed before", *(["to tune"] if tunes else []))
    for heading in (*counts, "time", "disk"):
        table.add_column(heading, justify="right")
    for cell in planned.cells:
        table.add_row(
            Text(cell.method_label),
            Text(cell.dataset_label),
            str(cell.seed),
            str(cell.num_samples),
            str(cell.num_done),
            str(cell.num_missing),
            str(cell.num_failed or ""),
            *([str(len(cell.missing_tunings) or "")] if tunes else []),
            *_estimates(cell.estimate_s, cell.estimate_bytes),
        )
    # Names must stay whole where nobody can widen the window.
    Console(width=None if sys.stdout.isatty() else _WIDTH_OF_A_PIPE).print(table)
    for label, note in notes(planned):
        typer.echo(f"{label}: {note}")
    for line in warnings(planned):
        typer.secho(line, fg="yellow")
    typer.echo(summary_line(planned))


def notes(planned: Plan) -> list[tuple[str, str]]:
    """(label of a method or data set, what a reader should know of its settings or of how it was read)."""
    entries: list[PlannedMethod | PlannedDataset] = [*planned.methods, *planned.datasets]
    return [(entry.label, note) for entry in entries for note in entry.notes]


def warnings(planned: Plan) -> list[str]:
    """Data sets that hold fewer samples than the limit asks for, and those that failed while they were read:
    a run goes on without these."""
    limit = planned.run.limit
    short = [f"{d.label} holds {len(d.samples)}" for d in planned.datasets if len(d.samples) < (limit or 0)]
    lines = [f"limit: of the {limit} samples asked for, {', '.join(short)}"] if short else []
    return lines + [f"left out: {failure}" for failure in planned.failures]


def summary_line(planned: Plan) -> str:
    """ "48 clips: 32 done, 16 missing (about 2 min for one worker, 3.1 MiB)"."""
    num_missing = planned.num_missing
    line = f"{planned.num_samples} clips: {planned.num_samples - num_missing} done, {num_missing} missing"
    if not num_missing:
        return line
    estimate_s = _total([cell.estimate_s for cell in planned.cells])
    estimate_bytes = _total([cell.estimate_bytes for cell in planned.cells])
    if estimate_s is None or estimate_bytes is None:
        return line + " (no estimate yet: some methods have never run here)"
    return line + f" (about {duration_text(estimate_s)} for one worker, {size_text(estimate_bytes)})"


def duration_text(seconds: float) -> str:
    """ "40 s", "5 min", "3.2 h"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def size_text(num_bytes: float) -> str:
    """ "12.0 MiB"."""
    for unit in ("B", "KiB", "MiB"):
        if num_bytes < 1024:
            return f"{num_bytes:.0f} {unit}" if unit == "B" else f"{num_bytes:.1f} {unit}"
        num_bytes /= 1024
    return f"{num_bytes:.1f} GiB"


def _estimates(estimate_s: float | None, estimate_bytes: int | None) -> tuple[str, str]:
    if estimate_s == 0 and not estimate_bytes:
        return "", ""
    return (
        "?" if estimate_s is None else duration_text(estimate_s),
        "?" if estimate_bytes is None else size_text(estimate_bytes),
    )


def _total(values: list[Any]) -> Any:
    return None if None in values else sum(values)
