"""`reelbench run`: do what is missing, then show the comparison."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import LimitOption, OnlyOption, OutputOption, RunFileArgument, load, relative
from .plan import summary_line, warnings
from .results import check_recorded, print_failures, print_places, print_reproduction, print_tables

if TYPE_CHECKING:
    from ..core.run_file import RunFile


def run(
    run_file: RunFileArgument,
    limit: LimitOption = None,
    only: OnlyOption = None,
    output: OutputOption = None,
    against: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Say of each score whether it is the recorded one, for example of docs/benchmark.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Sample, measure, tabulate and report. What the store already holds is not done again.

    Exit code 0: complete, also where MLflow was not reached; 1: finished with failures (0 where the run file
    says `failed_cells: complete`), or with scores that are not the recorded ones; 2: something to mend first;
    130: interrupted, and the same command goes on where it stopped.
    """
    from ..core.extras import BENCH_MODULES, require_bench

    amended = load(run_file, limit, only, output)
    is_ray_needed = amended.executor == "ray"  # "auto" goes on without
    require_bench("reelbench run", [name for name in BENCH_MODULES if name != "ray" or is_ray_needed])
    if against is not None:
        check_recorded(against)
    result = run_flow(run_file, amended, limit, only, output, is_brief=against is not None)
    folder = Path(result["folder"])
    is_reproduced = against is None or print_reproduction(folder, against)
    print_places(amended, folder, result["mlflow"])
    if (result["num_failures"] and amended.failed_cells == "fail") or not is_reproduced:
        raise typer.Exit(1)


def run_flow(
    run_file: Path,
    amended: RunFile,
    limit: int | None,
    only: list[str] | None,
    output: Path | None,
    is_brief: bool,
    is_watched: bool = False,
) -> dict[str, Any]:
    """Run the flow and print its tables; what the flow returns.

    Args:
        is_brief: without the tables of editing and prediction.
        is_watched: the flow `watch` in place of `benchmark`.
    """
    from ..core.waiting import waiting
    from ..flows.environment import quiet_environment
    from ..flows.servers.prefect_server import is_running, prefect_api
    from ..flows.workers.ray_address import check_form

    # Prefect would log an exception with its traceback; the command shows it, once.
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")
    quiet_environment()
    if amended.executor != "local":
        check_form(os.environ.get("RAY_ADDRESS", ""))
    if is_running(amended.output):
        typer.secho(
            f"Another run is going on in {relative(amended.output)}: the two share the work.",
            fg="yellow",
            err=True,
        )
    # The server starts in its own process while the plan is made and the flow is imported here.
    with prefect_api(amended.output) as api:
        _print_plan(amended)
        with waiting("Prefect to be loaded"):  # a minute on a busy machine
            if is_watched:
                from ..flows.watch import watch as flow
            else:
                from ..flows.benchmark import benchmark as flow
            from ..flows.benchmark import finished
            from ..flows.servers.server_watch import server_watched
            from ..flows.view.outcome import CellsFailedError, returned_with

        api.wait()
        try:
            with server_watched():
                result: dict[str, Any] = flow(
                    str(run_file), limit, list(only or ()), None if output is None else str(output)
                )
        except CellsFailedError as error:
            result = error.result
        except Exception as error:
            if not finished:
                api.check()
                raise
            result = returned_with(finished[-1])
            typer.secho(
                f"The run is finished; Prefect's page lacks the end, as its server does not answer: {error}",
                fg="yellow",
                err=True,
            )
    folder = Path(result["folder"])
    print_tables(folder, is_brief)
    print_failures(folder)
    if result["num_failures"]:
        typer.secho(
            f"{result['num_failures']} clips or features failed: the values above are over what is there "
            "(see coverage). The same command tries them again.",
            fg="yellow",
        )
        if amended.failed_cells == "complete":
            typer.echo("`failed_cells: complete` in the run file: the exit code is 0 all the same.")
    return result


def _print_plan(amended: RunFile) -> None:
    """Make the plan before the flow does: what the user must mend is then said before anything starts."""
    from ..core.store import Store
    from ..datasets.video import default_codec
    from ..flows.workers.ray_address import check_ray_address
    from ..reports.mlflow.place import tracking_of, why_not_reached
    from ..stages.planning import plan_run

    tracking = tracking_of(amended)
    store = Store(amended.store_dir, default_codec())
    planned, _ = plan_run(amended, store)
    address = os.environ.get("RAY_ADDRESS", "")
    if amended.executor != "local" and address not in ("", "local") and planned.num_missing:
        check_ray_address(address)
    if tracking is not None and (problem := why_not_reached(tracking)) is not None:
        told = f"MLflow at {tracking.shown} cannot be used now: {problem}"
        typer.secho(f"{told}. The run goes on, and tries at its end.", fg="yellow", err=True)
    for line in warnings(planned):
        typer.secho(line, fg="yellow")
    typer.echo(f"{amended.name}: {summary_line(planned)}; results go to {relative(amended.run_dir)}")
