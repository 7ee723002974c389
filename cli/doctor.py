"""`reelbench doctor`: is this machine ready to run a benchmark?"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Annotated

import typer

from .options import OnlineOption, folder_path


def doctor(
    run_file: Annotated[
        Path | None,
        typer.Argument(
            metavar="[RUN_FILE]",
            help="Also check the data sets, weights and metrics of this run file.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            metavar="FOLDER",
            parser=folder_path,
            help="Where results would go.",
            show_default=False,
        ),
    ] = None,
    data: Annotated[
        bool,
        typer.Option("--data", help="Open every video that the run file's samples refer to, not a few."),
    ] = False,
    online: OnlineOption = False,
) -> None:
    """Check versions, hardware, settings, weights and data sets. Exit code 1 when something is broken, 2 when
    an option needs a run file."""
    from ..core.errors import ReelbenchError
    from .checks import BAD, machine_checks

    for name, is_given in (("--data", data), ("--online", online)):
        if is_given and run_file is None:
            raise ReelbenchError(
                f"{name} needs a run file: it looks at the data sets and weights that one names",
                f"reelbench doctor RUN_FILE {name}, for example with configs/demo.yaml",
            )
    colours = {"✓": "green", "!": "yellow", "✗": "red"}
    num_bad = 0
    checks = machine_checks(output or Path("out"))
    if run_file is not None:
        from .checks_run import run_file_checks

        checks = itertools.chain(checks, run_file_checks(run_file, output, data, online))
    for check in checks:
        num_bad += check.sign == BAD
        typer.secho(f"{check.sign} ", fg=colours[check.sign], nl=False)
        typer.echo(f"{check.what}: {check.found}")
    if num_bad:
        typer.secho(f"{num_bad} thing(s) to mend", fg="red")
        raise typer.Exit(1)
