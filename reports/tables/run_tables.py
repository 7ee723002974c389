"""The tables of a run as rows: read when they are needed, by protocol, in the order of the run file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from ...core.errors import StoreError
from ...core.tables import read_table

Row = Mapping[str, Any]
"""A row of a table, by column."""

Key = tuple[str, str, str, str]
"""Data set, split, protocol and its digest: values of different keys never share a table."""

NUM_DIGEST_CHARACTERS = 12
"""Characters of a digest that are shown."""


class RunTables:
    """The tables of a run; each is read when it is first asked for.

    Args:
        folder: where the Parquet tables lie; None where all rows are given.
        given: rows by the table's name, in place of the file's.
    """

    def __init__(self, folder: Path | None = None, **given: Iterable[Row]) -> None:
        self.folder = folder
        self._rows: dict[str, list[Row]] = {name: list(rows) for name, rows in given.items()}

    def rows(self, name: str) -> list[Row]:
        """The rows of a table.

        Raises:
            StoreError: it is missing or cannot be read.
        """
        if name not in self._rows:
            self._rows[name] = [] if self.folder is None else read_table(self.folder, name).to_pylist()
        return self._rows[name]

    @cached_property
    def summary(self) -> list[Row]:
        """The rows of the summary over all seeds: those whose seed is null."""
        return [row for row in self.rows("summary") if row["seed"] is None]

    @cached_property
    def comparisons(self) -> dict[Key, list[Row]]:
        """The paired tests by protocol; none where a run has no such table. They say what may be marked."""
        if self.folder is not None and not (self.folder / "comparisons.parquet").exists():
            self._rows.setdefault("comparisons", [])
        found: dict[Key, list[Row]] = {}
        for row in self.rows("comparisons"):
            found.setdefault(protocol_key(row), []).append(row)
        return found

    @cached_property
    def method_order(self) -> tuple[str, ...]:
        """The labels of the methods as the run file lists them; empty where it is not known."""
        try:
            return tuple(
                method.get("label") or method["name"]
                for row in self.rows("runs")
                for method in json.loads(row["run_file"] or "{}").get("methods", ())
            )
        except (StoreError, ValueError, TypeError, KeyError, AttributeError):
            return ()  # only the order of rows depends on it


def protocol_key(row: Row) -> Key:
    """What a row was measured on and how."""
    dataset, split, protocol, digest = (
        row[name] or "" for name in ("dataset", "split", "protocol", "protocol_digest")
    )
    return dataset, split, protocol, digest


def by_protocol(rows: Iterable[Row]) -> dict[Key, list[Row]]:
    """Rows of the summary by protocol, sorted.

    Cost has no protocol of its own (seconds are seconds): such rows stand in every part of their data set
    and split.
    """
    parts: dict[Key, list[Row]] = {}
    loose = []
    for row in rows:
        if row["level"] == "cost" and not row["protocol_digest"]:
            loose.append(row)
        else:
            parts.setdefault(protocol_key(row), []).append(row)
    for row in loose:
        own = protocol_key(row)
        for key in [key for key in parts if key[:2] == own[:2]] or [own]:
            parts.setdefault(key, []).append(row)
    return dict(sorted(parts.items()))


def titles(keys: Iterable[Key]) -> dict[Key, str]:
    """ "msrvtt, test" for each key; with the protocol where a data set was measured under several."""
    plain = {key: ", ".join(filter(None, key[:2])) for key in keys}
    several = list(plain.values())
    return {
        key: title if several.count(title) == 1 else f"{title}, protocol {key[2]}"
        for key, title in plain.items()
    }


def protocol_text(name: str, digest: str) -> str:
    """ "clean (f57ed2ba23b0)": a protocol as facts name it."""
    return (name or "(none)") + (f" ({digest[:NUM_DIGEST_CHARACTERS]})" if digest else "")


def order_key(name: str, order: Sequence[str]) -> tuple[int, str]:
    """Sort key: names of `order` first and in that order, the others by name."""
    return (order.index(name) if name in order else len(order), name)


def json_object(text: str | None) -> dict[str, Any]:
    """The JSON object in a cell; empty where there is none."""
    try:
        data = json.loads(text or "{}")
    except ValueError:
        return {}
    return data if isinstance(data, dict) else {}


def flat_settings(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by their dotted path.

    >>> flat_settings({"a": {"b": 1}, "c": None})
    {'a.b': 1, 'c': None}
    """
    flat: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, Mapping) and value:
            flat |= flat_settings(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat
