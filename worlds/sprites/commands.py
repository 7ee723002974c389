"""The commands of this world: `reelbench world write | train | quality`.

Also `python -m reelbench.worlds.sprites.commands`. Nothing heavy is imported before a command runs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="The embedded world Sprites: its data sets, its small models, their quality.",
    no_args_is_help=True,
    add_completion=False,
)

WEIGHTS = Path(__file__).parent / "weights"
BASIC = ("t2i", "clip", "i3d")
"""What `all` means: the models that the others are trained on or measured with."""
MODELS = (*BASIC, "simda", "simda-paper", "upscaler", "cogvideox", "fca", "lora")
# Steps that fit two hours on two CPU cores together, but for the three trainings of the upscaler, which take
# half an hour of one core; see docs/embedded-models.md.
STEPS = {"vae": 2600, "t2i": 4600, "clip": 1300, "i3d": 2000, "simda": 5000, "simda-paper": 1200}
STEPS |= {"upscaler-vae": 2400, "upscaler": 2600, "upscaler-simda": 700}
STEPS |= {"cogvideox-vae": 2200, "cogvideox-decoder": 2500, "cogvideox": 6500, "fca": 3500, "lora": 3500}


_MODELS_HELP = "t2i, clip, i3d, simda, simda-paper, upscaler, cogvideox, fca, lora or all (the first three)."


def _models(name: str) -> tuple[str, ...]:
    if name == "all":
        return BASIC
    if name not in MODELS:
        raise typer.BadParameter(f"{name!r} is no model of this world: allowed are all, {', '.join(MODELS)}")
    return (name,)


@app.command()
def write(
    root: Annotated[Path, typer.Argument(help="Folder to write to.")] = Path("data/sprites"),
    layout: Annotated[
        list[str] | None,
        typer.Option(help="msrvtt, webvid, ssv2, loveu, davis, bridge or epic-kitchens; all by default."),
    ] = None,
    train: Annotated[int, typer.Option(help="Clips of the training split.")] = 64,
    validate: Annotated[int, typer.Option(help="Clips of the validation split.")] = 16,
    test: Annotated[int, typer.Option(help="Clips of the test split.")] = 64,
    seed: Annotated[int, typer.Option(help="Another seed is another world.")] = 0,
) -> None:
    """Write clips and captions in the layouts of published data sets."""
    from .write import LAYOUTS, write_world

    try:
        counts = {"train": train, "validate": validate, "test": test}
        folders = write_world(root, tuple(layout or LAYOUTS), counts, seed)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    for name, folder in folders.items():
        typer.echo(f"{name}: {folder}")


@app.command()
def train(
    model: Annotated[str, typer.Argument(help=_MODELS_HELP)] = "all",
    seed: Annotated[int, typer.Option(help="Of weights, batches and noise.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder for the weights.")] = WEIGHTS,
    work: Annotated[Path, typer.Option(help="Folder for logs and checkpoints.")] = Path("out/training"),
    steps: Annotated[int | None, typer.Option(help="Training steps of one model, for trials.")] = None,
    structure: Annotated[
        str | None, typer.Option(help="Of fca or lora, as YAML; the usual one by default.")
    ] = None,
) -> None:
    """Train the small models; killed and started again, it goes on from the last checkpoint.

    fca and lora are trained on the cogvideox in --out, or the embedded one if there is none. With another
    --structure, in the same --work, they use the latents that are there.
    """
    from ...core.extras import require_bench

    require_bench("reelbench world train", ("diffusers", "accelerate"))
    if structure is not None and model not in ("fca", "lora"):
        raise typer.BadParameter(f"--structure is for fca and lora, not {model}")
    for name in _models(model):
        if name == "i3d":
            from .train_i3d import save_i3d, train_i3d

            save_i3d(train_i3d(work, seed, steps or STEPS["i3d"]), out / "i3d")
        elif name == "clip":
            from .train_clip import save_clip, train_clip

            save_clip(train_clip(work, seed, steps or STEPS["clip"]), out / "clip")
        elif name in ("simda", "simda-paper"):
            from .train_adapters import train_simda

            paper = name == "simda-paper"
            train_simda(work / name, seed, steps or STEPS[name], out / "t2i", out / name, paper=paper)
        elif name == "upscaler":
            from .train_adapters import train_upscaler_adapters
            from .train_upscaler import train_image_upscaler
            from .train_vae import train_upscaler_vae

            folder, made = work / "upscaler", out / "upscaler"
            vae = train_upscaler_vae(folder, seed, STEPS["upscaler-vae"])
            train_image_upscaler(folder, seed, steps or STEPS["upscaler"], vae, out / "t2i", made)
            adapters, its_steps = out / "upscaler-simda", STEPS["upscaler-simda"]
            train_upscaler_adapters(folder / "adapters", seed, its_steps, made, adapters)
        elif name == "cogvideox":
            from .train_cogvideox import train_cogvideox

            parts = (STEPS["cogvideox-vae"], STEPS["cogvideox-decoder"], steps or STEPS["cogvideox"])
            train_cogvideox(work / "cogvideox", seed, *parts, out / "cogvideox")
        elif name in ("fca", "lora"):
            from ...core.commands import readable_errors, yaml_mapping
            from .train_predictors import PredictorTraining, train_predictor

            base = (out if (out / "cogvideox").is_dir() else WEIGHTS) / "cogvideox"
            changed = None if structure is None else yaml_mapping(structure, "--structure")
            sizes = PredictorTraining(structure=changed)
            with readable_errors():
                train_predictor(
                    name, work / "prediction", seed, steps or STEPS[name], base, out / name, sizes
                )
        else:
            from .train_t2i import train_t2i
            from .train_vae import train_vae

            vae = train_vae(work, seed, STEPS["vae"])
            train_t2i(work, seed, steps or STEPS["t2i"], vae, out / "t2i")
        typer.echo(f"{name}: {out / name}")


@app.command()
def quality(
    model: Annotated[str, typer.Argument(help=_MODELS_HELP)] = "all",
    weights: Annotated[Path, typer.Option(help="Folder with the weights.")] = WEIGHTS,
    sheet: Annotated[Path | None, typer.Option(help="Picture of drawn frames to write.")] = None,
) -> None:
    """Measure the models on held-out clips and prompts, and record it in quality.json."""
    from ...core.extras import require_bench

    require_bench("reelbench world quality", ("diffusers", "peft"))
    from . import quality as measures

    measured: dict[str, measures.Quality] = {}
    for name in _models(model):
        if name == "i3d":
            measured[name] = measures.i3d_quality(weights / "i3d")
        elif name == "clip":
            measured[name] = measures.clip_quality(weights / "clip")
        elif name in ("simda", "simda-paper"):
            from .motion_quality import motion_quality

            adapters = {"adapters": str((weights / name).resolve())}
            measured[name] = motion_quality(
                "simda", pipeline=str((weights / "t2i").resolve()), config=adapters
            )
        elif name == "upscaler":
            from .upscaler_quality import upscaler_quality

            upscaler, simda = ((weights / part).resolve() for part in ("upscaler", "upscaler-simda"))
            got = measured[name] = upscaler_quality(str(upscaler), str(simda), sheet=sheet)
            typer.echo(f"{name}: {got.value} dB, bicubic {got.bar} dB, of {got.num} clips; {got.settings}")
            continue
        elif name == "cogvideox":
            from .cogvideox_quality import cogvideox_quality

            measured[name] = cogvideox_quality(weights / "cogvideox", sheet=sheet)
        elif name in ("fca", "lora"):
            from .prediction_quality import prediction_quality

            method = {"fca": "fca", "lora": "cogvideox-lora"}[name]
            folders = {"base": weights / "cogvideox", "trained": weights / name}
            config = {key: str(folder.resolve()) for key, folder in folders.items()}
            measured[name] = prediction_quality(method, config=config, sheet=sheet)
        else:
            measured[name] = measures.t2i_quality(weights / "t2i", sheet=sheet)
        got = measured[name]
        verdict = "reached" if got.reached else "missed"
        typer.echo(f"{name}: {got.value:.1%} of {got.num}, bar {got.bar:.0%} {verdict}; faults {got.faults}")
    typer.echo(str(measures.write_quality(weights, measured)))


if __name__ == "__main__":
    app()
