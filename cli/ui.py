"""`reelbench ui`: the page of a run, MLflow and Prefect, in a browser on this machine."""

from __future__ import annotations

import contextlib
import tempfile
import threading
import time
import webbrowser
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import ResultsArgument, relative, results_at

if TYPE_CHECKING:
    from ..core.run_folders import Results

DEFAULT_PORT = 8300


def ui(
    run: ResultsArgument,
    port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65535,
            metavar="PORT",
            help="Of the page; by default 8300, or the next that is free. 0 takes any.",
            show_default=False,
        ),
    ] = None,
    with_mlflow: Annotated[bool, typer.Option("--mlflow/--no-mlflow", help="Start MLflow's server.")] = True,
    opens: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
) -> None:
    """Show the page of a run, MLflow's page and, where there is one, Prefect's, on 127.0.0.1; Ctrl-C ends
    them. Nothing is written.

    Exit code 130 after Ctrl-C.
    """
    from ..flows.servers.page_server import PAGES, PageServer
    from ..flows.servers.ports import listening
    from ..flows.servers.prefect_page import prefect_page

    results = results_at(run)
    folder = results.folder.resolve()
    if not any((folder / name).is_file() for name in PAGES):
        from ..core.errors import StoreError

        raise StoreError(f"{relative(folder)} has no page", "`reelbench report` with the run file writes it")
    with _stopped_by_signals(), contextlib.ExitStack() as stack:
        listener = stack.enter_context(listening(port, DEFAULT_PORT))
        server = PageServer(listener, folder)
        threading.Thread(target=server.serve_forever, args=(0.2,), daemon=True).start()
        stack.callback(server.shutdown)
        typer.echo(f"page     {server.page}")
        if not (folder / PAGES[0]).is_file():
            typer.echo(
                "note: this is of an older layout, and "
                f"`reelbench report RUN_FILE --id {folder.name}` builds the page",
                err=True,
            )
        if opens:
            webbrowser.open(server.page)
        if with_mlflow:
            typer.echo(f"MLflow   {_mlflow(run, results, stack)}")
        found = prefect_page([Path("out/serve"), folder.parent.parent / "serve"])
        typer.echo(f"Prefect  {found or 'no server here (`reelbench serve` starts one)'}")
        typer.echo("Ctrl-C ends what was started here.")
        while True:
            time.sleep(1.0)


@contextlib.contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """Say "stopped": the line of other commands promises that their work goes on, and here is none."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit) as error:
        typer.echo("stopped", err=True)
        raise typer.Exit(143 if isinstance(error, SystemExit) else 130) from None


def _mlflow(run: str, results: Results, stack: contextlib.ExitStack) -> str:
    """The address of the run's experiment, whose server is started where there is none; or why not."""
    from ..core.errors import ReelbenchError
    from ..core.extras import is_installed
    from ..core.sqlite_url import sqlite_path
    from ..reports.mlflow.store import experiment_in
    from ..reports.mlflow.view import view_page
    from .mlflow_sync import tracking_for

    if not is_installed("mlflow"):
        return "not installed; `pip install 'reelbench[bench]'` brings it"
    try:
        tracking = tracking_for(run, results, None, None)
    except ReelbenchError as error:
        return f"none: {error.message}"
    if tracking.is_server:
        return tracking.shown
    database = sqlite_path(tracking.uri)
    if database is not None and not database.is_file():
        return f"nothing is logged yet; `reelbench mlflow sync {run}` does"
    from ..flows.servers.mlflow_server import MlflowServerError, mlflow_server

    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="reelbench-ui-")))
    try:
        page = stack.enter_context(mlflow_server(tracking.uri, folder / "mlflow.log"))
    except MlflowServerError as error:
        return f"none: {error.message}"
    experiment = None if database is None else experiment_in(database, tracking.experiment)
    return page if experiment is None else view_page(page, experiment)
