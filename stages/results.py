"""From the store to a run's Parquet tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import __version__
from ..core.file_digests import FileDigests
from ..core.hashing import canonical_json, digest
from ..core.plan import Plan
from ..core.run_file import RunFile
from ..core.store import Store
from ..core.tables import write_table
from .measuring import Measuring
from .observations import FeatureCell, Observation, Observations, Reference, observe
from .planning import Part
from .provenance import provenance_json
from .score import comparison_rows, curve_rows, score_rows, summary_rows

Row = dict[str, Any]


@dataclass(frozen=True)
class RunResult:
    """What a run came to."""

    tables_dir: Path
    num_clips: int
    num_failures: int
    """Generated clips that are not there, and features that could not be made."""


def tables_dir(run_dir: Path) -> Path:
    """Where a run's tables lie."""
    return run_dir / "tables"


def build_results(run: RunFile, parts: Sequence[Part], store: Store, files: FileDigests) -> RunResult:
    """Score what the store has of a run, and write the tables. Nothing is sampled or extracted."""
    rows: dict[str, list[Row]] = {}
    for part in parts:
        for name, more in _part_rows(part, store, files).items():
            rows.setdefault(name, []).extend(more)
    clips = rows["clips"]
    failures = sum(row["status"] != "done" for row in clips if row["side"] == "generated")
    failures += sum(row["status"] != "done" for row in rows["features"])
    rows["runs"] = [_run_row(run, parts, clips, failures)]
    folder = tables_dir(run.run_dir)
    for name, content in rows.items():
        write_table(folder, name, content)
    num_clips = sum(row["status"] == "done" for row in clips if row["side"] == "generated")
    return RunResult(folder, num_clips, failures)


def _part_rows(part: Part, store: Store, files: FileDigests) -> dict[str, list[Row]]:
    plan, measuring = part.plan, part.measuring
    observations = observe(plan, measuring, store, files)
    scores = score_rows(plan, measuring, observations)
    return {
        "clips": _clip_rows(plan, store, observations),
        "features": _feature_rows(plan, measuring, observations),
        "scores": scores,
        "summary": summary_rows(plan, measuring, observations, scores),
        "comparisons": comparison_rows(plan, measuring, scores, observations),
        "curves": curve_rows(plan, measuring, observations),
    }


def _run_row(run: RunFile, parts: Sequence[Part], clips: list[Row], failures: int) -> Row:
    # Where things lie and how the work is spread does not change what the run is.
    run_data = run.model_dump(mode="json", exclude={"output", "store", "resources", "executor"})
    for entry in run_data["datasets"]:
        for name in ("methods", "metrics", "protocol"):
            if entry[name] is None:  # as the run's: run files of before had no such entry
                del entry[name]
    weights = {
        f"{method.label}:{location}": value
        for part in parts
        for method in part.plan.methods
        for location, value in method.weight_digests.items()
    } | {
        f"{role}:{name}": value
        for part in parts
        for role, extractor in part.measuring.extractors.items()
        for name, value in extractor.weight_digests.items()
    }
    protocols = dict.fromkeys(
        (part.measuring.protocol.name, part.measuring.protocol.digest) for part in parts
    )
    generated = [row for row in clips if row["side"] == "generated"]
    content = [[row["clip_key"], row["status"], row.get("content_digest")] for row in clips]
    protocol_digest = ", ".join(digest for _, digest in protocols)
    return {
        "run": run.name,
        "run_key": digest({"run": run_data, "protocol": protocol_digest, "clips": content}),
        "run_file": canonical_json(run_data),
        "protocol": ", ".join(name for name, _ in protocols),
        "protocol_digest": protocol_digest,
        "weights": canonical_json(weights),
        "num_clips": sum(row["status"] == "done" for row in generated),
        "num_failures": failures,
        "reelbench_version": __version__,
        "library_versions": provenance_json(),
        "hardware": "; ".join(sorted({row["hardware"] for row in generated if row.get("hardware")})),
    }


def _clip_rows(plan: Plan, store: Store, observations: Observations) -> list[Row]:
    return [_generated_row(plan, store, item) for item in observations.generated] + [
        _reference_row(plan, item) for item in observations.references
    ]


def _generated_row(plan: Plan, store: Store, item: Observation) -> Row:
    record = item.record
    row: Row = {
        "run": plan.run.name,
        "side": "generated",
        "method": item.cell.method_label,
        "dataset": item.cell.dataset_label,
        "split": item.cell.dataset.split,
        "sample_id": item.task.sample.id,
        "source": item.task.sample.source,
        "prompt": item.task.sample.prompt,
        "source_prompt": item.task.sample.source_prompt,
        "edit": item.task.sample.edit,
        "seed": item.cell.seed,
        "clip_key": item.task.key,
        "status": record.status if record else "missing",
    }
    if record is None:
        return row
    if record.error is not None:
        return row | {"error_type": record.error.type, "error_message": record.error.message}
    return row | {
        "prompt_truncated": record.prompt_truncated,
        "content_digest": record.content_digest,
        "num_frames": record.num_frames,
        "height": record.height,
        "width": record.width,
        "fps": record.fps,
        "sampling_s": record.sampling_s,
        "upscaling_s": record.upscaling_s,
        "peak_memory_gib": record.peak_memory_gib,
        "tune_key": record.tune_key,
        "tuning_s": record.tuning_s,
        "tuning_memory_gib": record.tuning_memory_gib,
        "trainable_parameters": record.trainable_parameters,
        "hardware": record.provenance.get("hardware"),
        "path": str(store.clip_path(record.key)),
        "preview": str(store.preview_path(record.key)),
    }


def _reference_row(plan: Plan, item: Reference) -> Row:
    assert item.sample.reference is not None
    failure = item.failure or next(
        (cell.failure for cell in item.features.values() if cell.failure is not None), None
    )
    there = item.failure is None and all(cell.values is not None for cell in item.features.values())
    return {
        "run": plan.run.name,
        "side": "reference",
        "dataset": item.dataset.label,
        "split": item.dataset.split,
        "sample_id": item.sample.id,
        "source": item.sample.source,
        "prompt": item.sample.prompt if item.sample.source_prompt is None else item.sample.source_prompt,
        "clip_key": item.content,
        "status": "done" if there else "failed" if failure else "missing",
        "error_type": failure.type if failure and not there else None,
        "error_message": failure.message if failure and not there else None,
        "content_digest": item.content,
        "path": str(item.sample.reference.path.absolute()),
    }


def _feature_rows(plan: Plan, measuring: Measuring, observations: Observations) -> list[Row]:
    rows: dict[tuple[Any, ...], Row] = {}

    def add(side: str, dataset: str, sample_id: str, cell: FeatureCell, **more: Any) -> None:
        there = cell.values is not None
        row = {
            "run": plan.run.name,
            "side": side,
            "dataset": dataset,
            "sample_id": sample_id,
            "extractor": cell.extractor,
            "extractor_version": measuring.extractors[cell.extractor].plugin.version,
            "protocol": measuring.protocol.name,
            "feature_key": cell.key,
            "content_digest": cell.content,
            "status": "done" if there else "failed" if cell.failure else "missing",
            "error_type": cell.failure.type if cell.failure and not there else None,
            "error_message": cell.failure.message if cell.failure and not there else None,
        } | more
        rows[(side, dataset, sample_id, cell.extractor, more.get("method"), more.get("seed"))] = row

    for item in observations.generated:
        for role, cell in item.features.items():
            if role in measuring.prompt_roles():
                add("prompt", item.cell.dataset_label, item.task.sample.id, cell)
            else:
                add(
                    "generated",
                    item.cell.dataset_label,
                    item.task.sample.id,
                    cell,
                    method=item.cell.method_label,
                    seed=item.cell.seed,
                )
    for reference in observations.references:
        for cell in reference.features.values():
            add("reference", reference.dataset.label, reference.sample.id, cell)
    return list(rows.values())
