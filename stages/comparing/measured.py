"""The tables of some results, read when they are asked for, and the store that they were made from."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from ...core.errors import StoreError
from ...core.paired import Pair
from ...core.run_folders import Results
from ...core.run_record import RECORD, RunRecord, read_record
from ...core.store import Store
from ...core.tables import read_table
from ...datasets.video import default_codec

Row = Mapping[str, Any]
FeatureKeys = dict[tuple[str, int | None], str]
"""Keys of features by sample and seed; of references the seed is None."""

_NUM_PARENTS = 4
_STORE, _FORMAT = "store", "format.json"


class Measured:
    """Some results.

    Args:
        results: where they lie.
    """

    def __init__(self, results: Results) -> None:
        self.results = results
        self._tables: dict[str, list[dict[str, Any]]] = {}

    def rows(self, name: str) -> list[dict[str, Any]]:
        """The rows of a table.

        Raises:
            StoreError: it is missing or cannot be read.
        """
        if name not in self._tables:
            self._tables[name] = read_table(self.results.tables, name).to_pylist()
        return self._tables[name]

    def _optional(self, name: str) -> list[dict[str, Any]]:
        """As `rows`; none of a table that recorded results do not have."""
        return self.rows(name) if (self.results.tables / f"{name}.parquet").exists() else []

    @cached_property
    def run(self) -> Row:
        """The row of the table `runs`."""
        rows = self.rows("runs")
        if not rows:
            raise StoreError(f"{self.results.tables / 'runs.parquet'} has no row", "run it again")
        return rows[0]

    @cached_property
    def record(self) -> RunRecord | None:
        """What it was made with; None where that cannot be read."""
        found = read_record(self.results.folder)
        if found is None and not (self.results.folder / RECORD).exists():  # of an earlier version
            return RunRecord(
                hardware=self.run["hardware"] or "", reelbench=self.run["reelbench_version"] or ""
            )
        return found

    @cached_property
    def clips(self) -> list[dict[str, Any]]:
        """The table `clips`."""
        return self._optional("clips")

    @cached_property
    def features(self) -> list[dict[str, Any]]:
        """The table `features`."""
        return self._optional("features")

    @cached_property
    def summary(self) -> list[dict[str, Any]]:
        """The table `summary`."""
        return self.rows("summary")

    @cached_property
    def methods(self) -> list[str]:
        """The labels of the methods."""
        return list(dict.fromkeys(row["method"] for row in self.summary))

    @cached_property
    def _scores(self) -> dict[tuple[str, ...], dict[Pair, float]]:
        found: dict[tuple[str, ...], dict[Pair, float]] = {}
        for row in self.rows("scores"):
            if row["value"] is not None:
                found.setdefault(_cell(row), {})[row["sample_id"], row["seed"]] = row["value"]
        return found

    def scores_of(self, row: Row) -> dict[Pair, float]:
        """The scores of the cell of a row of the summary, by sample and seed."""
        return self._scores.get(_cell(row), {})

    def sources_of(self, dataset: str) -> dict[str, str]:
        """The source video of each sample of a data set."""
        rows = self.clips or self.rows("scores")
        return {row["sample_id"]: row["source"] for row in rows if row["dataset"] == dataset}

    def feature_keys(self, role: str, method: str | None, row: Row) -> FeatureKeys:
        """Keys of the features of a method or (None) of the references, under the protocol and on the data
        set of a row of the summary."""
        side = "reference" if method is None else "generated"
        return {
            (found["sample_id"], found["seed"]): found["feature_key"]
            for found in self.features
            if found["side"] == side
            and found["extractor"] == role
            and found["dataset"] == row["dataset"]
            and found["protocol"] == row["protocol"]
            and found["method"] == method
            and found["status"] == "done"
        }

    @cached_property
    def store(self) -> Store | None:
        """The store that the clips lie in, or that beside the results; None where there is none."""
        folders = [self.results.folder.resolve(), *list(self.results.folder.resolve().parents)[:_NUM_PARENTS]]
        places = [folder / _STORE for folder in folders]
        path = next((row["path"] for row in self.clips if row["path"]), None)
        if path is not None:  # <store>/clips/<ab>/<key>/clip.mkv
            places = [*[parent for parent in Path(path).parents if (parent / _FORMAT).is_file()], *places]
        found = next((place for place in places if (place / _FORMAT).is_file()), None)
        return None if found is None else Store(found, default_codec(), read_only=True)


def _cell(row: Row) -> tuple[str, ...]:
    names = ("method", "dataset", "split", "metric", "protocol_digest")
    return tuple(row[name] or "" for name in names)
