"""The page in plain words that a bundle begins with, and its script."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from textwrap import fill
from typing import Any

from ...core.markdown import escape_markdown as escape

_MEMBERS = (
    ("tables/*.parquet", "the results: what was run, every clip, every score, the summary, the paired tests"),
    ("run_file.json", "the run file as it was run: methods, data sets, metrics, seeds, with all settings"),
    ("run.json", "when it ran, with which versions of the code of each method and metric, and which commit"),
    (
        "protocols/*.json",
        "every setting of the measuring protocols, with the digest that stands in the tables",
    ),
    ("samples.jsonl", "which samples: ids, captions with their sha256, digests of the reference clips"),
    ("weights.json", "sha256 of the weights of each method and of what measures"),
    ("environment.json", "versions of the libraries, and the hardware"),
    (
        "features/*.parquet",
        "what the metrics read of each clip: with them every number can be computed again",
    ),
    ("clips/*", "previews of the clips"),
    ("manifest.json", "sha256 of every file here"),
)


def readme(
    head: Mapping[str, Any],
    tables: Mapping[str, Sequence[Mapping[str, Any]]],
    notes: Iterable[str],
    members: Iterable[str],
) -> str:
    """The text of README.md.

    Args:
        head: what the manifest says besides the members.
        tables: rows by the table's name.
        notes: what is not part of the bundle, and why.
        members: their names, without the manifest.
    """
    names_there = [*members, "manifest.json"]
    summary = [row for row in tables.get("summary", ()) if row["seed"] is None]

    def names(column: str) -> str:
        return ", ".join(escape(str(name)) for name in dict.fromkeys(row[column] for row in summary) if name)

    counts = sorted({row["n"] for row in summary if row["level"] != "cost"})
    most = f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else str(counts[0] if counts else 0)
    there = "".join(
        f"| `{name}` | {what} |\n"
        for name, what in _MEMBERS
        if any(fnmatchcase(member, name) for member in names_there)
    )
    missing = "".join(f"- {escape(note)}\n" for note in notes)
    missing = f"\n## What is not here\n\n{missing}" if missing else ""
    return f"""# Results of the run {escape(str(head["run"]))}

Methods: {names("method")}.
Data sets: {names("dataset")}.
Protocols: {names("protocol")}.
Metrics: {names("metric")}.
Clips behind a value: {most}.

## Do the numbers follow from what is here?

Install Reelbench {escape(str(head["reelbench"]))} (no GPU, no model weights and no videos are needed), then

    reelbench verify FILE.zip        # or, where it is unpacked: sh rescore.sh

{fill(_checked(bool(head["features"])), 100)}

## What is here

| file | what it holds |
|---|---|
{there}
The tables open with pandas: `pandas.read_parquet("tables/summary.parquet")`. A row without a `seed` is over
all seeds. Paths of the machine that made the results were cut to their last part.
{missing}"""


def _checked(has_features: bool) -> str:
    again = (
        "scores, the summary with its errors and intervals, and the paired tests again from the features"
        if has_features
        else "summary with its errors and intervals, and the paired tests again from the scores"
    )
    return (
        "It checks the digest of every file, that each protocol's digest follows from its settings, and "
        f"computes the {again}. It prints metric by metric what agrees exactly, what agrees within a stated "
        "tolerance, and what does not. Nothing in this bundle is run as code."
    )


def script() -> str:
    """The text of rescore.sh."""
    return '#!/bin/sh\nexec reelbench verify "$(dirname "$0")"\n'
