"""`reelbench table`: a table in a paper's shape, filled from runs."""

from __future__ import annotations

from typing import Annotated

import typer


def table(
    name: Annotated[
        str,
        typer.Argument(
            metavar="TABLE", help="Name of a table, or a YAML file of your own.", show_default=False
        ),
    ] = "",
    list_tables: Annotated[bool, typer.Option("--list", help="The tables that come with Reelbench.")] = False,
) -> None:
    """A table of a paper, filled from runs."""
    from ..reports.papers.spec import TableError, load_spec, shipped_tables

    if list_tables:
        for shipped in shipped_tables():
            typer.echo(f"{shipped:24s} {load_spec(shipped).title}")
        return
    if not name:
        raise TableError("no table is named", "`reelbench table --list` has their names")
    typer.echo(load_spec(name).title)
