"""The commands that train on data sets: `reelbench train adapters | prediction | upscaler`.

Killed and started again with the same options, a training resumes. On several GPUs:

    accelerate launch -m reelbench.cli.main train prediction ...

The adapters of SimDA and of an upscaler are trained here, on a data set in the layout of WebVid; predictors
in `cli.train_prediction`. Learning rates, steps, sizes and noise of the published trainings are not known;
the defaults are ours.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..core.commands import readable_errors
from ..core.extras import require_bench
from . import training as shared
from .train_prediction import prediction

if TYPE_CHECKING:
    from ..core.types import Sample
    from ..methods.adapters.adapters import AdapterConfig

DEFAULT_PROMPTS = (
    "a dog runs along a beach",
    "waves break on rocks",
    "a city street at night",
    "a bird takes off",
)

RootOption = Annotated[Path, typer.Option(help="Folder of the data set, in the layout of WebVid.")]
ListOption = Annotated[str, typer.Option("--list", help="2M-train, 10M-train, 2M-val or 10M-val.")]
ClipsOption = Annotated[int | None, typer.Option(help="How many clips to draw; all by default.")]
NumFramesOption = Annotated[int, typer.Option(help="Frames of a clip.")]
PresetOption = Annotated[str, typer.Option(help="paper or released: what the adapters are.")]

app = typer.Typer(
    help="Train on data sets: adapters, predictors, an upscaler's adapters.",
    no_args_is_help=True,
    add_completion=False,
)
app.command("prediction")(prediction)


@app.command("adapters")
def adapters(
    root: RootOption,
    work: shared.Work,
    pipeline: Annotated[
        str, typer.Option(help="The image model: folder, or name below the weights root.")
    ] = "pipeline",
    webvid_list: ListOption = "10M-train",
    clips: ClipsOption = None,
    num_frames: NumFramesOption = 16,
    frames: Annotated[str, typer.Option(help="Which: spread over the video, or the first.")] = "first",
    size: Annotated[
        int | None, typer.Option(help="Side of the frames in pixels; the pipeline's own by default.")
    ] = 256,
    preset: PresetOption = "paper",
    steps: shared.Steps = 20_000,
    batch_size: shared.BatchSize = 4,
    learning_rate: shared.LearningRate = 1e-4,
    precision: shared.Precision = "bfloat16",
    checkpointing: shared.Checkpointing = True,
    preview_every: shared.PreviewEvery = 1000,
    prompt: Annotated[list[str] | None, typer.Option(help="Prompts of the previews.")] = None,
    seed: shared.Seed = 0,
    mlflow: shared.Mlflow = None,
    experiment: shared.Experiment = "trainings",
) -> None:
    """Train SimDA's adapters on videos with captions.

    Afterwards the method "simda" takes `adapters: WORK`.
    """
    require_bench("reelbench train adapters", ("accelerate", "diffusers"))
    import torch
    from accelerate import PartialState

    from ..datasets.clip_reader import ClipReader
    from ..datasets.video import write_preview
    from ..methods.adapters.adapters import Adapters
    from ..methods.stable_diffusion.pipeline import load_pipeline
    from ..methods.training.adapter_clips import AdapterEncoder
    from ..methods.training.adapters import PreviewConfig, VideoTraining
    from ..methods.training.clips import TrainingClips
    from ..methods.training.schedule import TrainingConfig

    with readable_errors():
        shared.check_mlflow(mlflow)
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
        structure = _structure(preset)
        samples = _webvid(root, webvid_list, clips)
        model = load_pipeline(pipeline, device=str(state.device), dtype="float32", height=size, width=size)
        parts = AdapterEncoder(model, num_frames, seed).encode(
            samples,
            ClipReader("spread" if frames == "spread" else "first"),
            work / "latents",
            shared.encoding_progress(),
            state.process_index,
            state.num_processes,
        )
        state.wait_for_everyone()
        prompts = tuple(prompt or DEFAULT_PROMPTS)
        preview = None
        if preview_every:
            preview = PreviewConfig(prompts=prompts, every_steps=preview_every, write=write_preview)
        trained, encoded = Adapters(model.unet, structure, seed), TrainingClips(parts)
        listener = shared.mlflow_listener(
            mlflow,
            experiment,
            f"simda · webvid {webvid_list}",
            {
                "method": "simda",
                "pipeline": pipeline,
                "dataset": "webvid",
                "data": {"root": root, "list": webvid_list, "subset": clips},
                "frames": {"num": num_frames, "which": frames, "size": size},
                "adapters": {"preset": preset, **trained.config.model_dump(mode="json")},
                "training": config.model_dump(mode="json", exclude={"steps"}),
                "clips": {"num": len(encoded), "key": encoded.fingerprint},
            },
            work,
            steps,
            prompts,
        )
        training = VideoTraining(model, trained, encoded, config, work, preview, listener=listener)
        file = shared.run_training(training, listener)
    if file is not None:
        typer.echo(str(file))


@app.command("upscaler")
def upscaler(
    root: RootOption,
    work: shared.Work,
    upscaler: Annotated[
        str, typer.Option(help="The image upscaler: folder, or name below the weights root.")
    ],
    webvid_list: ListOption = "10M-train",
    clips: ClipsOption = None,
    num_frames: NumFramesOption = 16,
    size: Annotated[
        int | None, typer.Option(help="Side of the large frames in pixels; the upscaler's own by default.")
    ] = None,
    max_noise_level: Annotated[
        int | None,
        typer.Option(help="Highest level of the low resolution's noise; the upscaler's by default."),
    ] = None,
    preset: PresetOption = "paper",
    steps: shared.Steps = 20_000,
    batch_size: Annotated[int, typer.Option(help="Clips in an update.")] = 1,
    learning_rate: shared.LearningRate = 1e-4,
    precision: shared.Precision = "bfloat16",
    checkpointing: shared.Checkpointing = True,
    seed: shared.Seed = 0,
) -> None:
    """Train an upscaler's adapters on videos with captions, on one device.

    Afterwards the upscaler "latent-upscaler" takes `adapters: WORK`.
    """
    require_bench("reelbench train upscaler", ("accelerate", "diffusers"))
    import torch

    from ..datasets.clip_reader import ClipReader
    from ..methods.adapters.adapters import Adapters
    from ..methods.training.adapter_clips import UpscalerEncoder, UpscalingClips
    from ..methods.training.upscaler import UpscalerTraining, UpscalerTrainingConfig
    from ..methods.upscaling.pipeline import load_upscaler

    with readable_errors():
        structure = _structure(preset)
        config = UpscalerTrainingConfig.model_validate(
            {
                "steps": steps,
                "batch_size": batch_size,
                "learning_rate": learning_rate,
                "precision": precision,
                "gradient_checkpointing": checkpointing,
                "max_noise_level": max_noise_level,
                "seed": seed,
            }
        )
        samples = _webvid(root, webvid_list, clips)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        model = load_upscaler(upscaler, device=device, dtype="float32")
        if size is not None:
            if size % model.factor:
                raise typer.BadParameter(
                    f"--size {size} is no multiple of the upscaler's factor {model.factor}"
                )
            model = model.at(size // model.factor, size // model.factor)
        encoder = UpscalerEncoder(model, num_frames, seed)
        parts = encoder.encode(samples, ClipReader(), work / "latents", shared.encoding_progress())
        trained = Adapters(model.unet.network, structure, seed)
        file = shared.run_training(UpscalerTraining(model, trained, UpscalingClips(parts), config, work))
    if file is not None:
        typer.echo(str(file))


def _structure(preset: str) -> AdapterConfig:
    from ..methods.adapters.adapters import PRESETS

    if preset not in PRESETS:
        raise typer.BadParameter(f"{preset!r} is no preset: allowed are {', '.join(PRESETS)}")
    return PRESETS[preset]


def _webvid(root: Path, webvid_list: str, clips: int | None) -> list[Sample]:
    from ..datasets.webvid import WebVid

    return list(
        WebVid(WebVid.Config.model_validate({"root": str(root), "list": webvid_list, "subset": clips}))
    )
