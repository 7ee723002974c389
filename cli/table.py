"""`reelbench table`: a table in a paper's shape, filled from runs."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import relative, results_at

if TYPE_CHECKING:
    from ..reports.papers.formats.write import Format, Style
    from ..reports.papers.notes import Notes
    from ..reports.papers.paper_table import PaperTable


def table(
    name: Annotated[
        str,
        typer.Argument(
            metavar="TABLE", help="Name of a table, or a YAML file of your own.", show_default=False
        ),
    ] = "",
    runs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[RUN ...]",
            help="Run files, folders of runs (out/demo) or of their results; none: published figures.",
            show_default=False,
        ),
    ] = None,
    list_tables: Annotated[bool, typer.Option("--list", help="The tables that come with Reelbench.")] = False,
    format_: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help="md (default), latex, csv, html, json or parquet; with -o its ending decides.",
            show_default=False,
        ),
    ] = "",
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write it here.", show_default=False),
    ] = None,
    standalone: Annotated[bool, typer.Option("--standalone", help="LaTeX as a whole document.")] = False,
    bib: Annotated[
        Path | None,
        typer.Option(
            "--bib",
            metavar="FILE",
            help="Where the sources go, as BibTeX, several tables into one; default: beside -o FILE.tex.",
            show_default=False,
        ),
    ] = None,
    errors: Annotated[bool, typer.Option("--errors/--no-errors", help="Standard errors.")] = True,
    significance: Annotated[
        bool, typer.Option("--significance/--no-significance", help="Stars beside what is not the best.")
    ] = True,
    notes: Annotated[
        str,
        typer.Option(
            "--notes",
            metavar="NOTES",
            help="Under the table: full (default), short (default of LaTeX) or none.",
            show_default=False,
        ),
    ] = "",
    dataset: Annotated[
        str,
        typer.Option(
            "--dataset",
            metavar="LABEL",
            help="The runs' data set that stands for the table's.",
            show_default=False,
        ),
    ] = "",
    protocol: Annotated[
        str, typer.Option("--protocol", metavar="NAME", help="Of several, this one.", show_default=False)
    ] = "",
    allow_mixed: Annotated[
        bool,
        typer.Option("--allow-mixed", help="Show runs that were measured otherwise as parts of their own."),
    ] = False,
) -> None:
    """A table of a paper, filled from runs, with what others published beside it.

    Several runs share a table where they were measured alike: same protocol, samples, seeds and references.
    Exit code 0: written; 2: something to mend first.
    """
    from ..reports.papers.build import build_table
    from ..reports.papers.formats.write import Style
    from ..reports.papers.spec import TableError, load_spec, shipped_tables

    if list_tables:
        for shipped in shipped_tables():
            typer.echo(f"{shipped:24s} {load_spec(shipped).title}")
        return
    if not name:
        raise TableError("no table is named", "`reelbench table --list` has their names")
    chosen = _format(format_, output)
    style = Style(errors, significance, standalone, _notes(notes))
    spec = load_spec(name)
    options = {"--dataset": dataset, "--protocol": protocol, "--notes": notes}
    words = ["reelbench", "table", name, *(relative(Path(run)) for run in runs or ())]
    words += [word for option, value in options.items() if value for word in (option, value)]
    words += ["--allow-mixed"] * allow_mixed + ["--no-errors"] * (not errors)
    words += ["--no-significance"] * (not significance) + ["--standalone"] * standalone
    words += ["-o", str(output)] if output is not None else ["--format", chosen]
    built = build_table(
        spec,
        [results_at(run) for run in runs or ()],
        dataset=dataset,
        protocol=protocol,
        allow_mixed=allow_mixed,
        command=shlex.join(words),
    )
    _write(built, chosen, output, style, bib)


def _format(given: str, output: Path | None) -> Format:
    """The format that is asked for.

    Raises:
        TableError: there is none of that name.
    """
    from ..core.errors import nearest
    from ..reports.papers.formats.write import FORMATS, format_of
    from ..reports.papers.spec import TableError

    if not given:
        return "md" if output is None else format_of(output)
    found: Any = {"tex": "latex", "markdown": "md"}.get(given.lower(), given.lower())
    if found not in FORMATS:
        close = nearest(given, FORMATS)
        raise TableError(
            f"no format {given!r}; known: {', '.join(FORMATS)}", f"did you mean {close!r}?" if close else None
        )
    return found


def _notes(given: str) -> Notes | None:
    """What is asked for; None where nothing is.

    Raises:
        TableError: there are none of that name.
    """
    from ..core.errors import nearest
    from ..reports.papers.notes import NOTES
    from ..reports.papers.spec import TableError

    if not given:
        return None
    found: Any = given.lower()
    if found not in NOTES:
        close = nearest(given, NOTES)
        raise TableError(
            f"no notes {given!r}; known: {', '.join(NOTES)}", f"did you mean {close!r}?" if close else None
        )
    return found


def _write(built: PaperTable, chosen: Format, output: Path | None, style: Style, bib: Path | None) -> None:
    from ..reports.papers.formats.write import bibliography, write_bibliography, write_table, written
    from ..reports.papers.spec import TableError

    if output is not None:
        for path in write_table(built, output, chosen, style, bib):
            typer.echo(f"wrote {relative(path)}", err=True)
        return
    data = written(built, chosen, style)
    if bib is not None:
        write_bibliography(bib, bibliography(built), merge=True)
        typer.echo(f"wrote {relative(bib)}", err=True)
    if isinstance(data, str):
        typer.echo(data, nl=False)
    elif sys.stdout.isatty():
        raise TableError("Parquet is no text for a terminal", "-o FILE.parquet")
    else:
        sys.stdout.buffer.write(data)
