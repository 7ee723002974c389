"""`reelbench mlflow sync`: what MLflow shows, made again from the tables, on any server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import folder_path, load, relative, results_at

if TYPE_CHECKING:
    from ..core.run_folders import Results
    from ..reports.mlflow.place import Tracking

app = typer.Typer(no_args_is_help=True)


@app.callback()
def _group() -> None:
    """MLflow's view of runs."""


@app.command()
def sync(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN...",
            help="Run files or folders of runs (all their nights), or of results (out/demo/latest, tables).",
        ),
    ],
    to: Annotated[
        str | None,
        typer.Option(
            metavar="URI",
            help="A server's address, or sqlite:////absolute/path.db; by default where runs are logged.",
            show_default=False,
        ),
    ] = None,
    experiment: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Of MLflow; by default the run's name.", show_default=False),
    ] = None,
) -> None:
    """Log runs to MLflow from their tables. What is there already is not logged again; killed at any moment,
    the same command goes on.

    Exit code 0: all are there; 2: something to mend first.
    """
    from ..core.errors import StoreError
    from ..core.extras import require_bench
    from ..flows.environment import quiet_environment
    from ..reports.mlflow.logging_process import log_within_limits

    require_bench("reelbench mlflow sync", ("mlflow",))
    quiet_environment()
    found = [item for place in runs for item in _nights(place)]
    # All addresses are looked at before anything is logged.
    todo = [(results, tracking_for(place, results, to, experiment)) for place, results in found]
    for number, (results, tracking) in enumerate(todo, 1):
        report = results.folder / "report.html"
        typer.echo(f"[{number}/{len(todo)}] {relative(results.folder)} -> {tracking.shown} ...")
        logged = log_within_limits(results.tables, tracking, report if report.is_file() else None)
        if logged.problem is not None:
            raise StoreError(
                f"{relative(results.folder)}: {logged.problem}",
                f"{number - 1} of {len(todo)} are there; the same command logs the rest",
            )
        typer.echo(f"  {logged.page or f'run {logged.run_id}'}")
    for how in dict.fromkeys(tracking.how_to_open() for _, tracking in todo):
        typer.echo(f"MLflow:  {how}")


def _nights(place: str) -> list[tuple[str, Results]]:
    """The results that an argument names, the oldest first: of a run file, or the folder of a run, all."""
    from ..core.run_folders import find_results, run_ids

    path = folder_path(place)
    if path.suffix.lower() in (".yaml", ".yml") and not path.is_dir():
        path = load(path, None, None, None, look_up=False).run_dir
    folders = [path / name for name in run_ids(path)] if path.is_dir() else []
    found = [find_results(folder) for folder in folders if (folder / "tables" / "summary.parquet").is_file()]
    return [(place, results) for results in found or [results_at(place)]]


def tracking_for(place: str, results: Results, to: str | None, experiment: str | None) -> Tracking:
    """Where the results that `place` names are logged.

    Args:
        to, experiment: as of `sync`.

    Raises:
        StoreError: see `reports.mlflow.place.tracking_at`.
    """
    from ..reports.mlflow.place import tracking_at, tracking_of
    from ..reports.tables.run_tables import RunTables

    path = Path(place)
    if to is None and path.suffix.lower() in (".yaml", ".yml") and path.is_file():
        run = load(path, None, None, None, look_up=False)
        if run.mlflow.tracking_uri and (tracking := tracking_of(run)) is not None:
            return tracking if experiment is None else tracking.named(experiment)
    name = next((row["run"] for row in RunTables(results.tables).rows("runs") if row["run"]), "benchmark")
    return tracking_at(results.folder.resolve(), name, to, experiment)
