"""`reelbench bundle`: the results of a run as one file for a reviewer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from .options import JsonOption, ResultsArgument, folder_path, relative, results_at, shell_path


def bundle(
    place: ResultsArgument,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE.zip", help="The file to write.")],
    features: Annotated[
        bool | None,
        typer.Option(
            "--features/--no-features",
            help="With what the metrics read of each clip, from which every number can be computed again; "
            "without being asked, where this takes at most 256 MiB.",
            show_default=False,
        ),
    ] = None,
    clips: Annotated[bool, typer.Option("--clips", help="With previews of the generated clips.")] = False,
    store: Annotated[
        Path | None,
        typer.Option(
            "--store",
            metavar="FOLDER",
            parser=folder_path,
            help="Where the features are, when the store was moved.",
            show_default=False,
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Pack tables, run file, protocols, samples, digests and features into one file that somebody else can
    check with `reelbench verify FILE.zip`. Paths of this machine and secrets stay out.

    Exit code 0: written; 2: something to mend first.
    """
    from ..core.bundles import is_bundle
    from ..core.errors import StoreError
    from ..evaluation.progress import EvaluationProgress
    from ..stages.bundle.contents import write_bundle

    if str(output) == "-":
        raise StoreError("a bundle is not written to standard output", "name a file: -o x.zip")
    if is_bundle(Path(place)):
        raise StoreError(f"{place!r} is a bundle already", "copy it, or pack the run that it was made from")
    results = results_at(place)
    with EvaluationProgress("bundle", 1, quiet=as_json) as bar:
        written = write_bundle(results, output, features=features, clips=clips, store=store, force=force)
        bar.advance(1, 0)
    if as_json:
        data = {
            "file": str(output),
            "bytes": written.num_bytes,
            "members": written.num_members,
            "features": written.has_features,
            "notes": written.notes,
        }
        typer.echo(json.dumps(data, indent=1))
        return
    for note in written.notes:
        typer.secho(f"note: {note}", fg="yellow")
    kept = "with the features" if written.has_features else "without features"
    typer.echo(
        f"{relative(output.absolute())}: {written.num_members} files, {written.num_bytes / 1e6:.1f} MB, "
        f"{kept}\n"
        f"Check it: reelbench verify {shell_path(output)}"
    )
