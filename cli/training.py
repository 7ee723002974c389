"""What the commands of `reelbench train` share: options, the training as a run of MLflow, its end."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from ..methods.training.loop import Training
    from ..reports.mlflow.listener import MlflowListener

Work = Annotated[Path, typer.Option(help="Folder for latents, checkpoint, log, previews and the result.")]
Steps = Annotated[int, typer.Option(help="Updates.")]
BatchSize = Annotated[int, typer.Option(help="Clips in an update, over all GPUs.")]
LearningRate = Annotated[float, typer.Option(help="Peak learning rate.")]
Precision = Annotated[str, typer.Option(help="float32, bfloat16 or float16.")]
Checkpointing = Annotated[bool, typer.Option(help="Less memory, a third more time.")]
PreviewEvery = Annotated[int, typer.Option(help="Updates between previews; 0 for none.")]
Seed = Annotated[int, typer.Option(help="Of initial values, batches and noise.")]
Mlflow = Annotated[
    str | None,
    typer.Option(
        help="Log to MLflow: sqlite:////absolute/path.db, or a server's address; off for not at all.",
        envvar="MLFLOW_TRACKING_URI",
    ),
]
Experiment = Annotated[str, typer.Option(help="Of MLflow.", envvar="MLFLOW_EXPERIMENT_NAME")]


def check_mlflow(tracking_uri: str | None) -> None:
    """Refuses an address that would fail after hours of encoding.

    Raises:
        StoreError: see `reports.mlflow.place.check_tracking_uri`.
    """
    if tracking_uri is not None and tracking_uri != "off":
        from ..reports.mlflow.place import check_tracking_uri

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
    if tracking_uri is None or tracking_uri == "off" or not state.is_main_process:
        return None
    tags = {"steps": str(steps), "processes": str(state.num_processes)}
    tags |= {f"preview.{number:02d}": prompt for number, prompt in enumerate(prompts)}
    return MlflowListener(tracking_uri, experiment, name, params, work, tags)


def encoding_progress(which: str = "") -> Callable[[int, int], None]:
    """Shows how many clips are encoded, in the main process.

    Args:
        which: of the clips, where there are several kinds.
    """
    from accelerate import PartialState

    state = PartialState()

    def progress(done: int, of: int) -> None:
        if state.is_main_process:
            typer.echo(f"[latents] {done} of {of} clips{which}", err=True)

    return progress


def run_training(training: Training, listener: MlflowListener | None = None) -> Path | None:
    """Train to the end; the file of the result, None in the processes that do not write it."""
    with contextlib.nullcontext() if listener is None else listener:
        file = training.run()
    training.close()
    return file
