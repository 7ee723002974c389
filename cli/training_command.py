"""What the commands that train have in common: readable errors, and the training as a run of MLflow."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from ..reports.mlflow.listener import MlflowListener


def run_command(main: Callable[..., None]) -> None:
    """Run a module's `main` as a command; a missing library of the extra is one message and exit code 2."""
    from ..core.extras import missing_extra

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

    from ..core.errors import ReelbenchError

    try:
        yield
    except ValidationError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None
    except ReelbenchError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(error.exit_code) from None


def check_mlflow(tracking_uri: str | None) -> None:
    """Refuses an address that would fail after hours of encoding.

    Raises:
        StoreError: see `mlflow_run.check_tracking_uri`.
    """
    if tracking_uri is not None:
        from ..reports.mlflow.training_run import check_tracking_uri

        check_tracking_uri(tracking_uri)


def mlflow_listener(
    tracking_uri: str | None,
    experiment: str,
    name: str,
    params: Mapping[str, Any],
    work: Path,
    steps: int,
    prompts: Sequence[str],
) -> MlflowListener | None:
    """The listener of a training, or None: without an address, and in all processes but the main one.

    Args:
        tracking_uri, experiment, name, params, work: see `MlflowListener`.
        steps: updates that are asked for.
        prompts: of the previews.
    """
    from accelerate import PartialState

    from ..reports.mlflow.listener import MlflowListener

    state = PartialState()
    if tracking_uri is None or not state.is_main_process:
        return None
    tags = {"steps": str(steps), "processes": str(state.num_processes)}
    tags |= {f"preview.{number:02d}": prompt for number, prompt in enumerate(prompts)}
    return MlflowListener(tracking_uri, experiment, name, params, work, tags)


def yaml_mapping(text: str, option: str) -> dict[str, Any]:
    """The mapping that an option holds.

    Raises:
        typer.BadParameter: it holds no YAML, or another kind of value.
    """
    import yaml

    from ..core.yaml_text import load_yaml

    try:
        values = load_yaml(text)
    except yaml.YAMLError as error:
        raise typer.BadParameter(f"{option} is not YAML: {error}") from error
    if not isinstance(values, dict):
        raise typer.BadParameter(f"{option} must be a mapping, such as {{root: data/ssv2}}, not {text!r}")
    return values
