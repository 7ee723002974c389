"""`reelbench watch`: run, and compare with the last good night."""

from __future__ import annotations

from pathlib import Path

import typer

from .options import LimitOption, OnlyOption, OutputOption, RunFileArgument, load, relative
from .results import print_places
from .run import run_flow


def watch(
    run_file: RunFileArgument,
    limit: LimitOption = None,
    only: OnlyOption = None,
    output: OutputOption = None,
) -> None:
    """Run as `reelbench run` does, then say what is better or worse than in the last run in which nothing
    failed, and what differs: commits, code, weights, libraries, hardware.

    Exit code 0: complete, and nothing is worse; 1: something is worse, or failed (0 where the run file says
    `failed_cells: complete`); 2: something to mend first; 130: interrupted.
    """
    from ..core.extras import BENCH_MODULES, require_bench

    amended = load(run_file, limit, only, output)
    require_bench("reelbench watch", [name for name in BENCH_MODULES if name != "ray"])
    result = run_flow(run_file, amended, limit, only, output, is_brief=True, is_watched=True)
    path = Path(result["changes"])
    typer.echo("")
    typer.echo(path.read_text(encoding="utf-8"))
    print_places(amended, Path(result["folder"]), result["mlflow"])
    typer.echo(f"Changes: {relative(path)}")
    is_bad = result["num_failures"] and amended.failed_cells == "fail"
    if result["verdict"] == "worse" or is_bad:
        raise typer.Exit(1)
