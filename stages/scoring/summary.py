"""The `summary` table: a row for each method, data set and metric under each seed, and one over all seeds."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...core.contracts import Metric, SetMetric
from ...core.tables import ScoreRow, SummaryRow
from ...core.types import saw_its_reference
from ..measuring import Measuring
from .clip_scores import Scored, mean_score
from .metric_calls import Defects, offers_comparison, signature_of
from .observations import Observation, Observations, System
from .reasons import reasons
from .set_scores import over_seeds, set_score, set_side
from .short_clips import ShortClips


@dataclass(frozen=True)
class SummaryCell:
    """A system on a data set, under one seed or under all (None), with its clips."""

    observations: Observations
    system: System
    dataset: str
    seed: int | None

    @property
    def items(self) -> list[Observation]:
        """The clips of the cell."""
        return self.observations.of(self.system.label, self.dataset, self.seed)

    def row(self, **columns: Any) -> SummaryRow:
        """A row of the cell.

        Args:
            columns: what is particular to the row's metric.
        """
        hardware = {str(item.clip.hardware) for item in self.items if item.clip.status == "done"}
        return SummaryRow(
            run=self.observations.run,
            method=self.system.label,
            method_name=self.system.name,
            method_version=self.system.version,
            method_config=self.system.config,
            dataset=self.dataset,
            split=self.observations.splits[self.dataset],
            conditioning=self.system.conditioning,
            seed=self.seed,
            num_seeds=len(self.observations.seeds) if self.seed is None else 1,
            hardware="; ".join(sorted(hardware)),
            **columns,
        )


def summary_cells(observations: Observations) -> Iterator[tuple[SummaryCell, ...]]:
    """The cells of each data set and system: those of the seeds, and at the end that of all seeds."""
    for dataset, system in itertools.product(observations.splits, observations.systems):
        yield tuple(SummaryCell(observations, system, dataset, seed) for seed in (*observations.seeds, None))


def summary_rows(
    measuring: Measuring,
    observations: Observations,
    scores: Sequence[ScoreRow],
    defects: Defects,
    short: ShortClips | None = None,
) -> list[SummaryRow]:
    """The rows of all metrics.

    Args:
        scores: of the clip metrics; see `score_rows`.
        defects: what a metric's defects cost comparisons and curves is noted beside its values.
        short: noted beside values, too; None for none.
    """
    short = short or ShortClips(measuring)
    by_cell: dict[tuple[str, str, str], list[ScoreRow]] = {}
    for score in scores:
        by_cell.setdefault((score.metric, score.method, score.dataset), []).append(score)
    rows = []
    for cells in summary_cells(observations):
        for clip_metric in measuring.clip_metrics:
            mine = by_cell.get((clip_metric.name, cells[0].system.label, cells[0].dataset), [])
            for cell in cells:
                scored = mean_score(clip_metric, [row for row in mine if cell.seed in (None, row.seed)])
                rows.append(_row(clip_metric, measuring, cell, scored, 0, defects, short))
        for set_metric in measuring.set_metrics_of(observations.conditionings(cells[0].dataset)):
            rows += _set_rows(set_metric, measuring, cells, defects, short)
    return rows


def _set_rows(
    metric: SetMetric,
    measuring: Measuring,
    cells: Sequence[SummaryCell],
    defects: Defects,
    short: ShortClips,
) -> Iterator[SummaryRow]:
    """The rows of a set metric; the one of all seeds is made from the others."""
    observations = cells[0].observations
    references = set_side(metric, observations.references_of(cells[0].dataset))
    is_compared = len(observations.systems) == 1 or offers_comparison(metric)
    of_seeds: list[Scored] = []
    num_there = 0
    for cell in cells[:-1]:
        generated = set_side(metric, cell.items)
        key, estimate, reason = set_score(metric, generated, references, defects)
        if estimate is not None and not is_compared:
            note = "methods are not compared by it: it offers no paired test"
            estimate = replace(estimate, notes=(*estimate.notes, note))
        of_seeds.append((key, estimate, reason))
        num_there += len(generated.ids)
        yield _row(metric, measuring, cell, of_seeds[-1], len(generated.ids), defects, short)
    yield _row(metric, measuring, cells[-1], over_seeds(of_seeds), num_there, defects, short)


def _about_the_set(metric: SetMetric, cell: SummaryCell) -> dict[str, int | str | None]:
    own = "own" if saw_its_reference(cell.system.conditioning) else None
    return {"warn_below_n": metric.warn_below_n or None, "references": metric.references or own}


def _row(
    metric: Metric,
    measuring: Measuring,
    cell: SummaryCell,
    scored: Scored,
    num_there: int,
    defects: Defects,
    short: ShortClips,
) -> SummaryRow:
    """A metric's row.

    Args:
        num_there: how many clips a metric without a value had: too few, but none of them failed.
    """
    key, estimate, reason = scored
    items = cell.items
    # A set metric stands for the N of one seed also in the row of all seeds.
    seeds = len({item.clip.seed for item in items}) if metric.level == "set" else 1
    asked = len(items) // max(1, seeds)
    n = estimate.n if estimate else num_there // max(1, seeds)
    n_reference = estimate.n_reference if estimate else None
    weights = {
        name: value
        for role in metric.needs
        for name, value in measuring.extractors[role].weight_digests.items()
    }
    notes = [*(estimate.notes if estimate else [reason]), *defects.notes(metric.name, cell.dataset)]
    notes += [f"{cell.dataset}: {note}" for note in cell.observations.data_notes.get(cell.dataset, ())]
    if metric.level == "clip" and not estimate:
        notes += reasons(metric.needs, items)
    if estimate:
        notes.append(short.note(metric.name, cell.system.label, cell.dataset, cell.seed))
    return cell.row(
        metric=metric.name,
        label=metric.label,
        unit=metric.unit,
        higher_is_better=metric.higher_is_better,
        level=metric.level,
        protocol=measuring.protocol.name,
        protocol_digest=measuring.protocol.digest,
        value=estimate.value if estimate else None,
        standard_error=estimate.standard_error if estimate else None,
        low=estimate.low if estimate else None,
        high=estimate.high if estimate else None,
        interval=estimate.interval if estimate else None,
        bias_corrected=estimate.bias_corrected if estimate else None,
        n=n,
        num_sources=estimate.num_sources if estimate else 0,
        num_failures=asked - n,
        coverage=n / asked if asked else 0.0,
        n_reference=n_reference,
        **(_about_the_set(metric, cell) if isinstance(metric, SetMetric) else {}),
        signature=signature_of(metric, measuring.protocol, weights, n, n_reference),
        notes="\n".join(filter(None, notes)),
        score_key=key,
    )
