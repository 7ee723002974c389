"""`reelbench table`: a table in a paper's shape, filled from runs."""

from __future__ import annotations

import shlex
from typing import Annotated

import typer

from .options import results_at


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
            metavar="RUN ...",
            help="Run files, folders of runs (out/demo) or of their results; none: published figures.",
            show_default=False,
        ),
    ] = None,
    list_tables: Annotated[bool, typer.Option("--list", help="The tables that come with Reelbench.")] = False,
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
        str, typer.Option("--protocol", help="Of several protocols, this one.", show_default=False)
    ] = "",
    errors: Annotated[bool, typer.Option("--errors/--no-errors", help="Standard errors.")] = True,
    significance: Annotated[
        bool, typer.Option("--significance/--no-significance", help="Stars beside what is not the best.")
    ] = True,
    allow_mixed: Annotated[
        bool,
        typer.Option("--allow-mixed", help="Show runs that were measured otherwise as parts of their own."),
    ] = False,
) -> None:
    """A table of a paper, filled from runs, with the published figures beside.

    Several runs share a table where they were measured alike: same protocol, samples, seeds and references.
    """
    from ..reports.papers.build import build_table
    from ..reports.papers.markdown import table_markdown
    from ..reports.papers.spec import TableError, load_spec, shipped_tables

    if list_tables:
        for shipped in shipped_tables():
            typer.echo(f"{shipped:24s} {load_spec(shipped).title}")
        return
    if not name:
        raise TableError("no table is named", "`reelbench table --list` has their names")
    spec = load_spec(name)
    built = build_table(
        spec,
        [results_at(run) for run in runs or ()],
        dataset=dataset,
        protocol=protocol,
        allow_mixed=allow_mixed,
        command=shlex.join(["reelbench", "table", name, *(runs or ())]),
    )
    typer.echo(table_markdown(built, errors=errors, significance=significance), nl=False)
