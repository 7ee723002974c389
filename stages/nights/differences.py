"""What a night was made with that another one was not: code, weights, libraries, hardware, settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ...core.run_record import RunRecord
from ...reports.nights.changes import Difference


def differences(now: RunRecord, before: Mapping[str, tuple[str, RunRecord]]) -> list[Difference]:
    """What differs from the nights that the methods are compared with.

    Args:
        now: the record of the night.
        before: of each method, the id and the record of the night that it is compared with.
    """
    found: dict[Difference, None] = {}
    for night_id, record in dict(before.values()).items():
        found |= dict.fromkeys(_of_all(now, record, night_id))
    found |= dict.fromkeys(of_methods(now, before))
    return list(found)


def of_methods(now: RunRecord, before: Mapping[str, tuple[str, RunRecord]]) -> Iterator[Difference]:
    """What differs of single methods; arguments as of `differences`."""
    for method, (night_id, record) in before.items():
        yield from _of_method(now, record, night_id, method)


def _of_all(now: RunRecord, before: RunRecord, night_id: str) -> Iterator[Difference]:
    pairs = {
        "Reelbench": (before.reelbench, now.reelbench),
        "commit of the run file": (before.run_file, now.run_file),
        "hardware": (before.hardware, now.hardware),
    }
    pairs = {what: both for what, both in pairs.items() if all(both)}  # else one did not record it
    for kind, names, ours, theirs in (
        ("libraries", "{}", now.libraries, before.libraries),
        ("extractors and metrics", "{}", now.measures, before.measures),
        ("weights", "weights {}", _extractors(now), _extractors(before)),
    ):
        pairs |= {names.format(name): (theirs[name], ours[name]) for name in theirs if name in ours}
        if theirs and ours:
            alone = [
                ", ".join(sorted(set(one) - set(other))) for one, other in ((theirs, ours), (ours, theirs))
            ]
            pairs[f"{kind} of one night alone"] = (alone[0], alone[1])
    yield from _pairs(pairs, night_id)


def _of_method(now: RunRecord, before: RunRecord, night_id: str, method: str) -> Iterator[Difference]:
    ours, theirs = now.methods.get(method, {}), before.methods.get(method, {})
    if not ours or not theirs:  # not recorded
        return
    names = {"name": "class", "version": "version", "code": "code", "config": "settings"}
    names["upscaler"] = "code of the upscaler"
    pairs = {what: (theirs.get(name, ""), ours.get(name, "")) for name, what in names.items()}
    mine, other = (_weights(record, method) for record in (now, before))
    for location in dict.fromkeys((*other, *mine)):
        pairs[f"weights {location}"] = (other.get(location, ""), mine.get(location, ""))
    yield from _pairs(pairs, night_id, method)


def _pairs(
    pairs: Mapping[str, tuple[str, str]], night_id: str, method: str | None = None
) -> Iterator[Difference]:
    for what, (before, now) in pairs.items():
        if before != now:
            yield Difference(what=what, before=before, now=now, before_id=night_id, method=method)


def _weights(record: RunRecord, method: str) -> dict[str, str]:
    """Digests of a method's weights by location; the table's keys are "<label>:<location>"."""
    return {
        name.removeprefix(f"{method}:"): value[:12]
        for name, value in record.weights.items()
        if name.startswith(f"{method}:")
    }


def _extractors(record: RunRecord) -> dict[str, str]:
    """Digests of weights that are no method's."""
    labels = tuple(f"{label}:" for label in record.methods)
    return {name: value[:12] for name, value in record.weights.items() if not name.startswith(labels)}
