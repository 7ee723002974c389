"""The order and the identity of a list of samples, shared by the data sets.

The shuffled order sorts the ids by a hash of (seed, id). It is a seeded permutation with one more
property: the rank of two ids against each other depends on these two alone, so a missing video or
a longer list moves nothing else, and the first n of the list are a random subset of the first m > n.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from ..core.hashing import digest
from ..core.seeds import derive_seed
from ..core.types import Sample


def shuffled_rank(seed: int, id: str) -> int:
    """Where `id` stands in the shuffled order of `seed`: ids are sorted by this number."""
    return derive_seed("data set order", seed, id)


def natural_rank(id: str) -> tuple[tuple[int, str], ...]:
    """Sort key under which "video9" comes before "video10"."""
    parts = re.findall(r"[0-9]+|[^0-9]+", id)
    return tuple((int(part), "") if part.isascii() and part.isdigit() else (-1, part) for part in parts)


def list_fingerprint(name: str, split: str, samples: Iterable[Sample]) -> str:
    """Digest of (name, split, [[id, prompt, source], ...]) in order, of edits [id, prompt, source, source
    prompt, kind]; folders do not enter."""
    rows: list[list[str | None]] = []
    for sample in samples:
        rows.append([sample.id, sample.prompt, sample.source])
        if sample.edit is not None:  # left out otherwise: the digests of other data sets stay as they were
            rows[-1] += [sample.source_prompt, sample.edit]
    return digest({"name": name, "split": split, "samples": rows})
