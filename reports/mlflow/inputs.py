"""The data sets that a run was measured on, as MLflow's inputs: name, digest, where they come from, size."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...core.hashing import digest
from ...core.redaction import fit_to_leave
from ..tables.run_tables import Row, flat_settings

_NUM_DIGEST_CHARACTERS = 16  # MLflow takes 36, and shows them all
_MAX_SOURCE = 4000


@dataclass(frozen=True)
class DataInput:
    """A data set as far as a run read it.

    Attributes:
        digest: of its samples' ids, sources and texts, and of the references' content.
        source: JSON: the split, and the settings of the run file.
        profile: JSON: counts.
    """

    name: str
    digest: str
    source: str
    profile: str


def data_inputs(clips: Sequence[Row], run_file: Mapping[str, Any]) -> dict[tuple[str, str], DataInput]:
    """The inputs by (data set, split).

    Args:
        clips: rows of the `clips` table.
        run_file: the data in `runs.run_file`.
    """
    samples: dict[tuple[str, str], set[tuple[str, ...]]] = {}
    references: dict[tuple[str, str], set[tuple[str, ...]]] = {}
    for row in clips:
        key = (row["dataset"], row["split"] or "")
        if row["side"] == "reference":
            of_reference = (row["sample_id"], row["content_digest"] or "")
            references.setdefault(key, set()).add(of_reference)
        else:
            texts = (row["prompt"] or "", row["source_prompt"] or "")
            samples.setdefault(key, set()).add((row["sample_id"], row["source"], *texts))
    settings = _settings(run_file)
    found = {}
    for key in sorted({*samples, *references}):
        dataset, split = key
        own, real = samples.get(key, set()), references.get(key, set())
        source = {"split": split, **settings.get(dataset, {})}
        found[key] = DataInput(
            name=fit_to_leave(dataset)[:500] or "data",
            digest=digest([sorted(own), sorted(real)])[:_NUM_DIGEST_CHARACTERS],
            source=json.dumps(source, ensure_ascii=False)[:_MAX_SOURCE],
            profile=json.dumps({"samples": len(own), "references": len(real)}),
        )
    return found


def _settings(run_file: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Each data set's settings in the run file, fit to leave the machine."""
    found: dict[str, dict[str, Any]] = {}
    entries = run_file.get("datasets")
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, dict) and (label := entry.get("label") or entry.get("name")):
            found[str(label)] = {
                fit_to_leave(name): fit_to_leave(value) if isinstance(value, str) else value
                for name, value in flat_settings(entry).items()
                if isinstance(value, str | int | float | bool)
            }
    return found
