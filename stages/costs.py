"""Cost beside quality: the rows of the `summary` table that say what a method's clips took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..core.statistics import mean_estimate
from .observations import Observation

Row = dict[str, Any]

_ROWS = (
    ("sampling_s", "Sampling", "s/clip"),
    ("peak_memory_gib", "Memory", "GiB"),
    ("tuning_s", "Tuning", "s/tuning"),
    ("tuning_memory_gib", "Tuning memory", "GiB"),
    ("trainable_parameters", "Trained", "parameters"),
)
_MAXIMUM = "maximum, no interval"


def cost_rows(base: Mapping[str, Any], items: Sequence[Observation]) -> list[Row]:
    """Seconds and memory of sampling, and of tuning where there is one, and what is trained.

    Times are means over clips, or over tunings (which several clips may share); memory and parameters are
    maxima. Rows of tuning are left out for a method that tunes nothing on the references.

    Args:
        base: the columns that all rows of the method and data set share.
        items: its clips.
    """
    done = [(item, item.record) for item in items if item.record is not None and item.record.status == "done"]
    tunes = any(item.task.tune is not None for item in items)
    tunings = {record.tune_key: (item, record) for item, record in done if record.tune_key is not None}
    asked = {item.task.tune.key for item in items if item.task.tune is not None}
    rows = []
    for metric, label, unit in _ROWS:
        of_tuning = metric.startswith("tuning")
        if of_tuning and not tunes:
            continue
        pairs = list(tunings.values()) if of_tuning else done
        known = [(item, value) for item, record in pairs if (value := getattr(record, metric)) is not None]
        if metric == "trainable_parameters" and not known:
            continue
        num_asked = len(asked) if of_tuning else len(items)
        row = {
            **base,
            "metric": metric,
            "label": label,
            "unit": unit,
            "higher_is_better": False,
            "level": "cost",
            "n": len(known),
            "num_failures": num_asked - len(known),
            "coverage": len(known) / num_asked if num_asked else 0.0,
        }
        rows.append(row | (_mean(known) if metric.endswith("_s") else _most(known)))
    return rows


def _mean(known: Sequence[tuple[Observation, float]]) -> Row:
    if not known:
        return {"interval": "95% t, clustered on source"}
    estimate = mean_estimate([value for _, value in known], [item.task.sample.source for item, _ in known])
    return {
        "value": estimate.value,
        "standard_error": estimate.standard_error,
        "low": estimate.low,
        "high": estimate.high,
        "num_sources": estimate.num_sources,
        "interval": "95% t, clustered on source",
    }


def _most(known: Sequence[tuple[Observation, float]]) -> Row:
    return {"interval": _MAXIMUM} | ({"value": float(max(value for _, value in known))} if known else {})
