"""What commands have in common that are no part of `reelbench run`: readable errors, options in YAML.

The trainings of `reelbench train` use it, and the modules of the embedded world that are commands themselves.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import typer

from .errors import ReelbenchError
from .extras import missing_extra


def run_command(main: Callable[..., None]) -> None:
    """Run a module's `main` as a command; a missing library of the extra is one message and exit code 2."""
    try:
        typer.run(main)
    except ModuleNotFoundError as error:
        spec = sys.modules["__main__"].__spec__
        missing = missing_extra(error, f"python -m {spec.name if spec else Path(sys.argv[0]).stem}")
        if missing is None:
            raise
        typer.echo(f"error: {missing}", err=True)
        sys.exit(missing.exit_code)


@contextlib.contextmanager
def readable_errors() -> Iterator[None]:
    """Within the block, what is wrong with the input ends the command with a message and an exit code.

    Raises:
        typer.Exit: 2 for settings that are not allowed; the error's own code for a `ReelbenchError`.
    """
    from pydantic import ValidationError

    try:
        yield
    except (ValidationError, ReelbenchError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(getattr(error, "exit_code", 2)) from None


def yaml_mapping(text: str, option: str) -> dict[str, Any]:
    """The mapping that an option holds.

    Raises:
        typer.BadParameter: it holds no YAML, or another kind of value.
    """
    import yaml

    from .yaml_text import load_yaml

    try:
        values = load_yaml(text)
    except yaml.YAMLError as error:
        raise typer.BadParameter(f"{option} is not YAML: {error}") from error
    if not isinstance(values, dict):
        raise typer.BadParameter(f"{option} must be a mapping, such as {{root: data/ssv2}}, not {text!r}")
    return values
