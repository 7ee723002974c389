"""From the store to a run's Parquet tables."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from .. import __version__
from ..core.file_digests import FileDigests
from ..core.hashing import canonical_json, digest
from ..core.run_file import RunFile
from ..core.run_folders import new_results, results_dir
from ..core.store import Store, has_same_tables, record_results
from ..core.tables import ClipRow, RunRow, Tables
from ..core.weights import count_parameters
from ..reports.pages.failures import Failure, failures_of
from .bundle.cards import write_cards
from .nights.record import run_record
from .observe import observe
from .planning import Part
from .provenance import provenance_json
from .scoring.costs import cost_rows
from .scoring.score import score


@dataclass(frozen=True)
class RunResult:
    """What a run came to."""

    folder: Path
    """Where its results lie: `<output>/<run>/<id>`."""
    num_clips: int
    num_failures: int
    """Generated clips that are not there, features that could not be made, and numbers that are missing
    through a defect of a metric."""
    num_defects: int = 0
    """Those of them that are numbers."""
    failures: tuple[Failure, ...] = ()
    """The causes of those that are clips and features."""

    @property
    def run_id(self) -> str:
        """Under which the results are kept."""
        return self.folder.name

    @property
    def tables_dir(self) -> Path:
        """Where the Parquet tables lie."""
        return self.folder / "tables"


def build_results(
    run: RunFile,
    parts: Sequence[Part],
    store: Store,
    files: FileDigests,
    num_left_out: int = 0,
    started: datetime.datetime | None = None,
    run_file: Path | None = None,
) -> RunResult:
    """Score what the store has of a run, and write the tables. Nothing is sampled or extracted.

    Args:
        num_left_out: data sets that failed while the run was planned: failures, too.
        started: when the run began, which names the folder of its results. None where nothing ran and the
            tables are only built again: equal ones are not written a second time.
        run_file: where the run file lies, to record the commit of its repository.
    """
    tables = Tables()
    num_defects = 0
    for part in parts:
        observed = observe(part.plan, part.measuring, store, files)
        of_part, defects = score(part.measuring, replace(observed, generated=()), [observed.generated])
        of_part.clips += [item.clip for item in (*observed.generated, *observed.references)]
        of_part.summary += cost_rows(observed)
        tables.extend(of_part)
        num_defects += defects.num_scores + defects.num_cells
    generated = [row for row in tables.clips if row.side == "generated"]
    num_failures = num_left_out + num_defects + sum(row.status != "done" for row in generated)
    num_failures += sum(row.status != "done" for row in tables.features)
    num_clips = sum(row.status == "done" for row in generated)
    tables.runs.append(_run_row(run, parts, tables.clips, num_clips, num_failures))
    failures = tuple(failures_of(map(asdict, tables.clips), map(asdict, tables.features)))
    now = datetime.datetime.now(datetime.UTC)
    with new_results(run.run_dir, started or now) as results:
        tables.write(results.folder / "tables")
        record_results(results.folder)
        latest = results_dir(run.run_dir)
        if started is None and has_same_tables(results.folder, latest):
            record_results(latest)
            return RunResult(latest, num_clips, num_failures, num_defects, failures)
        write_cards(results.folder, [part.measuring.protocol for part in parts])
        run_record(tables.runs[0], parts, started, run_file).write(results.folder)
        results.finish()
    return RunResult(results.folder, num_clips, num_failures, num_defects, failures)


def _parameters(parts: Sequence[Part]) -> dict[str, int]:
    """How large what each method loads is, by label; without those whose files do not say it."""
    found: dict[str, int] = {}
    for method in {method.label: method for part in parts for method in part.plan.methods}.values():
        plugins = [method.plugin, *([method.upscaler.plugin] if method.upscaler else [])]
        with contextlib.suppress(Exception):  # a plug-in's own code: the tables must come all the same
            count = count_parameters([ref for plugin in plugins for ref in plugin.weights()])
            found |= {} if count is None else {method.label: count}
    return found


def _run_row(
    run: RunFile, parts: Sequence[Part], clips: Sequence[ClipRow], num_clips: int, num_failures: int
) -> RunRow:
    # Where things lie and how the work is spread does not change what the run is.
    left_out = {"fresh", "output", "store", "resources", "executor", "limits", "failed_cells", "mlflow"}
    run_data = run.model_dump(mode="json", exclude=left_out)
    for entry in run_data["datasets"]:
        for name in ("methods", "metrics", "protocol"):
            if entry[name] is None:  # as in the run itself: earlier run files had no such entry
                del entry[name]
    weights = {
        f"{method.label}:{location}": value
        for part in parts
        for method in part.plan.methods
        for location, value in method.weight_digests.items()
    }
    for part in parts:
        weights |= part.measuring.weights
    protocols = dict.fromkeys(
        (part.measuring.protocol.name, part.measuring.protocol.digest) for part in parts
    )
    protocol_digest = ", ".join(digest for _, digest in protocols)
    content = [[row.clip_key, row.status, row.content_digest] for row in clips]
    return RunRow(
        run=run.name,
        run_key=digest({"run": run_data, "protocol": protocol_digest, "clips": content}),
        run_file=canonical_json(run_data),
        protocol=", ".join(name for name, _ in protocols),
        protocol_digest=protocol_digest,
        weights=canonical_json(weights),
        parameters=canonical_json(_parameters(parts)),
        num_clips=num_clips,
        num_failures=num_failures,
        reelbench_version=__version__,
        library_versions=provenance_json(),
        hardware="; ".join(sorted({row.hardware for row in clips if row.hardware})),
    )
