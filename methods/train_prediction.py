"""The command that trains FCA or its LoRA baseline on a data set of text-video prediction.

    python -m reelbench.methods.train_prediction --method fca --dataset ssv2 \\
        --settings '{root: data/ssv2, split: train}' --base THUDM/CogVideoX-2b --work out/fca
    accelerate launch -m reelbench.methods.train_prediction ...        on several GPUs

Killed and started again with the same options, it goes on where it stopped. Afterwards the method "fca" takes
`base: THUDM/CogVideoX-2b` and `trained: out/fca`; "cogvideox-lora" likewise.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from .cogvideox import CogVideoX
    from .predictor import Predictor


def main(
    dataset: Annotated[str, typer.Option(help="Registered name of the data set.")],
    settings: Annotated[str, typer.Option(help="Of the data set, as YAML, for example {root: data/ssv2}.")],
    work: Annotated[Path, typer.Option(help="Folder for latents, checkpoint, log, previews and the result.")],
    method: Annotated[str, typer.Option(help="fca or lora.")] = "fca",
    base: Annotated[
        str, typer.Option(help="CogVideoX: folder, name below the weights root, or hub id.")
    ] = "sprites/cogvideox",
    structure: Annotated[
        str, typer.Option(help="Of FCA (FcaConfig) or the LoRA (LoraSettings), as YAML.")
    ] = "{}",
    frames: Annotated[str, typer.Option(help="Which of a clip: first, spread or seer.")] = "first",
    stride: Annotated[int | None, typer.Option(help="Every so many frames, with --frames first.")] = None,
    fps: Annotated[float | None, typer.Option(help="Resample clips to this rate first.")] = None,
    height: Annotated[
        int | None, typer.Option(help="Of frames in pixels; the base's own by default.")
    ] = None,
    width: Annotated[int | None, typer.Option(help="Of frames in pixels; the base's own by default.")] = None,
    steps: Annotated[int, typer.Option(help="Updates.")] = 20_000,
    batch_size: Annotated[int, typer.Option(help="Clips in an update, over all GPUs.")] = 4,
    learning_rate: Annotated[float, typer.Option(help="Peak learning rate.")] = 1e-4,
    precision: Annotated[str, typer.Option(help="float32, bfloat16 or float16.")] = "bfloat16",
    checkpointing: Annotated[bool, typer.Option(help="Less memory, a third more time.")] = True,
    preview_every: Annotated[int, typer.Option(help="Updates between previews; 0 for none.")] = 1000,
    num_previews: Annotated[int, typer.Option(help="Clips in a preview, the first of the data set.")] = 4,
    seed: Annotated[int, typer.Option(help="Of initial values, batches and noise.")] = 0,
) -> None:
    """Train FCA or a LoRA on captioned clips, given their first frames."""
    import torch
    from accelerate import PartialState
    from pydantic import ValidationError

    from ..core.errors import ReelbenchError
    from ..core.registry import get
    from .cogvideox import load_cogvideox
    from .prediction_clips import (
        ClipReader,
        PredictionClips,
        PredictionEncoding,
        encode_prediction_clips,
    )
    from .prediction_training import PredictionPreview, PredictionTraining
    from .training_schedule import TrainingConfig

    if frames not in ("first", "spread", "seer"):
        raise typer.BadParameter(f"{frames!r} is no choice of frames: allowed are first, spread, seer")
    try:
        state = PartialState(cpu=not torch.cuda.is_available())
        config = TrainingConfig.model_validate(
            {
                "steps": steps,
                "batch_size": batch_size,
                "learning_rate": learning_rate,
                "precision": precision,
                "gradient_checkpointing": checkpointing,
                "seed": seed,
            }
        )
        plugin = get("datasets", dataset)
        samples = list(plugin(plugin.Config.model_validate(_mapping(settings, "--settings"))))
        num_given = samples[0].num_context_frames
        if not num_given:
            raise typer.BadParameter(
                f"the data set {dataset!r} gives no first frames: it is not for prediction"
            )
        # A frozen base needs no more than its own format on a GPU; the sums of a CPU are made in float32.
        dtype: Any = "auto" if state.device.type == "cuda" and precision != "float32" else "float32"
        pipeline = load_cogvideox(base, device=str(state.device), dtype=dtype, height=height, width=width)
        predictor = make_predictor(method, pipeline, _mapping(structure, "--structure"), seed)
        encoding = PredictionEncoding(predictor.num_frames, num_given, predictor.context_encoding, seed)
        read = ClipReader(frames, stride, fps)  # type: ignore[arg-type]  # checked above

        def progress(done: int, of: int) -> None:
            if state.is_main_process:
                typer.echo(f"[latents] {done} of {of} clips", err=True)

        parts = encode_prediction_clips(
            pipeline,
            samples,
            encoding,
            work / "latents",
            read,
            progress,
            state.process_index,
            state.num_processes,
        )
        state.wait_for_everyone()
        preview = None
        if preview_every:
            shown = [(s.prompt, read(s, encoding.num_frames)[:num_given]) for s in samples[:num_previews]]
            preview = PredictionPreview(tuple(shown), preview_every)
        training = PredictionTraining(predictor, PredictionClips(parts), config, work, preview)
        file = training.run()
        training.close()
    except ValidationError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None
    except ReelbenchError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(error.exit_code) from None
    if file is not None:
        typer.echo(str(file))


def make_predictor(method: str, pipeline: CogVideoX, structure: dict[str, Any], seed: int) -> Predictor:
    """An untrained predictor.

    Args:
        method: "fca" or "lora".
        pipeline: its base.
        structure: of FcaConfig or LoraSettings.
        seed: of the initial values.
    """
    from .fca_config import FcaConfig
    from .fca_predictor import FcaPredictor
    from .lora_predictor import LoraPredictor, LoraSettings

    if method == "fca":
        return FcaPredictor(pipeline, FcaConfig.model_validate(structure), seed)
    if method == "lora":
        return LoraPredictor(pipeline, LoraSettings.model_validate(structure), seed)
    raise typer.BadParameter(f"{method!r} is no method that trains here: allowed are fca and lora")


def _mapping(text: str, option: str) -> dict[str, Any]:
    import yaml

    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise typer.BadParameter(f"{option} is not YAML: {error}") from error
    if not isinstance(values, dict):
        raise typer.BadParameter(f"{option} must be a mapping, such as {{root: data/ssv2}}, not {text!r}")
    return values


if __name__ == "__main__":
    typer.run(main)
