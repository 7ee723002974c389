"""`reelbench verify`: is what is stored still what was written, and are the sources those that were read?"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import JsonOption, OutputOption, load, relative, shell_path

if TYPE_CHECKING:
    from ..core.store import Verification

_NUM_SHOWN = 20
_WORDS = {
    "clip": "clips",
    "tuning": "tunings",
    "video": "source files",
    "weights": "weight files",
    "table": "tables",
    "report": "reports",
}


@dataclass(frozen=True)
class _Place:
    """What is verified.

    Attributes:
        store: its folder.
        results: the folders of results that belong to it.
        again: the command that makes again what is damaged.
        is_run: whether they are a run's.
    """

    store: Path
    results: tuple[Path, ...]
    again: str
    is_run: bool = False


def verify(
    place: Annotated[
        Path,
        typer.Argument(
            metavar="PLACE",
            help="A bundle (x.zip), a run file, the folder of a run, the "
            "--output of `reelbench evaluate`, a folder of results in "
            "it, or a store.",
        ),
    ],
    output: OutputOption = None,
    quarantine: Annotated[
        bool,
        typer.Option(
            "--quarantine",
            help="Move what is damaged aside and forget changed sources, so that the next run or evaluation "
            "makes up for it; previews are written anew.",
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Check stored clips, tunings, features, tables and reports, and the sources they were made of, by their
    digests; and whether what the tables name is there. Of a bundle: compute its numbers again, and say what
    agrees.

    Exit code 0: all is as it was, and agrees; 1: something is damaged, changed or missing, or does not agree;
    2: nothing to verify there.
    """
    from ..core.bundles import is_bundle

    if is_bundle(place):
        from .verify_bundle import verify_bundle_at

        if quarantine or output is not None:
            raise typer.BadParameter("--quarantine and --output are not for bundles")
        verify_bundle_at(place, as_json)
        return
    from concurrent.futures import ThreadPoolExecutor

    from ..core.store import Store, Verification, verify_results
    from ..datasets.video import default_codec
    from ..evaluation.progress import EvaluationProgress

    found = _place(place, output)
    verification = Verification(Store(found.store, default_codec(), read_only=not quarantine))
    checks = verification.checks()
    with (
        EvaluationProgress("verify", len(checks), quiet=as_json) as bar,
        ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool,
    ):
        for _ in pool.map(lambda check: check(), checks):
            bar.advance(1, 0)
    verification.finish()
    notes = verification.store.files.notes()
    for folder in found.results:
        if note := verify_results(folder, verification, found.again, found.is_run):
            notes.append(f"{relative(folder)}: {note}")
    if as_json:
        typer.echo(json.dumps(_as_data(verification, notes), indent=1))
    else:
        _print(verification, place, found, quarantine, notes)
    if verification.findings:
        raise typer.Exit(1)


def _place(place: Path, output: Path | None) -> _Place:
    """The store that a path names, and what belongs to it.

    Raises:
        ReelbenchError: nothing of the kind is there.
    """
    from ..core.errors import StoreError
    from ..core.run_folders import find_results, results_dir
    from ..evaluation.result_folder import INPUTS, STORE
    from ..stages.comparing.measured import Measured

    if not place.exists():
        raise StoreError(
            f"there is no such file or folder: {str(place)!r}", "give a bundle (x.zip) or a run file"
        )
    if not place.is_dir():
        run = load(place, None, None, output)
        if not run.store_dir.is_dir():
            command = f"reelbench run {shell_path(place)}"
            raise StoreError(f"there is no store yet: {relative(run.store_dir)}", f"{command} makes it")
        return _Place(
            run.store_dir, (results_dir(run.run_dir),), f"`reelbench run {shell_path(place)}`", True
        )
    if any((place / kind).is_dir() for kind in ("clips", "features", "artifacts")):
        return _Place(place, (), "the run or evaluation that it is from")
    folder = place.parent if (place / INPUTS).is_file() else place
    if (folder / STORE).is_dir():
        results = [place] if folder != place else sorted(path.parent for path in folder.glob(f"*/{INPUTS}"))
        return _Place(folder / STORE, tuple(results), "the same `reelbench evaluate`")
    try:
        found = find_results(place)
    except StoreError:
        raise StoreError(
            f"nothing to verify in {str(place)!r}: it is neither results nor a store nor the output of an "
            "evaluation",
            "give a run file, the folder of a run (out/demo), the folder that was --output (evaluations), or "
            "a store",
        ) from None
    if (store := Measured(found).store) is None:
        raise StoreError(
            f"the store that the results in {str(place)!r} were made from is not here",
            "give the run file, or the store itself",
        )
    return _Place(store.root, (found.folder.resolve(),), "`reelbench run` with its run file", True)


def _print(
    verification: Verification, given: Path, place: _Place, quarantine: bool, notes: list[str]
) -> None:
    for finding in verification.findings[:_NUM_SHOWN]:
        typer.secho(f"{finding.kind}: {relative(finding.path)}: {finding.reason}", fg="red")
    if (more := len(verification.findings) - _NUM_SHOWN) > 0:
        typer.secho(f"... and {more} more; --json lists them all", fg="red")
    for note in notes:
        typer.secho(f"note: {note}", fg="yellow")
    if verification.gone:
        typer.secho(
            f"note: {len(verification.gone)} source files are no longer where they were read "
            f"({relative(verification.gone[0])}, ...); what was made of them is sound",
            fg="yellow",
        )
    counts = [f"{num} {_WORDS.get(kind, kind)}" for kind, num in sorted(verification.checked.items()) if num]
    typer.echo(f"{relative(place.store)}: {', '.join(counts) or 'nothing'} checked")
    if not verification.findings:
        said = "all that was checked is as it was written" if notes else "all is as it was written"
        typer.secho(said, fg="green")
        return
    first = "" if quarantine else f"`reelbench verify {shell_path(given)} --quarantine` sets damage aside; "
    if any(finding.kind == "video" for finding in verification.findings):
        first = f"copy damaged or missing source files to their places again, then {first}"
    typer.echo(
        f"{len(verification.findings)} damaged, changed or missing: {first}{place.again} makes up for it"
    )


def _as_data(verification: Verification, notes: list[str]) -> dict[str, object]:
    return {
        "checked": dict(verification.checked),
        "findings": [
            {"kind": finding.kind, "path": str(finding.path), "reason": finding.reason}
            for finding in verification.findings
        ],
        "gone": [str(path) for path in verification.gone],
        "notes": notes,
    }
