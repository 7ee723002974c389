"""The record of what a run was made with, from its plan."""

from __future__ import annotations

import datetime
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ... import __version__
from ...core.errors import ReelbenchError
from ...core.hashing import canonical_json
from ...core.run_record import RunRecord, commit_of
from ...core.sources import code_digest
from ...core.tables import RunRow

if TYPE_CHECKING:
    from ..planning import Part

_PACKAGE = Path(__file__).resolve().parents[2]


def run_record(
    row: RunRow, parts: Sequence[Part], started: datetime.datetime, run_file: Path | None
) -> RunRecord:
    """What `run.json` of a run's results says.

    Args:
        row: of the table `runs`.
        parts: as planned.
        started: with its time zone.
        run_file: where it lies, None where that is not known.
    """
    methods = {
        method.label: {
            "name": method.plugin.name,
            "version": method.plugin.version,
            "code": _code(type(method.plugin)),
            "config": canonical_json(method.recorded_config),
            **({} if method.upscaler is None else {"upscaler": _code(type(method.upscaler.plugin))}),
        }
        for part in parts
        for method in part.plan.methods
    }
    measures = {}
    for part in parts:
        measures["protocol"] = f"{part.measuring.protocol.name} {part.measuring.protocol.digest}"
        for name, extractor in part.measuring.extractors.items():
            measures[name] = f"{extractor.plugin.version}+{_code(type(extractor.plugin))}"
        for metric in part.measuring.metrics:
            measures[metric.name] = f"{metric.version}+{_code(type(metric))}"
    commit = commit_of(_PACKAGE, is_root=True)
    return RunRecord(
        started=started.astimezone(datetime.UTC).isoformat(timespec="seconds"),
        ended=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        num_clips=row.num_clips,
        num_failures=row.num_failures,
        methods=methods,
        measures=measures,
        weights=json.loads(row.weights),
        libraries=json.loads(row.library_versions),
        hardware=row.hardware,
        reelbench=f"{__version__} {commit}".strip(),
        run_file="" if run_file is None else commit_of(run_file.absolute().parent),
    )


def _code(cls: type) -> str:
    """The first digits of the digest of a class's code; empty where its source is not there."""
    try:
        return code_digest(cls)[:12]
    except (ReelbenchError, OSError, SyntaxError, ValueError):
        return ""
