"""`reelbench report`: tables and reports again from the store, without sampling anything."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import (
    IdOption,
    JsonOption,
    LimitOption,
    OnlyOption,
    OutputOption,
    RunFileArgument,
    load,
    relative,
    shell_path,
)
from .results import print_failures, print_places, print_tables

if TYPE_CHECKING:
    from ..core.run_file import RunFile


def report(
    run_file: RunFileArgument,
    limit: LimitOption = None,
    only: OnlyOption = None,
    output: OutputOption = None,
    run_id: IdOption = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the comparison as Markdown.")] = False,
    html: Annotated[
        Path | None,
        typer.Option(
            "--html", metavar="FILE", help="Write the HTML report here as well.", show_default=False
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Build the tables, the report and the MLflow runs anew from what the store holds; with --id, the report
    and the MLflow runs of older results, from their tables. The tables are printed first; a report that
    cannot be written, or an MLflow that cannot be reached, is a warning with the reason.

    Exit code 0: the tables are there, and what could be made of them; 1: nothing of the run is made yet; 2:
    something to mend first (also: the FILE of --html cannot be written).
    """
    from ..core.atomic_write import write_output
    from ..core.extras import require_bench
    from ..core.run_folders import results_dir
    from ..core.tables import plain_rows
    from ..flows.environment import quiet_environment
    from ..reports.pages.html_report import html_report
    from ..reports.pages.markdown_report import markdown_report
    from ..reports.publish import publish

    require_bench("reelbench report", ("mlflow",))
    quiet_environment()
    run = load(run_file, limit, only, output, look_up=run_id is None)
    folder = _rebuilt(run, run_file) if run_id is None else results_dir(run.run_dir, run_id)
    tables = folder / "tables"
    if markdown:
        with _asked_for("the Markdown"):
            typer.echo(markdown_report(tables), nl=False)
    elif as_json:
        typer.echo(json.dumps(plain_rows(tables, "summary"), indent=1))
    else:
        print_tables(folder)
        print_failures(folder)
    logged = publish(folder, run)
    if not markdown and not as_json:
        print_places(run, folder, asdict(logged))
    elif logged.problem is not None:
        typer.secho(f"warning: MLflow: {logged.problem}", fg="yellow", err=True)
    if html is not None:
        with _asked_for(f"the report {html}"):
            write_output(html, html_report(tables))


@contextlib.contextmanager
def _asked_for(what: str) -> Iterator[None]:
    """A view that is asked for by an option and cannot be made is an error."""
    from ..core.errors import StoreError

    try:
        yield
    except (ValueError, TypeError, KeyError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise StoreError(f"{what} cannot be made: {reason}", "the tables are whole") from error


def _rebuilt(run: RunFile, run_file: Path) -> Path:
    """The folder of tables that are built of what the store holds now.

    Raises:
        NothingMadeError: it holds nothing of the run.
    """
    from ..core.errors import NothingMadeError
    from ..core.store import Store
    from ..datasets.video import default_codec
    from ..stages.planning import plan_run
    from ..stages.results import build_results

    store = Store(run.store_dir, default_codec())
    planned, parts = plan_run(run, store)
    if not any(cell.records for cell in planned.cells):
        raise NothingMadeError(
            f"nothing of the run {run.name!r} is made yet: {relative(run.store_dir)} has none of its "
            f"{planned.num_samples} clips",
            f"reelbench run {shell_path(run_file)}, with the same options",
        )
    files = store.digests("videos")
    result = build_results(run, parts, store, files)
    files.save()
    return result.folder
