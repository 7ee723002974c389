"""`reelbench evaluate`: measure any folders of videos."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import JsonOption, folder_path, relative

if TYPE_CHECKING:
    from ..evaluation.result import Evaluation


def evaluate(
    generated: Annotated[
        list[Path],
        typer.Argument(
            metavar="GENERATED...",
            help="A folder of videos or of folders of frames; several are compared with each other.",
        ),
    ],
    reference: Annotated[
        Path | None,
        typer.Option("--reference", metavar="FOLDER", help="The real clips.", show_default=False),
    ] = None,
    captions: Annotated[
        Path | None,
        typer.Option(
            "--captions",
            metavar="FILE",
            help="Captions by clip name: CSV, TSV, JSON, JSONL or name<TAB>caption.",
            show_default=False,
        ),
    ] = None,
    pairs: Annotated[
        Path | None,
        typer.Option(
            "--pairs",
            metavar="CSV",
            help="Columns generated, reference, caption, source: what belongs together, where names differ.",
            show_default=False,
        ),
    ] = None,
    protocol: Annotated[
        list[str] | None,
        typer.Option(
            "--protocol",
            metavar="NAME",
            help="Name or YAML file; several times (or with commas) for several, from one decoding.",
            show_default="clean",
        ),
    ] = None,
    metrics: Annotated[
        list[str] | None,
        typer.Option(
            "--metrics",
            metavar="NAME",
            help="Several times or with commas; `reelbench ls metrics`.",
            show_default="those that what is given allows",
        ),
    ] = None,
    weights: Annotated[
        list[str] | None,
        typer.Option(
            "--weights",
            metavar="ROLE=LOCATION",
            help="Weights of an extractor, for example i3d=weights/i3d.pt or clip=ViT-B-32:openai.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path,
        typer.Option(
            "--output", metavar="FOLDER", parser=folder_path, help="Where features and results are kept."
        ),
    ] = Path("evaluations"),
    name: Annotated[
        str | None,
        typer.Option("--name", help="Of the results' folder.", show_default="from the folders' names"),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option("--limit", metavar="N", min=1, help="Only the first N samples.", show_default=False),
    ] = None,
    context_frames: Annotated[
        int,
        typer.Option(
            "--context-frames", metavar="N", min=0, help="First frames of each clip that were given."
        ),
    ] = 0,
    frame_rate: Annotated[
        float | None,
        typer.Option(
            "--frame-rate", metavar="FPS", help="Of folders of frames.", show_default="unknown", min=0.001
        ),
    ] = None,
    generated_rate: Annotated[
        str,
        typer.Option(
            "--generated-rate",
            metavar="HOW",
            help="Generated clips: `as-reference` (frames at the protocol's rate, as of the reference) or "
            "`stored` (every frame; the stated rate is only a label).",
        ),
    ] = "as-reference",
    allow_small: Annotated[
        bool,
        typer.Option(
            "--allow-small", help="Measure clips and sets too small for a metric; the numbers are marked."
        ),
    ] = False,
    workers: Annotated[
        int | None,
        typer.Option("--workers", metavar="N", min=1, help="Threads.", show_default="the machine's cores"),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option("--device", help="cpu, cuda or cuda:N.", show_default="a GPU where there is one"),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Measure folders of videos that any model made: FVD, KVD, CLIPSIM, consistency, PSNR, ...

    What was measured is kept by content: the same command goes on where it was stopped, and another
    metric or protocol decodes and extracts only what is missing. Exit code 0: complete; 1: some clips
    are not there or could not be measured, or a set metric has no value; 2: something to mend first;
    130 (SIGTERM: 143): interrupted.
    """
    from ..evaluation.evaluator import evaluate
    from ..evaluation.result import as_json_data
    from ..flows.environment import quiet_environment

    quiet_environment()
    result = evaluate(
        generated,
        reference=reference,
        captions=captions,
        pairs=pairs,
        protocol=_split(protocol) or "clean",
        metrics=_split(metrics) or None,
        weights=_weights(weights or []),
        output=output,
        name=name,
        limit=limit,
        context_frames=context_frames,
        frame_rate=frame_rate,
        generated_rate=generated_rate,  # type: ignore[arg-type]  # checked there
        allow_small=allow_small,
        workers=workers,
        device=device,
        progress=True,
    )
    if as_json:
        import json

        typer.echo(json.dumps(as_json_data(result), indent=1))
    else:
        _print(result)
    if result.num_failures:
        raise typer.Exit(1)


def _print(result: Evaluation) -> None:
    from .results import print_failures, print_tables

    print_tables(result.folder)
    print_failures(result.folder, ("clips", "features", "scores"))
    for problem in result.problems:
        typer.secho(f"note: {problem}", fg="yellow")
    typer.echo(f"Tables:  {relative(result.tables_dir)}/*.parquet")
    typer.echo(f"Report:  {relative(result.folder / 'report' / 'index.html')}")
    if result.num_failures:
        typer.secho(
            f"{result.num_failures} clips, features, scores or values of set metrics are missing or failed: "
            "values are over what is there (see coverage), and the notes say why a cell is empty. The same "
            "command tries them again.",
            fg="yellow",
        )


def _split(values: list[str] | None) -> list[str]:
    return [part.strip() for value in values or () for part in value.split(",") if part.strip()]


def _weights(options: list[str]) -> dict[str, str]:
    from ..core.errors import EvaluationError

    found: dict[str, str] = {}
    for option in options:
        role, equals, location = option.partition("=")
        if not (role and equals and location):
            raise EvaluationError(
                f"--weights {option!r}: expected ROLE=LOCATION", "for example --weights i3d=weights/i3d.pt"
            )
        found[role] = location
    return found
