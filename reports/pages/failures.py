"""What failed in a run, gathered by cause so that a thousand equal failures are one line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

NUM_SAMPLES_SHOWN = 8


@dataclass(frozen=True)
class Failure:
    """One cause.

    Attributes:
        stage: "sample" (making the clip), "extract <extractor>" or "score <metric>".
        method: label of the method, or "reference".
        dataset: name of the data set.
        cause: the error's type and message.
        num_items: how many clips or features it struck.
        samples: the first sample ids; `num_items` says how many there are.
    """

    stage: str
    method: str
    dataset: str
    cause: str
    num_items: int
    samples: tuple[str, ...]


def failures_of(
    clips: Iterable[Mapping[str, Any]],
    features: Iterable[Mapping[str, Any]],
    scores: Iterable[Mapping[str, Any]] = (),
) -> list[Failure]:
    """All clips and features that are not done, and scores without a value, by stage, data set, method and
    cause."""
    unscored = {"status": "failed", "side": "generated", "error_type": None}
    staged = [("read" if row["side"] == "reference" else "sample", row) for row in clips]
    staged += [(f"extract {row['extractor']}", row) for row in features]
    staged += [(f"score {row['metric']}", {**row, **unscored}) for row in scores if row["value"] is None]
    found: dict[tuple[str, str, str, str], list[str]] = {}
    for stage, row in staged:
        if row["status"] != "done":
            key = (stage, row["dataset"] or "", row["method"] or row["side"] or "", _cause(row))
            found.setdefault(key, []).append(row["sample_id"] or "")
    return [
        Failure(stage, method, dataset, cause, len(samples), tuple(sorted(set(samples))[:NUM_SAMPLES_SHOWN]))
        for (stage, dataset, method, cause), samples in sorted(found.items())
    ]


def _cause(row: Mapping[str, Any]) -> str:
    parts = [part for part in (row["error_type"], row["error_message"]) if part]
    return ": ".join(parts) or (row["status"] or "missing")
