"""All numbers of an evaluation, or of the data sets of a run that are measured alike."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from ...core.tables import ScoreRow, Tables
from ..measuring import Measuring
from .clip_scores import score_rows
from .comparisons import comparison_rows
from .curves import curve_rows
from .metric_calls import Defects
from .observations import Observation, Observations, feature_rows
from .short_clips import ShortClips
from .summary import summary_rows


def score(
    measuring: Measuring, observations: Observations, chunks: Iterable[Sequence[Observation]]
) -> tuple[Tables, Defects]:
    """Score clips, sets, pairs of systems and curves.

    Args:
        observations: all but the generated clips.
        chunks: the generated clips, some at a time: features of single frames are held for one chunk only,
            since for thousands of clips they would fill the memory. What set metrics read is held for all:
            one vector a clip, of FID one for each measured frame.

    Returns:
        The rows of all tables but `clips` and `runs`, and what defects of metrics cost.
    """
    defects, short = Defects(), ShortClips(measuring)
    set_roles = measuring.reference_roles()
    features = feature_rows(measuring, observations)
    for item in observations.references:
        short.count_reference(item)
    scores: list[ScoreRow] = []
    generated: list[Observation] = []
    for chunk in chunks:
        part = replace(observations, generated=tuple(chunk), references=())
        scores += score_rows(measuring, part, defects)
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
    comparisons = comparison_rows(measuring, observations, scores, defects)
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
