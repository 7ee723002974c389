"""Whether the keys and signatures in a bundle follow from its settings, weights and contents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...core.contracts import SetMetric
from ..measuring import Measuring
from ..scoring.metric_calls import score_key, signature_of
from .agreement import Agreement, differing_parts
from .rescoring import Contents, Lookup, Rescored, Unit, clip_row

Row = Mapping[str, Any]


def check_signatures(
    summary: Sequence[Row], rescored: Rescored, result: Agreement, has_weights: bool
) -> None:
    """The signatures of set metrics whose values are not computed again."""
    measuring = rescored.measuring
    for row in summary:
        metric = rescored.sets.get(row["metric"])
        if metric is None or not row["signature"] or not has_weights:
            continue
        signature = _signature(metric, measuring, row)
        # The last part is the version of Reelbench.
        is_same = signature.rpartition("|")[0] == row["signature"].rpartition("|")[0]
        _count(result, row["metric"], "signatures", is_same)
        if not is_same:
            where = ", ".join(str(row[name]) for name in ("metric", "method", "dataset"))
            one, other = differing_parts(row["signature"], signature)
            result.add("key", where, f"signature: recorded {one!r}, computed {other!r}")


def check_feature_keys(contents: Contents, unit: Unit, rescored: Rescored, result: Agreement) -> None:
    """The keys of features of prompts and references, from the protocol, the weights and the content; what
    is read of a generated clip is not in the tables."""
    measuring = rescored.measuring
    if not contents.weights:
        return
    num = num_wrong = 0
    for row in contents.rows("features"):
        role = row["extractor"]
        is_ours = row["dataset"] == unit.dataset and row["protocol"] == unit.protocol
        if not is_ours or row["side"] == "generated" or role not in measuring.extractors:
            continue
        planned = measuring.of_references(role) if row["side"] == "reference" else measuring.extractors[role]
        num += 1
        if row["content_digest"] is None or planned.key(row["content_digest"]) != row["feature_key"]:
            num_wrong += 1
            where = f"{role}, {row['side']}, {row['dataset']}, {row['sample_id']}"
            result.add("key", where, "its key does not follow from the protocol, the weights and the content")
    if num and not num_wrong:
        result.checked.append(
            f"{unit.dataset}, {unit.protocol}: the keys of {num} features of captions and references follow "
            "from protocol, weights and content"
        )


def check_score_keys(
    contents: Contents, unit: Unit, rescored: Rescored, scores: Sequence[Row], result: Agreement
) -> None:
    """The keys of scores that are not computed again, from those of their features."""
    metrics = {
        metric.name: metric
        for metric in rescored.measuring.clip_metrics
        if metric.name in rescored.not_computed and metric.name not in rescored.stand_ins
    }
    if not contents.rows("features") or not metrics:
        return
    lookup = Lookup(contents, unit, rescored.measuring)
    clips = {
        (row["method"], row["sample_id"], row["seed"]): clip_row(row)
        for row in contents.rows("clips")
        if row["side"] == "generated" and row["dataset"] == unit.dataset
    }
    for row in scores:
        metric = metrics.get(row["metric"])
        clip = clips.get((row["method"], row["sample_id"], row["seed"]))
        if metric is None or clip is None or row["score_key"] is None:
            continue
        cells = lookup.of_generated(clip)
        keys = [cells[role].key for role in metric.needs if role in cells]
        is_same = score_key(metric, keys) == row["score_key"]
        _count(result, metric.name, "keys of scores", is_same)
        if not is_same:
            where = ", ".join(str(row[name]) for name in ("metric", "method", "dataset", "sample_id"))
            result.add(
                "key", where, "its score_key does not follow from the metric and the keys of its features"
            )


def _signature(metric: SetMetric, measuring: Measuring, row: Row) -> str:
    weights = {
        name: value
        for role in metric.needs
        if role in measuring.extractors
        for name, value in measuring.extractors[role].weight_digests.items()
    }
    return signature_of(metric, measuring.protocol, weights, row["n"], row["n_reference"]) or ""


def _count(result: Agreement, metric: str, what: str, is_same: bool) -> None:
    count = result.count(metric, what)
    count.exact += is_same
    count.differ += not is_same
