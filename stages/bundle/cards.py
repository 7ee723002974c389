"""Protocol cards: every setting of a protocol with its digest, beside results that were measured by it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ...core.atomic_write import write_text_atomic
from ...core.errors import ReelbenchError
from ...metrics.protocol import Protocol, load_protocol, parse_protocol, protocol_names
from ...reports.tables.run_tables import flat_settings

CARDS = "protocols.json"
"""In a folder of results: the cards of its protocols, in a list."""


def card(protocol: Protocol) -> dict[str, Any]:
    """Name, version, description, weights, digest and settings of a protocol, as plain data."""
    return {**protocol.model_dump(mode="json"), "digest": protocol.digest}


def from_card(data: Any) -> Protocol:
    """The protocol whose settings a card holds; its digest is that of the settings, whatever the card says.

    Raises:
        ProtocolError: they are no settings of a protocol.
    """
    settings = {k: v for k, v in data.items() if k != "digest"} if isinstance(data, Mapping) else data
    return parse_protocol(settings, "the protocol card")


def write_cards(folder: Path, protocols: Iterable[Protocol]) -> None:
    """Keep the cards beside results: a protocol's file may change, and be called the same."""
    cards = {protocol.digest: card(protocol) for protocol in protocols}
    write_text_atomic(folder / CARDS, json.dumps(list(cards.values()), indent=1, ensure_ascii=False))


def find_card(folder: Path, name: str, digest: str, run_file: Mapping[str, Any]) -> dict[str, Any] | None:
    """The card of a protocol that results were measured by: the one that was kept beside them, else that of
    the shipped protocol or the run file's, where it still has these settings. None where it is not known.

    Args:
        folder: of the results.
        run_file: as the table `runs` holds it.
    """
    for protocol in _candidates(folder, name, run_file):
        if protocol.name == name and protocol.digest == digest:
            return card(protocol)
    return None


def _candidates(folder: Path, name: str, run_file: Mapping[str, Any]) -> Iterator[Protocol]:
    try:
        kept = json.loads((folder / CARDS).read_text(encoding="utf-8"))
        yield from map(from_card, kept)
    except (OSError, ValueError, TypeError, RecursionError, ReelbenchError):
        pass
    entries = [run_file, *(entry for entry in run_file.get("datasets", ()) if isinstance(entry, dict))]
    # An evaluation reads generated clips as it reads references, which is not in the digest.
    of_files = any(m.get("name") == "videos" for m in run_file.get("methods", ()) if isinstance(m, dict))
    for place in (name, *(str(entry.get("protocol") or "") for entry in entries)):
        try:
            if place:
                found = load_protocol(place)
                sampling = found.sampling.model_copy(update={"generated_rate": "as-reference"})
                yield found.model_copy(update={"sampling": sampling}) if of_files else found
        except ReelbenchError:
            continue


def shipped(name: str, digest: str) -> Protocol | None:
    """The shipped protocol of that name, where it has these settings."""
    found = load_protocol(name) if name in protocol_names() else None
    return found if found is not None and found.digest == digest else None


def differing_settings(given: Protocol, other: Protocol) -> list[str]:
    """The settings in which two protocols differ: "frechet.ddof: 0, not 1"."""
    one, two = (flat_settings(protocol.model_dump(mode="json")) for protocol in (given, other))
    return [
        f"{name}: {one.get(name)!r:.60}, not {two.get(name)!r:.60}"
        for name in sorted({*one, *two})
        if one.get(name) != two.get(name) and name.partition(".")[0] not in ("description", "weights")
    ]
