"""From the features of an evaluation to its tables and its report, by the same code as a run's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from .. import __version__
from ..core.contracts import FrozenConfig
from ..core.hashing import canonical_json, digest
from ..core.plan import Cell, ClipTask, Plan, PlannedDataset, PlannedMethod
from ..core.records import ClipRecord, FailureInfo
from ..core.run_file import RunFile
from ..core.store import Store
from ..core.tables import write_table
from ..core.types import Features, Sample
from ..stages.measuring import Measuring
from ..stages.observations import FeatureCell, Observation, Observations, Reference
from ..stages.provenance import hardware, provenance_json
from ..stages.score import comparison_rows, curve_rows, score_rows, summary_rows
from .clip_list import StoredClip
from .clip_measuring import FeatureRef
from .matched_systems import Draft, Matching
from .notes import clip_notes, weight_notes
from .stored_clips import ClipFacts

if TYPE_CHECKING:
    from .evaluator import Evaluation

Row = dict[str, Any]

CLIPS_AT_ONCE = 256
"""Clips whose frame features are held at a time."""

NOT_STATED = "not stated"
"""Conditioning of clips that come without a method: what it saw is not known here."""


class _Videos:
    """Stands where a run has a method or a data set: clips that were there before."""

    class Config(FrozenConfig):
        folder: str = ""

    name, version, conditioning, split, task = "videos", "1", NOT_STATED, "", "text-to-video"

    def __init__(self, config: Config) -> None:
        self.config = config


@dataclass(frozen=True)
class _Scored:
    """What one protocol adds to the tables."""

    scores: list[Row]
    summary: list[Row]
    comparisons: list[Row]
    curves: list[Row]
    features: list[Row]


def write_results(
    run: RunFile,
    store: Store,
    measurings: Sequence[Measuring],
    matching: Matching,
    drafts: Sequence[Draft],
    facts: Mapping[StoredClip, ClipFacts],
    frame_rate: float | None,
) -> Evaluation:
    """Score what the store has, write the tables and the HTML report, and say what there is to say."""
    from ..reports.pages.html_report import write_html_report
    from .evaluator import Evaluation

    plan = _plan(run, matching, facts)
    notes = [(*weight_notes([item]), *clip_notes([item], matching, facts, frame_rate)) for item in measurings]
    scored = [
        _score(plan, measuring, draft, store, said)
        for measuring, draft, said in zip(measurings, drafts, notes, strict=True)
    ]
    clips = _clip_rows(run, matching, facts)
    features = [row for part in scored for row in part.features]
    scores = [row for part in scored for row in part.scores]
    # Asked for and not there, unreadable, or without a value (one frame has no neighbour). A clip that has no
    # caption or reference was not asked about it.
    num_failures = sum(row["status"] == "missing" for row in clips)
    num_failures += sum(row["status"] == "failed" for row in (*clips, *features))
    num_failures += sum(row["value"] is None for row in scores)
    folder = run.run_dir / "tables"
    rows = {
        "clips": clips,
        "features": features,
        "scores": scores,
        "summary": [row for part in scored for row in part.summary],
        "comparisons": [row for part in scored for row in part.comparisons],
        "curves": [row for part in scored for row in part.curves],
        "runs": [_run_row(run, measurings, clips, num_failures)],
    }
    for name, content in rows.items():
        write_table(folder, name, content)
    write_html_report(folder, run.run_dir / "report.html")
    said_once = dict.fromkeys(note for said in notes for note in said)
    return Evaluation(run.run_dir, (*matching.problems, *said_once), num_failures)


def _plan(run: RunFile, matching: Matching, facts: Mapping[StoredClip, ClipFacts]) -> Plan:
    """The evaluation as a plan: each system is a method, the samples are a data set."""
    dataset: Any = _Videos(_Videos.Config())
    planned_dataset = PlannedDataset(
        run.datasets[0].label, dataset, tuple(item.sample for item in matching.samples)
    )
    methods, cells = [], []
    for entry in run.methods:
        plugin: Any = _Videos(_Videos.Config.model_validate(entry.config))
        method = PlannedMethod(entry.label, entry.name, plugin, digest({"videos": entry.label}), {})
        tasks, records = [], {}
        for item in matching.samples:
            clip = item.generated.get(entry.label)
            key = digest({"system": entry.label, "sample": item.sample.id})
            tasks.append(ClipTask(key, item.sample, run.seeds[0]))
            if clip is not None:
                records[key] = _record(key, item.sample, facts[clip])
        methods.append(method)
        cells.append(Cell(method, planned_dataset, run.seeds[0], tuple(tasks), records, 0.0, 0))
    return Plan(run, tuple(methods), (planned_dataset,), tuple(cells))


def _record(key: str, sample: Sample, facts: ClipFacts) -> ClipRecord:
    return ClipRecord(
        key=key,
        status="failed" if facts.error else "done",
        method_key="videos",
        sample_id=sample.id,
        prompt=sample.prompt,
        seed=0,
        error=FailureInfo(type="VideoError", message=facts.error) if facts.error else None,
        content_digest=facts.digest,
        width=facts.width,
        height=facts.height,
        fps=facts.fps,
    )


def _score(plan: Plan, measuring: Measuring, draft: Draft, store: Store, notes: Sequence[str]) -> _Scored:
    """One protocol's rows. Features of single frames are held for some clips at a time: for thousands of
    clips they would fill the memory. What set metrics need (one vector a clip) is held for all."""
    cells = {cell.method_label: cell for cell in plan.cells}
    tasks = {(cell.method_label, task.sample.id): task for cell in plan.cells for task in cell.tasks}
    set_roles = set(measuring.reference_roles())
    refs = [item.features for item in draft.generated] + [item.features for item in draft.references]
    set_values = {
        role: store.load_features(role, {features[role].key for features in refs if role in features})
        for role in set_roles
    }
    scores: list[Row] = []
    feature_rows: list[Row] = []
    generated: list[Observation] = []
    for start in range(0, len(draft.generated), CLIPS_AT_ONCE):
        chunk = draft.generated[start : start + CLIPS_AT_ONCE]
        wanted: dict[str, set[str]] = {}
        for item in chunk:
            for role, ref in item.features.items():
                wanted.setdefault(role, set()).add(ref.key)
        values = {
            role: set_values[role] if role in set_roles else store.load_features(role, keys)
            for role, keys in wanted.items()
        }
        observed = []
        for item in chunk:
            cell = cells[item.system]
            task = tasks[item.system, item.matched.sample.id]
            found = {role: _cell(role, ref, values, store) for role, ref in item.features.items()}
            observed.append(Observation(cell, task, cell.records.get(task.key), found))
        part = Observations(tuple(observed), ())
        scores += score_rows(plan, measuring, part)
        feature_rows += _feature_rows(plan, measuring, part)
        for observation in observed:
            held = {role: cell for role, cell in observation.features.items() if role in set_roles}
            generated.append(replace(observation, features=held))
    references = tuple(
        Reference(
            plan.datasets[0],
            item.sample,
            item.content,
            {role: _cell(role, ref, set_values, store) for role, ref in item.features.items()},
        )
        for item in draft.references
    )
    observations = Observations(tuple(generated), references)
    feature_rows += _feature_rows(plan, measuring, Observations((), references))
    summary = [
        row | {"notes": "\n".join(filter(None, [row["notes"], *notes])), "hardware": hardware("cpu")}
        for row in summary_rows(plan, measuring, observations, scores)
        if row["level"] != "cost"  # nothing was made here
    ]
    comparisons = comparison_rows(plan, measuring, scores, observations)
    curves = curve_rows(plan, measuring, observations)
    return _Scored(scores, summary, comparisons, curves, feature_rows)


def _cell(
    role: str, ref: FeatureRef, values: Mapping[str, Mapping[str, Features]], store: Store
) -> FeatureCell:
    array = values[role].get(ref.key)
    failure = None if array is not None else ref.failure or store.failure(ref.key)
    return FeatureCell(role, ref.key, ref.content, array, failure)


def _clip_rows(run: RunFile, matching: Matching, facts: Mapping[StoredClip, ClipFacts]) -> list[Row]:
    rows: list[Row] = []
    dataset = run.datasets[0].label
    for item in matching.samples:
        for system in matching.systems:
            base = {
                "run": run.name,
                "side": "generated",
                "method": system,
                "dataset": dataset,
                "split": "",
                "sample_id": item.sample.id,
                "source": item.sample.source,
                "prompt": item.caption,
                "seed": run.seeds[0],
                "clip_key": digest({"system": system, "sample": item.sample.id}),
            }
            clip = item.generated.get(system)
            rows.append(base | ({"status": "missing"} if clip is None else _file_columns(clip, facts[clip])))
    for clip, sample in matching.references.items():
        base = {
            "run": run.name,
            "side": "reference",
            "dataset": dataset,
            "split": "",
            "sample_id": sample.id,
            "source": sample.source,
            "clip_key": facts[clip].digest or digest({"unreadable": sample.id}),
        }
        rows.append(base | _file_columns(clip, facts[clip]))
    return rows


def _file_columns(clip: StoredClip, facts: ClipFacts) -> Row:
    return {
        "status": "failed" if facts.error else "done",
        "error_type": "VideoError" if facts.error else None,
        "error_message": facts.error,
        "content_digest": facts.digest,
        "width": facts.width,
        "height": facts.height,
        "fps": facts.fps,
        "path": str(clip.path),
        "preview": str(clip.path) if clip.kind == "video" else None,
    }


def _feature_rows(plan: Plan, measuring: Measuring, observations: Observations) -> list[Row]:
    rows: dict[tuple[str, ...], Row] = {}

    def add(side: str, method: str | None, sample_id: str, cell: FeatureCell) -> None:
        there = cell.values is not None
        rows[side, method or "", sample_id, cell.extractor] = {
            "run": plan.run.name,
            "side": side,
            "method": method,
            "dataset": plan.datasets[0].label,
            "sample_id": sample_id,
            "seed": None if method is None else plan.run.seeds[0],
            "extractor": cell.extractor,
            "extractor_version": measuring.extractors[cell.extractor].plugin.version,
            "protocol": measuring.protocol.name,
            "feature_key": cell.key,
            "content_digest": cell.content,
            "status": "done" if there else "failed" if cell.failure else "missing",
            "error_type": cell.failure.type if cell.failure and not there else None,
            "error_message": cell.failure.message if cell.failure and not there else None,
        }

    for item in observations.generated:
        for role, cell in item.features.items():
            if role in measuring.prompt_roles():
                add("prompt", None, item.task.sample.id, cell)
            else:
                add("generated", item.cell.method_label, item.task.sample.id, cell)
    for reference in observations.references:
        for cell in reference.features.values():
            add("reference", None, reference.sample.id, cell)
    return list(rows.values())


def _run_row(run: RunFile, measurings: Sequence[Measuring], clips: Sequence[Row], num_failures: int) -> Row:
    run_data = run.model_dump(mode="json", exclude={"output", "store", "resources"})
    weights = {
        f"{role}:{name}": value
        for item in measurings
        for role, extractor in item.extractors.items()
        for name, value in extractor.weight_digests.items()
    }
    protocols = {item.protocol.name: item.protocol.digest for item in measurings}
    content = sorted(
        [row["side"], row.get("method") or "", row["sample_id"], row.get("content_digest") or ""]
        for row in clips
    )
    return {
        "run": run.name,
        "run_key": digest({"run": run_data, "protocols": protocols, "clips": content}),
        "run_file": canonical_json(run_data),
        "protocol": ", ".join(protocols),
        "protocol_digest": ", ".join(protocols.values()),
        "weights": canonical_json(weights),
        "num_clips": sum(row["status"] == "done" for row in clips if row["side"] == "generated"),
        "num_failures": num_failures,
        "reelbench_version": __version__,
        "library_versions": provenance_json(),
        "hardware": hardware("cpu"),
    }
