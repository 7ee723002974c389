"""`reelbench compare`: two results, or two methods of one, held against each other."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from .options import JsonOption, ResultsArgument, results_at, shell_path

NUM_EXPLAINED = 3


def _margin(text: str) -> tuple[str, float]:
    name, equals, value = text.rpartition("=")
    try:
        if not equals or not name:
            raise ValueError
        return name, float(value)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not METRIC=VALUE, as in clipsim=0.01") from None


def compare(
    a: ResultsArgument,
    b: Annotated[
        str | None,
        typer.Argument(metavar="RUN_B", help="What A is held against; without it, A itself."),
    ] = None,
    method_a: Annotated[
        str | None,
        typer.Option("--a", metavar="LABEL", help="One method of A, in place of all common ones."),
    ] = None,
    method_b: Annotated[
        str | None, typer.Option("--b", metavar="LABEL", help="The method of B that it is held against.")
    ] = None,
    methods: Annotated[
        list[str] | None,
        typer.Option(
            "--method", metavar="LABEL", help="Only this method of both; repeatable.", show_default=False
        ),
    ] = None,
    metrics: Annotated[
        list[str] | None,
        typer.Option("--metric", metavar="NAME", help="Only this metric; repeatable.", show_default=False),
    ] = None,
    margins: Annotated[
        list[str] | None,
        typer.Option(
            "--margin",
            metavar="METRIC=VALUE",
            help="Differences below this count as alike: tests whether it can be shown. Repeatable.",
            show_default=False,
        ),
    ] = None,
    across: Annotated[
        list[str] | None,
        typer.Option(
            "--across",
            metavar="WHAT",
            help="Compare across `conditioning` (what methods saw) or `size` (of clips), too. Repeatable.",
            show_default=False,
        ),
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Name the clips that move each difference most.")
    ] = False,
    num_explained: Annotated[
        int,
        typer.Option("--clips", metavar="N", min=1, help="So many clips of each cell."),
    ] = NUM_EXPLAINED,
    page: Annotated[
        Path | None,
        typer.Option("--page", metavar="FILE", help="Write a page with the clips.", show_default=False),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Let --page replace a file that is no page of ours.")
    ] = False,
    fail_on: Annotated[
        Literal["worse", "different"] | None,
        typer.Option("--fail-on", help="Exit code 1 where A is so.", show_default=False),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Hold two results against each other, sample by sample: differences are A less B, "better" is said of A.

    Two results: every method with the same label in both. Two methods of one: --a LABEL --b LABEL. Values of
    other protocols, weights, splits, conditioning or frames are refused with the reason.

    Exit code 0 whatever the verdict; 1: as --fail-on says; 2: nothing can be compared, or something to mend.
    """
    from ..reports.comparing.terminal import print_comparison
    from ..reports.comparing.text import comparison_text
    from ..stages.comparing.compare import compare as compare_results

    if page is not None:
        from ..reports.comparing.page import check_place, write_comparison_page

        check_place(page, force=force)
    given = dict(map(_margin, margins or ()))
    first = results_at(a)
    second = first if b is None else results_at(b)
    found = compare_results(
        first,
        second,
        names=(a, b or a),
        methods=methods or (),
        method_a=method_a,
        method_b=method_b,
        metrics=metrics or (),
        margins=given,
        across=across or (),
        explain=num_explained if explain or page is not None else 0,
    )
    if page is not None:
        write_comparison_page(found, page, first.tables, second.tables, force=force)
    if as_json:
        typer.echo(json.dumps(found.as_data(), indent=1, ensure_ascii=False, allow_nan=False))
    elif sys.stdout.isatty():
        print_comparison(found)
    else:
        typer.echo(comparison_text(found))
    if page is not None:
        typer.echo(f"Page:    python3 -m webbrowser {shell_path(page)}", err=as_json)
    failing = {"worse": ("worse",), "different": ("worse", "better", "different")}
    if fail_on is not None and any(cell.verdict in failing[fail_on] for cell in found.cells):
        raise typer.Exit(1)
