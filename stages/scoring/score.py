"""All numbers of an evaluation, or of the data sets of a run that are measured alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ...core.tables import ScoreRow, Tables
from ..measuring import Measuring
from .clip_scores import score_rows
from .comparisons import comparison_rows
from .curves import curve_rows
from .metric_calls import Defects
from .observations import Observation, Observations, feature_rows
from .short_clips import ShortClips
from .summary import summary_rows


@dataclass(frozen=True)
class Recorded:
    """What of earlier results is taken as it was recorded.

    Attributes:
        scores: of clip metrics whose values are not computed.
        p_values: of comparisons that are not made, by data set; Holm's correction counts them.
    """

    scores: Sequence[ScoreRow] = ()
    p_values: Mapping[str, Sequence[float]] = field(default_factory=dict)


NOTHING_RECORDED = Recorded()


def score(
    measuring: Measuring,
    observations: Observations,
    chunks: Iterable[Sequence[Observation]],
    recorded: Recorded = NOTHING_RECORDED,
) -> tuple[Tables, Defects]:
    """Score clips, sets, pairs of systems and curves.

    Args:
        observations: all but the generated clips.
        chunks: the generated clips, some at a time: features of single frames are held for one chunk only,
            since for thousands of clips they would fill the memory. What set metrics read is held for all:
            one vector a clip, of FID one for each measured frame.
        recorded: what is taken as it was recorded, where results are scored again without all that they were
            made of.
        recorded: what is taken as it was recorded, where results are scored again without all that they were
            made of.

    Returns:
        The rows of all tables but `clips` and `runs`, and what defects of metrics cost.
    """
    defects, short = Defects(), ShortClips(measuring)
    set_roles = measuring.reference_roles()
    features = feature_rows(measuring, observations)
    for item in observations.references:
        short.count_reference(item)
    scores: list[ScoreRow] = list(recorded.scores)
    taken = {row.metric for row in scores}
    computed = replace(measuring, metrics=tuple(m for m in measuring.metrics if m.name not in taken))
    generated: list[Observation] = []
    for chunk in chunks:
        part = replace(observations, generated=tuple(chunk), references=())
        scores += score_rows(computed, part, defects)
        for item in chunk:
            short.count(item)
        features |= feature_rows(measuring, part)
        generated += [
            replace(
                item,
                features={
                    role: cell
                    for role, cell in item.features.items()
                    if role in set_roles or cell.failure is not None  # why a value is missing
                },
            )
            for item in chunk
        ]
    observations = replace(observations, generated=tuple(generated))
    comparisons = comparison_rows(measuring, observations, scores, defects, recorded.p_values)
    curves = curve_rows(measuring, observations, defects)
    summary = summary_rows(measuring, observations, scores, defects, short)
    tables = Tables(
        features=list(features.values()),
        scores=scores,
        summary=summary,
        comparisons=comparisons,
        curves=curves,
    )
    return tables, defects
