"""The command that trains an upscaler's adapters on a data set in the layout of WebVid, on one device.

    python -m reelbench.cli.train_upscaler --root data/webvid --upscaler <folder> --work out/adapters

Killed and started again with the same options, it goes on where it stopped. Afterwards the upscaler
"latent-upscaler" takes `adapters: out/adapters`. Learning rate, steps, size and noise of the published
training are not known; the defaults are ours.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def main(
    root: Annotated[Path, typer.Option(help="Folder of the data set, in the layout of WebVid.")],
    work: Annotated[Path, typer.Option(help="Folder for latents, checkpoint, log and the adapters.")],
    upscaler: Annotated[
        str, typer.Option(help="The image upscaler: folder, or name below the weights root.")
    ],
    webvid_list: Annotated[
        str, typer.Option("--list", help="2M-train, 10M-train, 2M-val or 10M-val.")
    ] = "10M-train",
    clips: Annotated[int | None, typer.Option(help="How many clips to draw; all by default.")] = None,
    num_frames: Annotated[int, typer.Option(help="Frames of a clip.")] = 16,
    size: Annotated[
        int | None, typer.Option(help="Side of the large frames in pixels; the upscaler's own by default.")
    ] = None,
    max_noise_level: Annotated[
        int | None,
        typer.Option(help="Highest level of the low resolution's noise; the upscaler's by default."),
    ] = None,
    preset: Annotated[str, typer.Option(help="paper or released: what the adapters are.")] = "paper",
    steps: Annotated[int, typer.Option(help="Updates.")] = 20_000,
    batch_size: Annotated[int, typer.Option(help="Clips in an update.")] = 1,
    learning_rate: Annotated[float, typer.Option(help="Peak learning rate.")] = 1e-4,
    precision: Annotated[str, typer.Option(help="float32, bfloat16 or float16.")] = "bfloat16",
    checkpointing: Annotated[bool, typer.Option(help="Less memory, a third more time.")] = True,
    seed: Annotated[int, typer.Option(help="Of initial values, batches and noise.")] = 0,
) -> None:
    """Train an upscaler's adapters on videos with captions."""
    import torch

    from ..datasets.webvid import WebVid
    from ..methods.adapters.adapters import PRESETS, Adapters
    from ..methods.training.clips import ClipEncoding
    from ..methods.training.upscaler import UpscalerTraining, UpscalerTrainingConfig
    from ..methods.training.upscaler_clips import UpscalingClips, encode_upscaling_clips
    from ..methods.upscaling.pipeline import load_upscaler
    from .training_command import readable_errors

    if preset not in PRESETS:
        raise typer.BadParameter(f"{preset!r} is no preset: allowed are {', '.join(PRESETS)}")

    def progress(done: int, of: int) -> None:
        typer.echo(f"[latents] {done} of {of} clips", err=True)

    with readable_errors():
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
        settings = {"root": str(root), "list": webvid_list, "subset": clips}
        dataset = WebVid(WebVid.Config.model_validate(settings))
        device = "cuda" if torch.cuda.is_available() else "cpu"
        model = load_upscaler(upscaler, device=device, dtype="float32")
        if size is not None:
            if size % model.factor:
                raise typer.BadParameter(
                    f"--size {size} is no multiple of the upscaler's factor {model.factor}"
                )
            model = model.at(size // model.factor, size // model.factor)
        encoding = ClipEncoding(num_frames, "first", seed)
        parts = encode_upscaling_clips(model, list(dataset), encoding, work / "latents", progress)
        adapters = Adapters(model.unet.network, PRESETS[preset], seed)
        training = UpscalerTraining(model, adapters, UpscalingClips(parts), config, work)
        file = training.run()
        training.close()
    if file is not None:
        typer.echo(str(file))


if __name__ == "__main__":
    from .training_command import run_command

    run_command(main)
