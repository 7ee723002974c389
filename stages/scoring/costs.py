"""Cost beside quality: the rows of the `summary` table that say what a method's clips took."""

from __future__ import annotations

from collections.abc import Sequence

from ...core.statistics import mean_estimate
from ...core.tables import ClipRow, SummaryRow
from .observations import Observations
from .summary import SummaryCell, summary_cells

_ROWS = (
    ("sampling_s", "Sampling", "s/clip"),
    ("peak_memory_gib", "Memory", "GiB"),
    ("tuning_s", "Tuning", "s/tuning"),
    ("tuning_memory_gib", "Tuning memory", "GiB"),
    ("trainable_parameters", "Trained", "parameters"),
)


def cost_rows(observations: Observations) -> list[SummaryRow]:
    """Seconds and memory of sampling, and of tuning where there is one, and what is trained: over all seeds.

    Times are means over clips, or over tunings (which several clips may share); memory and parameters are
    maxima. Rows of tuning are left out for a method that tunes nothing on the references.
    """
    return [row for *_, whole in summary_cells(observations) for row in _cost_rows(whole)]


def _cost_rows(cell: SummaryCell) -> list[SummaryRow]:
    done = [item.clip for item in cell.items if item.clip.status == "done"]
    tunings = {clip.tune_key: clip for clip in done if clip.tune_key is not None}
    asked = {item.tuning for item in cell.items if item.tuning is not None}
    rows = []
    for metric, label, unit in _ROWS:
        of_tuning = metric.startswith("tuning")
        if of_tuning and not asked:
            continue
        clips = list(tunings.values()) if of_tuning else done
        known = [(clip, value) for clip in clips if (value := getattr(clip, metric)) is not None]
        if metric == "trainable_parameters" and not known:
            continue
        num_asked = len(asked) if of_tuning else len(cell.items)
        numbers = _mean(known) if metric.endswith("_s") else _most(known)
        rows.append(
            cell.row(
                metric=metric,
                label=label,
                unit=unit,
                higher_is_better=False,
                level="cost",
                n=len(known),
                num_failures=num_asked - len(known),
                coverage=len(known) / num_asked if num_asked else 0.0,
                **numbers,
            )
        )
    return rows


def _mean(known: Sequence[tuple[ClipRow, float]]) -> dict[str, float | int | str | None]:
    interval = "95% t, clustered on source, widened for skewness from 20 sources on"
    if not known:
        return {"interval": interval}
    found = mean_estimate([value for _, value in known], [clip.source for clip, _ in known])
    return {
        "value": found.value,
        "standard_error": found.standard_error,
        "low": found.low,
        "high": found.high,
        "num_sources": found.num_sources,
        "interval": interval,
    }


def _most(known: Sequence[tuple[ClipRow, float]]) -> dict[str, float | int | str | None]:
    value = float(max(value for _, value in known)) if known else None
    return {"value": value, "interval": "maximum, no interval"}
