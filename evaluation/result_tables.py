"""From the features of an evaluation to its tables and its report, by the same code as a run's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from .. import __version__
from ..core.contracts import Metric
from ..core.hashing import canonical_json, digest
from ..core.run_file import RunFile
from ..core.store import Store, forget_results, record_results
from ..core.tables import ClipRow, RunRow, Tables
from ..core.types import FRAMES_GIVEN, Features
from ..stages.bundle.cards import write_cards
from ..stages.measuring import Measuring
from ..stages.provenance import hardware, provenance_json
from ..stages.scoring.observations import FeatureCell, Observation, Observations, System
from ..stages.scoring.score import score
from .clip_list import StoredClip
from .clip_measuring import FeatureRef
from .matched_systems import Draft, Matching
from .notes import clip_notes, resolution_notes, weight_notes
from .result import Evaluation
from .stored_clips import ClipFacts

CLIPS_AT_ONCE = 256
"""Clips whose frame features are held at a time."""

NOT_STATED = "not stated"
"""Conditioning of clips that come without a method: what it saw is not known here."""


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
    from ..reports.folder.build import FILES, write_report_folder
    from ..reports.pages.html_report import write_html_report

    generated, references = _generated_rows(run, matching, facts), _reference_rows(run, matching, facts)
    tables = Tables(clips=[*generated.values(), *references.values()])
    given = any(item.sample.num_context_frames for item in matching.samples)
    conditioning = FRAMES_GIVEN if given and matching.has_pairs else NOT_STATED
    observations = Observations(
        run=run.name,
        systems=tuple(
            System(entry.label, entry.name, "1", canonical_json(entry.config), conditioning)
            for entry in run.methods
        ),
        splits={run.datasets[0].label: ""},
        seeds=tuple(run.seeds),
    )
    said: dict[str, None] = {}
    num_failures = 0
    for measuring, draft in zip(measurings, drafts, strict=True):
        lookup = _Lookup(measuring, draft, store)
        real = tuple(
            Observation(row, lookup.cells(draft.references[clip])) for clip, row in references.items()
        )
        part, defects = score(measuring, replace(observations, references=real), lookup.chunks(generated))
        about_clips = clip_notes([measuring], matching, facts, frame_rate)
        resolution = resolution_notes([measuring], matching, facts)
        of_metric = {
            name: (*weight_notes([measuring], roles), *(resolution if "i3d" in roles else ()))
            for name, roles in _needs(measuring).items()
        }
        part.summary = [
            replace(
                row,
                notes="\n".join(
                    filter(None, [row.notes, *matching.problems, *of_metric[row.metric], *about_clips])
                ),
                hardware=hardware("cpu"),
            )
            for row in part.summary
        ]
        tables.extend(part)
        num_failures += defects.num_cells
        said |= dict.fromkeys((*weight_notes([measuring]), *about_clips, *resolution))
    # Asked for and not there, unreadable, or without a value (one frame has no neighbour). A clip that has no
    # caption or reference was not asked about it.
    num_failures += sum(row.status != "done" for row in tables.clips)
    num_failures += sum(row.status == "failed" for row in tables.features)
    num_failures += sum(row.value is None for row in tables.scores)
    # A set metric's number may be missing where every clip was read: FVD of a single one.
    num_failures += sum(
        row.value is None and row.seed is None and row.level == "set" and row.metric in run.metrics
        for row in tables.summary
    )
    tables.runs.append(_run_row(run, measurings, tables.clips, num_failures))
    evaluation = Evaluation(run.run_dir, (*matching.problems, *said), num_failures)
    forget_results(run.run_dir)
    tables.write(evaluation.tables_dir)
    write_cards(run.run_dir, [measuring.protocol for measuring in measurings])
    write_html_report(evaluation.tables_dir, run.run_dir / "report.html")
    write_report_folder(evaluation.tables_dir, run.run_dir)
    record_results(run.run_dir, "report.html", *FILES)
    return evaluation


def _needs(measuring: Measuring) -> dict[str, tuple[str, ...]]:
    """The extractors that each metric measures with."""
    metrics: list[Metric] = [*measuring.clip_metrics, *measuring.set_metrics_of([FRAMES_GIVEN])]
    return {metric.name: metric.needs for metric in metrics}


class _Lookup:
    """The features of one protocol, from the store."""

    def __init__(self, measuring: Measuring, draft: Draft, store: Store) -> None:
        self._draft, self._store = draft, store
        # What set metrics read (one vector a clip) is held for all clips.
        keys = _keys([*draft.generated.values(), *draft.references.values()])
        self._held = {
            role: store.features.load(role, keys.get(role, ())) for role in measuring.reference_roles()
        }

    def chunks(self, rows: Mapping[tuple[str, str], ClipRow]) -> Iterator[list[Observation]]:
        """The generated clips with all of their features, some at a time."""
        items = list(self._draft.generated.items())
        for start in range(0, len(items), CLIPS_AT_ONCE):
            chunk = items[start : start + CLIPS_AT_ONCE]
            loaded = {
                role: self._store.features.load(role, keys)
                for role, keys in _keys([features for _, features in chunk]).items()
                if role not in self._held
            }
            yield [Observation(rows[name], self.cells(features, loaded)) for name, features in chunk]

    def cells(
        self,
        features: Mapping[str, FeatureRef],
        loaded: Mapping[str, Mapping[str, Features]] | None = None,
    ) -> dict[str, FeatureCell]:
        """The features of a clip, of those that are held or given."""
        values = {**self._held, **(loaded or {})}
        cells = {}
        for role, ref in features.items():
            array = values[role].get(ref.key)
            failure = None if array is not None else ref.failure or self._store.failure(ref.key)
            cells[role] = FeatureCell(role, ref.key, ref.content, array, failure)
        return cells


def _keys(clips: Sequence[Mapping[str, FeatureRef]]) -> dict[str, set[str]]:
    """The keys of the features of clips, by role."""
    keys: dict[str, set[str]] = {}
    for features in clips:
        for role, ref in features.items():
            keys.setdefault(role, set()).add(ref.key)
    return keys


def _generated_rows(
    run: RunFile, matching: Matching, facts: Mapping[StoredClip, ClipFacts]
) -> dict[tuple[str, str], ClipRow]:
    """The rows of the generated clips by system and sample."""
    rows = {}
    for item in matching.samples:
        for system in matching.systems:
            row = ClipRow(
                run=run.name,
                side="generated",
                method=system,
                dataset=run.datasets[0].label,
                split="",
                sample_id=item.sample.id,
                source=item.sample.source,
                prompt=item.caption,
                seed=run.seeds[0],
                clip_key=digest({"system": system, "sample": item.sample.id}),
                status="missing",
            )
            clip = item.generated.get(system)
            rows[system, item.sample.id] = row if clip is None else _with_file(row, clip, facts[clip])
    return rows


def _reference_rows(
    run: RunFile, matching: Matching, facts: Mapping[StoredClip, ClipFacts]
) -> dict[StoredClip, ClipRow]:
    rows = {}
    for clip, sample in matching.references.items():
        row = ClipRow(
            run=run.name,
            side="reference",
            dataset=run.datasets[0].label,
            split="",
            sample_id=sample.id,
            source=sample.source,
            clip_key=facts[clip].digest or digest({"unreadable": sample.id}),
            status="missing",
        )
        rows[clip] = _with_file(row, clip, facts[clip])
    return rows


def _with_file(row: ClipRow, clip: StoredClip, facts: ClipFacts) -> ClipRow:
    """The row of a clip whose file is there."""
    return replace(
        row,
        status="failed" if facts.error else "done",
        error_type="VideoError" if facts.error else None,
        error_message=facts.error,
        content_digest=facts.digest,
        width=facts.width,
        height=facts.height,
        fps=facts.fps,
        path=str(clip.path),
        preview=str(clip.path) if clip.kind == "video" else None,
    )


def _run_row(
    run: RunFile, measurings: Sequence[Measuring], clips: Sequence[ClipRow], num_failures: int
) -> RunRow:
    left_out = {"fresh", "output", "store", "resources", "limits", "failed_cells", "mlflow"}
    run_data = run.model_dump(mode="json", exclude=left_out)
    protocols = {item.protocol.name: item.protocol.digest for item in measurings}
    weights = {name: value for item in measurings for name, value in item.weights.items()}
    content = sorted([row.side, row.method or "", row.sample_id, row.content_digest or ""] for row in clips)
    return RunRow(
        run=run.name,
        run_key=digest({"run": run_data, "protocols": protocols, "clips": content}),
        run_file=canonical_json(run_data),
        protocol=", ".join(protocols),
        protocol_digest=", ".join(protocols.values()),
        weights=canonical_json(weights),
        num_clips=sum(row.status == "done" for row in clips if row.side == "generated"),
        num_failures=num_failures,
        reelbench_version=__version__,
        library_versions=provenance_json(),
        hardware=hardware("cpu"),
    )
