"""Whether runs can share a table: what must have been measured alike, and where it was not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..tables.run_tables import NUM_DIGEST_CHARACTERS, Row
from .filled_from import Source
from .spec import TableSpec


@dataclass(frozen=True)
class _Measured:
    """How a run measured a column: what must agree between runs whose values stand together."""

    split: str
    protocol: str
    digest: str
    asked: str
    seeds: str
    references: str
    samples: Mapping[str, frozenset[tuple[str, int | None]]]
    real: Mapping[str, str]


def differences(spec: TableSpec, sources: Sequence[Source]) -> Iterator[str]:
    """Why runs cannot stand together: each column that one measured otherwise than the first one did."""
    for column in spec.columns:
        known = [
            (source, _measured(source, rows)) for source in sources if (rows := source.rows(column, spec))
        ]
        for source, measured in known[1:]:
            first, its = known[0]
            what = f"{column.metric} on {source.rows(column, spec)[0]['dataset']}"
            for name, a, b in _different(its, measured):
                yield f"{what}: {name} {a} in {first.name!r} and {b} in {source.name!r}"


def _different(a: _Measured, b: _Measured) -> Iterator[tuple[str, str, str]]:
    found = False
    for field, name in (
        ("protocol", "the protocol is"),
        ("split", "the split is"),
        ("asked", "N is"),
        ("seeds", "the seeds are"),
        ("references", "reference clips are"),
    ):
        one, other = getattr(a, field), getattr(b, field)
        if field == "protocol" and a.digest == b.digest:
            continue  # one protocol under two names
        if one != other:
            yield name, one, other
            found = True
    if found:
        return
    one, other = _union(a.samples.values()), _union(b.samples.values())
    if one and other and one != other:
        yield "the samples are", f"{len(one - other)} others", f"{len(other - one)} others"
        return
    shared = [name for name in a.real if name in b.real]
    changed = [name for name in shared if a.real[name] != b.real[name]]
    if changed:
        yield "reference clips are of", "one content", f"another ({len(changed)} of {len(shared)} differ)"


def _union(samples: Iterable[frozenset[tuple[str, int | None]]]) -> frozenset[tuple[str, int | None]]:
    return frozenset().union(*samples)


def _measured(source: Source, rows: Sequence[Row]) -> _Measured:
    first = rows[0]
    dataset = first["dataset"]
    asked = {round(row["n"] / row["coverage"]) for row in rows if row["coverage"] and row["n"] is not None}
    seeds = {
        row["seed"]
        for row in source.tables.rows("summary")
        if row["seed"] is not None and (row["dataset"], row["metric"]) == (dataset, first["metric"])
    }
    clips = [row for row in source.clips if row["dataset"] == dataset]
    taken = [row for row in clips if row["side"] == "generated"]
    if not taken:
        taken = [row for row in source.scores if row["dataset"] == dataset]
    samples: dict[str, set[tuple[str, int | None]]] = {}
    for row in taken:
        samples.setdefault(row["method"], set()).add((row["sample_id"], row["seed"]))
    digest = (first["protocol_digest"] or "")[:NUM_DIGEST_CHARACTERS]
    references = {row["n_reference"] for row in rows if row["n_reference"] is not None}
    return _Measured(
        split=repr(first["split"] or ""),
        protocol=f"{first['protocol']} ({digest})",
        digest=digest,
        asked=" or ".join(map(str, sorted(asked))) or "none",
        seeds=", ".join(map(str, sorted(seeds))) or f"{max(row['num_seeds'] or 0 for row in rows)} of them",
        references=" or ".join(map(str, sorted(references))) or "none",
        samples={method: frozenset(found) for method, found in samples.items()},
        real={
            row["sample_id"]: row["content_digest"]
            for row in clips
            if row["side"] == "reference" and row["content_digest"]
        },
    )
