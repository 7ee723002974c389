"""`-v/--verbose`: what happens, as log lines on standard error."""

from __future__ import annotations

import logging
import os
import sys
from typing import Any

import typer
from typer.core import TyperCommand

_LIBRARIES = ("prefect", "ray", "mlflow")


def show_logs() -> None:
    """Show what Reelbench does (INFO), and the warnings of Prefect, Ray and MLflow."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(name)s: %(message)s", "%H:%M:%S"))
    logger = logging.getLogger("reelbench")
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False
    for name in _LIBRARIES:
        logging.getLogger(name).setLevel(logging.WARNING)
    os.environ["PREFECT_LOGGING_LEVEL"] = os.environ["PREFECT_SERVER_LOGGING_LEVEL"] = "WARNING"


class LoggedCommand(TyperCommand):
    """A command with `-v/--verbose`, which its function need not know."""

    def __init__(self, *args: Any, params: list[Any] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, params=[*(params or []), *_verbose_option()], **kwargs)


def _verbose_option() -> list[Any]:
    """The option, as typer makes it of a function's argument."""

    def declared(
        verbose: bool = typer.Option(
            False,
            "--verbose",
            "-v",
            help="Show what happens, and warnings of the libraries, on standard error.",
            expose_value=False,
            callback=_callback,
        ),
    ) -> None: ...

    maker = typer.Typer(add_completion=False)
    maker.command()(declared)
    command = typer.main.get_command(maker)
    return [option for option in command.params if option.name == "verbose"]


def _callback(value: bool) -> None:
    if value:
        show_logs()
