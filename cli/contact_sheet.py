"""`reelbench contact-sheet`: a picture of a run's clips."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import IdOption, LimitOption, OnlyOption, OutputOption, RunFileArgument, load, relative


def contact_sheet(
    run_file: RunFileArgument,
    limit: LimitOption = None,
    only: OnlyOption = None,
    output: OutputOption = None,
    run_id: IdOption = None,
    to: Annotated[
        Path | None,
        typer.Option(
            "--to",
            metavar="FILE",
            help="The PNG to write. Default: contact-sheet.png beside the results.",
            show_default=False,
        ),
    ] = None,
    num_prompts: Annotated[int, typer.Option("--prompts", min=1, help="How many prompts.")] = 4,
    num_columns: Annotated[int, typer.Option("--columns", min=1, help="Frames of each clip.")] = 8,
    dataset: Annotated[
        str | None,
        typer.Option(
            "--dataset", metavar="NAME", help="Which data set; default: the first.", show_default=False
        ),
    ] = None,
    samples: Annotated[
        list[str] | None,
        typer.Option(
            "--sample", metavar="ID", help="A prompt to draw, by its id, in place of the first; repeatable."
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", help="Which run seed; default: the smallest.", show_default=False)
    ] = None,
) -> None:
    """Draw prompts of a run, the first or chosen ones: the reference and each clip, frame by frame."""
    from ..core.run_folders import results_dir
    from ..reports.pages.contact_sheet import write_contact_sheet

    run = load(run_file, limit, only, output)
    methods = [entry.label for entry in run.methods] if only else []
    folder = results_dir(run.run_dir, run_id)
    path = write_contact_sheet(
        folder / "tables",
        to or folder / "contact-sheet.png",
        num_prompts=num_prompts,
        num_columns=num_columns,
        dataset=dataset,
        methods=methods,
        seed=seed,
        samples=samples or (),
    )
    typer.echo(f"Contact sheet: {relative(path.absolute())}")
