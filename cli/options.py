"""The argument and the options that the commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ..core.errors import ReelbenchError
    from ..core.run_file import RunFile

RunFileArgument = Annotated[
    Path, typer.Argument(metavar="RUN_FILE", help="The run file (YAML), for example configs/demo.yaml.")
]
LimitOption = Annotated[
    int | None,
    typer.Option(
        "--limit", metavar="N", help="Only the first N samples of each data set.", show_default=False
    ),
]
OnlyOption = Annotated[
    list[str] | None,
    typer.Option(
        "--only",
        metavar="NAME",
        help="Only this method, data set or metric; may be given several times.",
        show_default=False,
    ),
]
OutputOption = Annotated[
    Path | None,
    typer.Option(
        "--output", metavar="FOLDER", help="Where results go, instead of the run file's.", show_default=False
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def load(run_file: Path, limit: int | None, only: list[str] | None, output: Path | None) -> RunFile:
    """The validated run file with the command line's changes, its output folders made absolute.

    Raises:
        ReelbenchError: the run file or an option is not valid.
    """
    from ..core.run_file import load_run_file

    run = load_run_file(run_file, _more_faults).amended(limit=limit, only=only or (), output=output)
    # Absolute, as in the flow: tables, keys of caches and printed paths are then the same.
    return run.model_copy(update={"output": run.output.absolute(), "store": run.store_dir.absolute()})


def _more_faults(run: RunFile) -> list[ReelbenchError]:
    from ..stages.planning import run_faults

    return run_faults(run)


def relative(path: Path) -> str:
    """A path as it is shown: relative to the working directory where it lies below it."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
