"""The commands of `reelbench`, and how their errors are shown.

Nothing heavy is imported here: `--help` must answer at once. Each command imports what it needs when
it runs. An error that the user can mend is printed as one message without a traceback (exit code 2);
REELBENCH_DEBUG=1 shows where it was raised.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterator
from typing import Any

import typer
from typer.core import TyperGroup

from ..core.errors import ReelbenchError, nearest
from ..core.extras import missing_extra
from . import (
    bundle,
    compare,
    contact_sheet,
    doctor,
    evaluate,
    history,
    ls,
    plan,
    report,
    run,
    serve,
    status,
    table,
    ui,
    verify,
    watch,
)
from .lazy import LazyGroup
from .logs import LoggedCommand
from .terminal import INTERRUPTED, TERMINATED, unwinding

CONTEXT = {"help_option_names": ["-h", "--help"]}

# Wherever typer keeps click: errors in the command line are of the class that BadParameter comes from.
_UsageError: Any = typer.BadParameter.__bases__[0]

_SURROUNDINGS = {
    errno.ENOSPC: "free some space there, or choose another place{how}",
    errno.EDQUOT: "free some of your quota there, or choose another place{how}",
    errno.EROFS: "choose a place that can be written{how}",
    errno.EACCES: "choose a place that you may write{how}, or change its permissions",
    errno.EPERM: "choose a place that you may write{how}, or change its permissions",
    errno.ENAMETOOLONG: "choose a place with a shorter name{how}",
    errno.ENOENT: "there is no such place, and it cannot be made: choose another one",
    errno.EEXIST: "something else of that name is there: choose another one",
    errno.ENOTDIR: "a part of it is a file, not a folder: choose another one",
    errno.EMFILE: "raise the limit of open files: `ulimit -n 4096`",
}
"""Errors of the system that are no defect of ours, and what to do; `{how}`: by its option, if it has one."""


class ReelbenchGroup(TyperGroup):
    """The commands, with our errors shown as messages, and the sub-commands that are loaded late."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.add_command(
            LazyGroup(
                "train",
                "reelbench.cli.train",
                help="Train on data sets: SimDA's adapters, predictors, an upscaler's adapters.",
                context_settings=CONTEXT,
            )
        )
        self.add_command(
            LazyGroup(
                "mlflow",
                "reelbench.cli.mlflow_sync",
                help="MLflow's view of runs, made again from their tables.",
                context_settings=CONTEXT,
            )
        )
        self.add_command(
            LazyGroup(
                "world",
                "reelbench.worlds.sprites.commands",
                help="The embedded world Sprites: write its data sets, train and check its small models.",
                context_settings=CONTEXT,
            )
        )

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """With errors that the user can mend shown as one message."""
        with _shown_errors():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: Any) -> Any:
        """With errors that the user can mend, and interruptions, shown as one message."""
        with _shown_errors(ctx), unwinding():
            return super().invoke(ctx)


@contextlib.contextmanager
def _shown_errors(ctx: Any = None) -> Iterator[None]:
    """What the user can mend, and interruptions, as one message on standard error and an exit code.

    Args:
        ctx: of the command that runs, where one does.
    """
    try:
        yield
    except ReelbenchError as error:
        if os.environ.get("REELBENCH_DEBUG"):
            raise
        print_error(error)
        raise typer.Exit(error.exit_code) from None
    except ModuleNotFoundError as error:
        command = "reelbench" if ctx is None else f"{ctx.command_path} {ctx.invoked_subcommand}"
        missing = missing_extra(error, command)
        if missing is None or os.environ.get("REELBENCH_DEBUG"):
            raise
        print_error(missing)
        raise typer.Exit(missing.exit_code) from None
    except _UsageError as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            raise
        print_error(_usage_error(error))
        raise typer.Exit(error.exit_code) from None
    except OSError as error:
        if error.errno not in _SURROUNDINGS or os.environ.get("REELBENCH_DEBUG"):
            raise
        where = f"{error.filename}: " if error.filename else ""
        has_output = ctx is not None and _takes(ctx, ctx.command, "--output", ctx.invoked_subcommand)
        hint = _SURROUNDINGS[error.errno].format(how=" with --output" if has_output else "")
        kept = "; what is finished is kept" if has_output else ""
        print_error(ReelbenchError(f"{where}{error.strerror}", f"{hint}{kept}"))
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        typer.secho(INTERRUPTED, fg="yellow", err=True)
        raise typer.Exit(130) from None
    except BaseException as error:
        if not _is_termination(error):
            raise
        typer.secho(TERMINATED, fg="yellow", err=True)
        raise typer.Exit(143) from None


def _takes(ctx: Any, command: Any, option: str, name: str | None = None) -> bool:
    """Whether a command takes an option; of a group the command that was called, or else any of its own."""
    if hasattr(command, "list_commands"):
        names = command.list_commands(ctx) if name is None else [name]
        return any(_takes(ctx, command.get_command(ctx, one), option) for one in names)
    return any(option in parameter.opts for parameter in getattr(command, "params", ()))


def _is_termination(error: BaseException | None) -> bool:
    """Whether SIGTERM is behind an exception. Prefect raises a class of its own, and what Ray waits in makes
    a SystemError of any."""
    while error is not None:
        if type(error).__name__ == "TerminationSignal" or (
            isinstance(error, SystemExit) and error.code == 143
        ):
            return True
        error = error.__cause__
    return False


def _usage_error(error: Any) -> ReelbenchError:
    """An error of the command line in our form, with the nearest of the allowed values."""
    command = error.ctx.command_path if error.ctx is not None else "reelbench"
    message = error.format_message().replace("Value error, ", "").rstrip(".")
    # Typer takes values by pydantic, whose messages leave them out.
    with contextlib.suppress(AttributeError, LookupError):
        given = repr(error.__cause__.errors()[0]["input"])
        message = message if given in message else f"{message} (given: {given})"
    hint = f"`{command} --help` shows what it takes"
    if found := re.search(r"'([^']*)' is not one of (.*)", message):
        close = nearest(found[1], re.findall(r"'([^']+)'", found[2]))
        hint = f"did you mean {close!r}? {hint}" if close else hint
    return ReelbenchError(message[:1].lower() + message[1:], hint)


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
    pretty_exceptions_enable=False,
    context_settings=CONTEXT,
)
app.command("plan", cls=LoggedCommand)(plan.plan)
app.command("run", cls=LoggedCommand)(run.run)
app.command("watch", cls=LoggedCommand)(watch.watch)
app.command("history", cls=LoggedCommand)(history.history)
app.command("serve", cls=LoggedCommand)(serve.serve)
app.command("ui", cls=LoggedCommand)(ui.ui)
app.command("status", cls=LoggedCommand)(status.status)
app.command("report", cls=LoggedCommand)(report.report)
app.command("table", cls=LoggedCommand)(table.table)
app.command("evaluate", cls=LoggedCommand)(evaluate.evaluate)
app.command("compare", cls=LoggedCommand)(compare.compare)
app.command("contact-sheet", cls=LoggedCommand)(contact_sheet.contact_sheet)
app.command("ls")(ls.ls)
app.command("bundle", cls=LoggedCommand)(bundle.bundle)
app.command("verify", cls=LoggedCommand)(verify.verify)
app.command("doctor")(doctor.doctor)


@app.callback(invoke_without_command=True)
def _root(
    version: bool = typer.Option(
        False, "--version", help="Print the version, and those of the libraries that matter.", is_eager=True
    ),
) -> None:
    if version:
        from .versions import version_lines

        typer.echo("\n".join(version_lines()))
        raise typer.Exit
    from ..core.proxies import apply_proxy_changes

    for note in apply_proxy_changes():
        typer.secho(f"note: {note}", fg="yellow", err=True)
