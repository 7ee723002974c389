"""`reelbench report`: tables and reports again from the store, without sampling anything."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from .options import (
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


def report(
    run_file: RunFileArgument,
    limit: LimitOption = None,
    only: OnlyOption = None,
    output: OutputOption = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the comparison as Markdown.")] = False,
    html: Annotated[
        Path | None,
        typer.Option(
            "--html", metavar="FILE", help="Write the HTML report here as well.", show_default=False
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Build the tables, the report and the MLflow runs anew from what the store holds.

    Exit code 0: written; 1: nothing of the run is made yet; 2: something to mend first.
    """
    from ..core.errors import NothingMadeError
    from ..core.extras import require_bench
    from ..core.store import Store
    from ..core.tables import plain_rows
    from ..datasets.video import default_codec
    from ..flows.environment import quiet_environment
    from ..reports.pages.html_report import write_html_report
    from ..reports.pages.markdown_report import markdown_report
    from ..reports.publish import publish
    from ..stages.planning import plan_run
    from ..stages.results import build_results

    require_bench("reelbench report", ("mlflow",))
    quiet_environment()
    run = load(run_file, limit, only, output)
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
    publish(run.run_dir, run.name, run.output)
    if html is not None:
        write_html_report(result.tables_dir, html)
    if markdown:
        typer.echo(markdown_report(result.tables_dir), nl=False)
    elif as_json:
        typer.echo(json.dumps(plain_rows(result.tables_dir, "summary"), indent=1))
    else:
        print_tables(run.run_dir)
        print_failures(run.run_dir)
        print_places(run)
