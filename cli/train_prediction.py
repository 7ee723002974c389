r"""The command that trains FCA or its LoRA baseline on a data set of text-video prediction.

    reelbench train prediction --method fca --dataset ssv2 --settings '{root: data/ssv2, split: train}' \
        --base THUDM/CogVideoX-2b --work out/fca

Clips that cannot be read are left out; they are named at the end and in the work folder (`left-out.jsonl`).
With `--mlflow` the training is also a run of MLflow, which it resumes in (`reports.mlflow.listener`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..core.commands import readable_errors, yaml_mapping
from ..core.extras import require_bench
from . import training as shared

if TYPE_CHECKING:
    from ..core.types import Frames, Sample
    from ..datasets.clip_reader import ClipReader
    from ..methods.training.left_out_clips import LeftOutClip


def prediction(
    dataset: Annotated[str, typer.Option(help="Registered name of the data set.")],
    settings: Annotated[str, typer.Option(help="Of the data set, as YAML, for example {root: data/ssv2}.")],
    work: shared.Work,
    method: Annotated[str, typer.Option(help="fca or lora.")] = "fca",
    base: Annotated[
        str, typer.Option(help="CogVideoX: folder, name below the weights root, or hub id.")
    ] = "sprites/cogvideox",
    structure: Annotated[
        str, typer.Option(help="Of FCA (FcaConfig) or the LoRA (LoraSettings), as YAML.")
    ] = "{}",
    frames: Annotated[
        list[str] | None,
        typer.Option(help="Which of a clip: first (default), spread or seer; several times: all of them."),
    ] = None,
    stride: Annotated[int | None, typer.Option(help="Every so many frames, with --frames first.")] = None,
    fps: Annotated[
        float | None, typer.Option(help="Resample clips to this rate first, with --frames first or spread.")
    ] = None,
    height: Annotated[
        int | None, typer.Option(help="Of frames in pixels; the base's own by default.")
    ] = None,
    width: Annotated[int | None, typer.Option(help="Of frames in pixels; the base's own by default.")] = None,
    steps: shared.Steps = 20_000,
    batch_size: shared.BatchSize = 4,
    learning_rate: shared.LearningRate = 1e-4,
    optimizer: Annotated[str, typer.Option(help="adamw, or muon for the trained matrices.")] = "adamw",
    precision: shared.Precision = "bfloat16",
    checkpointing: shared.Checkpointing = True,
    preview_every: shared.PreviewEvery = 1000,
    num_previews: Annotated[int, typer.Option(help="Clips in a preview, the first of the data set.")] = 4,
    seed: shared.Seed = 0,
    mlflow: shared.Mlflow = None,
    experiment: shared.Experiment = "trainings",
) -> None:
    """Train FCA or a LoRA on captioned clips, given their first frames.

    Afterwards the method "fca" takes the base and `trained: WORK/fca.safetensors`; "cogvideox-lora" likewise.
    Of the folder alone, latents and checkpoint beside that file would be part of the method's identity.
    """
    require_bench("reelbench train prediction", ("accelerate", "diffusers"))
    import torch
    from accelerate import PartialState

    from ..core.errors import RunFileError
    from ..datasets.clip_reader import ClipReader
    from ..datasets.video import write_preview
    from ..methods.cogvideox.pipeline import load_cogvideox
    from ..methods.training.left_out_clips import left_out_clips, left_out_text, write_left_out
    from ..methods.training.prediction import PredictionPreview, PredictionTraining, new_predictor
    from ..methods.training.prediction_clips import PredictionClips, PredictionEncoder
    from ..methods.training.schedule import TrainingConfig

    choices = _choices(frames or ["first"], stride, fps)
    with readable_errors():
        shared.check_mlflow(mlflow)
        state = PartialState(cpu=not torch.cuda.is_available())
        config = TrainingConfig.model_validate(
            {
                "steps": steps,
                "batch_size": batch_size,
                "learning_rate": learning_rate,
                "optimizer": optimizer,
                "precision": precision,
                "gradient_checkpointing": checkpointing,
                "seed": seed,
            }
        )
        data = yaml_mapping(settings, "--settings")
        samples = _samples(dataset, data)
        num_given = samples[0].num_context_frames
        # A frozen base needs no more than its own format on a GPU; the sums of a CPU are made in float32.
        dtype: Any = "auto" if state.device.type == "cuda" and precision != "float32" else "float32"
        pipeline = load_cogvideox(base, device=str(state.device), dtype=dtype, height=height, width=width)
        predictor = new_predictor(method, pipeline, yaml_mapping(structure, "--structure"), seed)
        if num_given >= predictor.num_frames:
            raise RunFileError(
                f"the data set {dataset!r} gives {num_given} first frames, and a clip has "
                f"{predictor.num_frames}: none is left to predict",
                "lower num_context_frames in --settings, or raise num_frames in --structure",
            )
        encoder = PredictionEncoder(
            pipeline, predictor.num_frames, num_given, predictor.context_encoding, seed
        )
        readers = {
            choice: ClipReader(
                choice,  # type: ignore[arg-type]  # checked above
                stride if choice == "first" else None,
                fps if choice != "seer" else None,
            )
            for choice in choices
        }
        share = (state.process_index, state.num_processes)
        parts = {
            choice: encoder.encode(
                samples, read, work / "latents", shared.encoding_progress(f", {choice} frames"), *share
            )
            for choice, read in readers.items()
        }
        state.wait_for_everyone()
        left_out = left_out_clips(parts)
        if state.is_main_process:
            write_left_out(work, left_out)
        clips = PredictionClips([path for paths in parts.values() for path in paths])
        num_shown = num_previews if preview_every else 0
        shown = _given(samples, readers, left_out, predictor.num_frames, num_shown)
        preview = None
        if preview_every:
            preview = PredictionPreview(given=tuple(shown), every_steps=preview_every, write=write_preview)
        listener = shared.mlflow_listener(
            mlflow,
            experiment,
            f"{method} · {dataset}",
            {
                "method": method,
                "base": base,
                "dataset": dataset,
                "data": data,
                "structure": predictor.settings.model_dump(mode="json"),
                "trained_parameters": predictor.num_parameters,
                "training": config.model_dump(mode="json", exclude={"steps"}),
                "frames": {"which": choices, "stride": stride, "fps": fps},
                "num_frames": predictor.num_frames,
                "num_context_frames": num_given,
                "height": pipeline.height,
                "width": pipeline.width,
                "clips": {"num": len(clips), "num_left_out": len(left_out), "key": clips.fingerprint},
            },
            work,
            steps,
            [prompt for prompt, _ in shown],
        )
        training = PredictionTraining(predictor, clips, config, work, preview, listener)
        file = shared.run_training(training, listener)
    if file is not None:
        if left_out:
            typer.echo(left_out_text(left_out, len(samples), work), err=True)
        typer.echo(str(file))


def _samples(dataset: str, settings: dict[str, Any]) -> list[Sample]:
    """The clips of a data set of prediction; what it has to say about itself is printed."""
    from accelerate import PartialState

    from ..core.errors import DatasetError
    from ..core.registry import get

    plugin = get("datasets", dataset)
    loaded = plugin(plugin.Config.model_validate(settings))
    samples: list[Sample] = list(loaded)
    if PartialState().is_main_process:
        for note in loaded.notes():
            typer.echo(f"[data set] {note}", err=True)
    if not samples:
        raise DatasetError(f"the data set {dataset!r} has no samples", "correct --settings")
    if not samples[0].num_context_frames:
        raise typer.BadParameter(f"the data set {dataset!r} gives no first frames: it is not for prediction")
    return samples


def _choices(frames: Sequence[str], stride: int | None, fps: float | None) -> list[str]:
    """The readings that are asked for, each once."""
    for choice in frames:
        if choice not in ("first", "spread", "seer"):
            raise typer.BadParameter(f"{choice!r} is no choice of frames: allowed are first, spread, seer")
        if frames.count(choice) > 1:
            raise typer.BadParameter(f"--frames {choice} is given twice: each choice counts once")
    if stride is not None and "first" not in frames:
        raise typer.BadParameter(f"--stride {stride} needs --frames first, got {', '.join(frames)}")
    if fps is not None and set(frames) == {"seer"}:
        raise typer.BadParameter(f"--fps {fps:g} needs --frames first or spread: seer blends all frames")
    return list(frames)


def _given(
    samples: Sequence[Sample],
    readers: Mapping[str, ClipReader],
    left_out: Sequence[LeftOutClip],
    num_frames: int,
    num_clips: int,
) -> list[tuple[str, Frames]]:
    """Prompts and given frames of the first clips that are trained on."""
    cannot = {(clip.id, clip.frames) for clip in left_out}
    given: list[tuple[str, Frames]] = []
    for sample in samples:
        choice = next((choice for choice in readers if (sample.id, choice) not in cannot), None)
        if len(given) < num_clips and choice is not None:
            frames_THW3 = readers[choice](sample, num_frames)
            given.append((sample.prompt, frames_THW3[: sample.num_context_frames]))
    return given
