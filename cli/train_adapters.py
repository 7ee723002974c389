"""The command that trains SimDA's adapters on a data set in the layout of WebVid.

    python -m reelbench.cli.train_adapters --root data/webvid --pipeline <folder> --work out/simda
    accelerate launch -m reelbench.cli.train_adapters ...        on several GPUs

Killed and started again with the same options, it goes on where it stopped. Afterwards the method "simda"
takes `adapters: out/simda`.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated

import typer

DEFAULT_PROMPTS = (
    "a dog runs along a beach",
    "waves break on rocks",
    "a city street at night",
    "a bird takes off",
)


def main(
    root: Annotated[Path, typer.Option(help="Folder of the data set, in the layout of WebVid.")],
    work: Annotated[
        Path, typer.Option(help="Folder for latents, checkpoint, log, previews and the adapters.")
    ],
    pipeline: Annotated[
        str, typer.Option(help="The image model: folder, or name below the weights root.")
    ] = "pipeline",
    webvid_list: Annotated[
        str, typer.Option("--list", help="2M-train, 10M-train, 2M-val or 10M-val.")
    ] = "10M-train",
    clips: Annotated[int | None, typer.Option(help="How many clips to draw; all by default.")] = None,
    num_frames: Annotated[int, typer.Option(help="Frames of a clip.")] = 16,
    frames: Annotated[str, typer.Option(help="Which: spread over the video, or the first.")] = "first",
    size: Annotated[
        int | None, typer.Option(help="Side of the frames in pixels; the pipeline's own by default.")
    ] = 256,
    preset: Annotated[str, typer.Option(help="paper or released: what the adapters are.")] = "paper",
    steps: Annotated[int, typer.Option(help="Updates.")] = 20_000,
    batch_size: Annotated[int, typer.Option(help="Clips in an update, over all GPUs.")] = 4,
    learning_rate: Annotated[float, typer.Option(help="Peak learning rate.")] = 1e-4,
    precision: Annotated[str, typer.Option(help="float32, bfloat16 or float16.")] = "bfloat16",
    checkpointing: Annotated[bool, typer.Option(help="Less memory, a third more time.")] = True,
    preview_every: Annotated[int, typer.Option(help="Updates between previews; 0 for none.")] = 1000,
    prompt: Annotated[list[str] | None, typer.Option(help="Prompts of the previews.")] = None,
    seed: Annotated[int, typer.Option(help="Of initial values, batches and noise.")] = 0,
    mlflow: Annotated[
        str | None,
        typer.Option(help="Log to MLflow: sqlite:////absolute/path.db or a server's address."),
    ] = None,
    experiment: Annotated[str, typer.Option(help="Of MLflow.")] = "trainings",
) -> None:
    """Train adapters on videos with captions."""
    import torch
    from accelerate import PartialState

    from ..datasets.webvid import WebVid
    from ..methods.adapters.adapters import PRESETS, Adapters
    from ..methods.stable_diffusion.pipeline import load_pipeline
    from ..methods.training.adapters import PreviewConfig, VideoTraining
    from ..methods.training.clips import ClipEncoding, TrainingClips, encode_clips
    from ..methods.training.schedule import TrainingConfig
    from .training_command import check_mlflow, mlflow_listener, readable_errors

    with readable_errors():
        check_mlflow(mlflow)
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
        if preset not in PRESETS:
            raise typer.BadParameter(f"{preset!r} is no preset: allowed are {', '.join(PRESETS)}")
        dataset = WebVid(
            WebVid.Config.model_validate({"root": str(root), "list": webvid_list, "subset": clips})
        )
        model = load_pipeline(pipeline, device=str(state.device), dtype="float32", height=size, width=size)
        encoding = ClipEncoding(num_frames, "spread" if frames == "spread" else "first", seed)

        def progress(done: int, of: int) -> None:
            if state.is_main_process:
                typer.echo(f"[latents] {done} of {of} clips", err=True)

        parts = encode_clips(
            model,
            list(dataset),
            encoding,
            work / "latents",
            progress,
            state.process_index,
            state.num_processes,
        )
        state.wait_for_everyone()
        prompts = tuple(prompt or DEFAULT_PROMPTS)
        preview = PreviewConfig(prompts, preview_every) if preview_every else None
        adapters = Adapters(model.unet, PRESETS[preset], seed)
        encoded = TrainingClips(parts)
        listener = mlflow_listener(
            mlflow,
            experiment,
            f"simda · webvid {webvid_list}",
            {
                "method": "simda",
                "pipeline": pipeline,
                "dataset": "webvid",
                "data": {"root": root, "list": webvid_list, "subset": clips},
                "frames": {"num": num_frames, "which": frames, "size": size},
                "adapters": {"preset": preset, **adapters.config.model_dump(mode="json")},
                "training": config.model_dump(mode="json", exclude={"steps"}),
                "clips": {"num": len(encoded), "key": encoded.fingerprint},
            },
            work,
            steps,
            prompts,
        )
        training = VideoTraining(model, adapters, encoded, config, work, preview, listener=listener)
        with contextlib.nullcontext() if listener is None else listener:
            file = training.run()
        training.close()
    if file is not None:
        typer.echo(str(file))


if __name__ == "__main__":
    from .training_command import run_command

    run_command(main)
