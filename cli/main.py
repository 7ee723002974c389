"""The command `reelbench`.

Nothing heavy is imported here: `--help` must answer at once. Each command imports what it needs when
it runs. An error that the user can mend is printed as one message without a traceback (exit code 2);
REELBENCH_DEBUG=1 shows where it was raised.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import typer
from typer.core import TyperGroup

from ..core.errors import ReelbenchError
from ..core.extras import missing_extra
from . import contact_sheet, doctor, evaluate, ls, plan, report, run, status
from .lazy import LazyGroup

CONTEXT = {"help_option_names": ["-h", "--help"]}


class ReelbenchGroup(TyperGroup):
    """The commands, with our errors shown as messages, and the sub-commands that are loaded late."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.add_command(
            LazyGroup(
                "world",
                "reelbench.worlds.sprites.commands",
                help="The embedded world Sprites: write its data sets, train and check its small models.",
            )
        )

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except ReelbenchError as error:
            if os.environ.get("REELBENCH_DEBUG"):
                raise
            print_error(error)
            raise typer.Exit(error.exit_code) from None
        except ModuleNotFoundError as error:
            missing = missing_extra(error, f"{ctx.command_path} {ctx.invoked_subcommand}")
            if missing is None or os.environ.get("REELBENCH_DEBUG"):
                raise
            print_error(missing)
            raise typer.Exit(missing.exit_code) from None


def print_error(error: ReelbenchError) -> None:
    """The message and the hint on standard error."""
    typer.secho(f"error: {error.message}", fg="red", err=True)
    if error.hint:
        typer.echo(f"  -> {error.hint}", err=True)


app = typer.Typer(
    name="reelbench",
    cls=ReelbenchGroup,
    help="A reproducible benchmark of the ways to turn a pretrained diffusion model into a video model.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings=CONTEXT,
)
app.command("plan")(plan.plan)
app.command("run")(run.run)
app.command("status")(status.status)
app.command("report")(report.report)
app.command("evaluate")(evaluate.evaluate)
app.command("contact-sheet")(contact_sheet.contact_sheet)
app.command("ls")(ls.ls)
app.command("doctor")(doctor.doctor)


@app.callback(invoke_without_command=True)
def _root(
    version: bool = typer.Option(False, "--version", help="Print the version.", is_eager=True),
) -> None:
    if version:
        from .. import __version__

        typer.echo(f"reelbench {__version__}")
        raise typer.Exit


def main() -> None:
    """The console script."""
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
