"""The record of what a run was made with, from its plan."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ... import __version__
from ...core.errors import ReelbenchError
from ...core.hashing import canonical_json
from ...core.libraries import versions_for_methods
from ...core.plan import Plan, PlannedMethod
from ...core.run_folders import results_dir, run_ids
from ...core.run_record import RunRecord, commit_of, read_record
from ...core.sources import code_digest
from ...core.tables import RunRow
from ...reports.nights.changes import Difference
from .differences import of_methods

if TYPE_CHECKING:
    from ..planning import Part

_PACKAGE = Path(__file__).resolve().parents[2]


def run_record(
    row: RunRow, parts: Sequence[Part], started: datetime.datetime | None, run_file: Path | None
) -> RunRecord:
    """What `run.json` of a run's results says.

    Args:
        row: of the table `runs`.
        parts: as planned.
        started: with its time zone; None where nothing ran, and the tables were only built again.
        run_file: where it lies, None where that is not known.
    """
    measures = {}
    for part in parts:
        measures["protocol"] = f"{part.measuring.protocol.name} {part.measuring.protocol.digest}"
        for name, extractor in part.measuring.extractors.items():
            measures[name] = f"{extractor.plugin.version}+{_code(type(extractor.plugin))}"
        for metric in part.measuring.metrics:
            measures[metric.name] = f"{metric.version}+{_code(type(metric))}"
    commit = commit_of(_PACKAGE, is_root=True)
    now = datetime.datetime.now(datetime.UTC)
    return RunRecord(
        started=(started or now).astimezone(datetime.UTC).isoformat(timespec="seconds"),
        ended=now.isoformat(timespec="seconds"),
        num_clips=row.num_clips,
        num_failures=row.num_failures,
        methods=method_facts(method for part in parts for method in part.plan.methods),
        measures=measures,
        weights=json.loads(row.weights),
        libraries=json.loads(row.library_versions),
        hardware=row.hardware,
        reelbench=f"{__version__} {commit}".strip(),
        run_file="" if run_file is None else commit_of(run_file.absolute().parent),
        is_night=started is not None,
    )


def night_ids(run_dir: Path) -> list[str]:
    """The ids of the results of runs, the oldest first, without those of `reelbench report`."""
    records = {name: read_record(run_dir / name) for name in run_ids(run_dir)}
    return [name for name, record in records.items() if record is None or record.is_night]


def method_facts(methods: Iterable[PlannedMethod]) -> dict[str, dict[str, str]]:
    """What is recorded of each method, by label."""
    return {
        method.label: {
            "name": method.plugin.name,
            "version": method.plugin.version,
            "code": _code(type(method.plugin)),
            "config": canonical_json(method.recorded_config),
            **({} if method.upscaler is None else {"upscaler": _code(type(method.upscaler.plugin))}),
        }
        for method in methods
    }


def why_missing(plan: Plan) -> Iterator[Difference]:
    """What changed of the methods whose clips are missing, since the results that were finished last."""
    folder = results_dir(plan.run.run_dir)
    before = read_record(folder)
    if before is None:
        return
    missing = {cell.method_label for cell in plan.cells if cell.num_missing}
    methods = [method for method in plan.methods if method.label in missing & set(before.methods)]
    now = RunRecord(
        methods=method_facts(methods),
        weights={f"{m.label}:{place}": value for m in methods for place, value in m.weight_digests.items()},
    )
    yield from of_methods(now, {method.label: (folder.name, before) for method in methods})
    if plan.run.fresh is not None and methods:
        for name, version in versions_for_methods().items():
            then = before.libraries.get(name, "")
            if then != version:
                yield Difference(what=name, before=then, now=version, before_id=folder.name)


def _code(cls: type) -> str:
    """The first digits of the digest of a class's code; empty where its source is not there."""
    try:
        return code_digest(cls)[:12]
    except (ReelbenchError, OSError, SyntaxError, ValueError):
        return ""
