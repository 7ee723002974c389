"""`reelbench verify x.zip`: what of a bundle agrees, metric by metric."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from .options import relative

if TYPE_CHECKING:
    from ..stages.bundle.agreement import Agreement, Count, Finding
    from ..stages.bundle.checks import Verified

_NUM_SHOWN, _NUM_OF_A_KIND = 20, 2
_COLUMN = re.compile(r"(\w+): recorded ")
_TABLES = ("scores", "summary", "comparisons", "curves")


def verify_bundle_at(place: Path, as_json: bool) -> None:
    """Check a bundle and say what agrees.

    Raises:
        NoBundleError: it is none.
        Exit: with 1, where something does not agree.
    """
    from ..core.waiting import waiting
    from ..stages.bundle.checks import verify_bundle

    with waiting(f"the numbers of {relative(place)} to be computed again"):
        found = verify_bundle(place)
    if as_json:
        typer.echo(json.dumps(_as_data(found), indent=1, default=str))
    else:
        _print(place, found)
    if not found.is_sound:
        raise typer.Exit(1)


def _print(place: Path, found: Verified) -> None:
    from ..core.markdown import aligned_table
    from ..stages.bundle.agreement import OF_P, RELATIVE

    result = found.agreement
    head = {name: _line(found.manifest.data.get(name)) for name in ("run", "reelbench")}
    typer.echo(f"{relative(place)}: results of {head['run']}, written by Reelbench {head['reelbench']}")
    if not any(finding.kind == "member" for finding in result.findings):
        typer.echo(f"files: all {found.num_members} are what the manifest says")
    for text in result.checked:
        typer.echo(text)
    typer.echo("")
    typer.echo("\n".join(aligned_table(_agreement_table(result))))
    typer.echo("")
    if any(count.within for count in result.counts.values()):
        typer.echo(
            f"~: within the tolerance, {RELATIVE:g} of the metric's largest value and {OF_P:g} for p-values; "
            "in parentheses how much of it is used at most"
        )
    for (metric, what), why in result.not_computed.items():
        typer.secho(f"not computed again: {_line(metric)}, {what}: {_line(why)}", fg="yellow")
    for text in result.not_checked:
        typer.secho(f"not checked: {_line(text)}", fg="yellow")
    _print_findings(result)
    if result.num_findings:
        num = result.num_findings
        typer.secho("1 thing does not agree" if num == 1 else f"{num} things do not agree", fg="red")
    else:
        is_whole = not result.not_computed and not result.is_partial
        rest = "" if is_whole else "what could be computed again agrees with what was recorded"
        typer.secho(rest or "every number follows from what is in the bundle", fg="green")


def _print_findings(result: Agreement) -> None:
    """The first findings of each kind; one change of a table shows in hundreds of rows."""
    kinds: dict[tuple[str, ...], list[Finding]] = {}
    for finding in result.findings:
        kinds.setdefault((finding.kind, *_COLUMN.findall(finding.what)), []).append(finding)
    for group in list(kinds.values())[:_NUM_SHOWN]:
        for finding in group[:_NUM_OF_A_KIND]:
            typer.secho(f"{finding.kind}: {_line(finding.where)}: {_line(finding.what)}", fg="red")
        if (more := len(group) - _NUM_OF_A_KIND) > 0:
            typer.secho(f"  ... and {more} more of the kind; --json lists them", fg="red")
    if (more := len(kinds) - _NUM_SHOWN) > 0:
        typer.secho(f"... and {more} more kinds; --json lists them", fg="red")


def _agreement_table(result: Agreement) -> list[list[str]]:
    """A row for each metric, a column for each table."""
    others = sorted({table for _, table in result.counts} - set(_TABLES))
    tables = [*_TABLES, *others]
    metrics = dict.fromkeys([*(metric for metric, _ in result.counts), *(m for m, _ in result.not_computed)])
    rows = [
        [_line(metric), *(_count(result.counts.get((metric, table))) for table in tables)]
        for metric in metrics
    ]
    return [["metric", *tables], *rows]


def _count(count: Count | None) -> str:
    if count is None:
        return "-"
    parts = [f"{count.exact} equal"] if count.exact else []
    parts += [f"{count.within} ~ ({count.largest:.1g})"] if count.within else []
    parts += [f"{count.differ} DIFFER"] if count.differ else []
    return ", ".join(parts) or "-"


def _line(text: object) -> str:
    """Foreign text on one line, without what moves the cursor."""
    return "".join(letter if letter.isprintable() else " " for letter in str(text))


def _as_data(found: Verified) -> dict[str, object]:
    from ..stages.bundle.agreement import OF_P, RELATIVE

    result = found.agreement
    return {
        "agrees": found.is_sound,
        "run": found.manifest.data.get("run"),
        "features": found.manifest.data.get("features"),
        "tolerance": {"relative": RELATIVE, "p_values": OF_P},
        "metrics": [
            {"metric": metric, "table": table, **asdict(count)}
            for (metric, table), count in result.counts.items()
        ],
        "not_computed": [
            {"metric": metric, "what": what, "why": why}
            for (metric, what), why in result.not_computed.items()
        ],
        "checked": result.checked,
        "not_checked": result.not_checked,
        "num_findings": result.num_findings,
        "findings": [asdict(finding) for finding in result.findings],
    }
