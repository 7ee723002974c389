"""Why clips have no features: what befell most of them is said first."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from .observations import Observation

_NUM_KINDS = 2
_VARIES = re.compile(r"'[^']*'|\"[^\"]*\"|\S*/\S*|\d+")
"""Names and numbers, in which messages of one kind differ."""


def reasons(roles: Sequence[str], items: Sequence[Observation]) -> list[str]:
    """Why clips lack features of the roles: the most frequent kinds of reasons, in the words of a first clip.

    Args:
        items: clips; of each the first reason counts.

    Returns:
        two at most, with how many clips each stands for where there are several kinds.
    """
    counts: Counter[str] = Counter()
    first: dict[str, str] = {}
    for item in items:
        cells = [cell for role in roles if (cell := item.features.get(role)) is not None]
        message = next((c.failure.message for c in cells if c.values is None and c.failure is not None), None)
        if message is not None:
            kind = _VARIES.sub("", message)
            counts[kind] += 1
            first.setdefault(kind, message)
    if len(counts) < 2:
        return list(first.values())
    most = counts.most_common(_NUM_KINDS)
    shown = [f"{count} of {len(items)} clips: {first[kind]}" for kind, count in most]
    rest = sum(counts.values()) - sum(count for _, count in most)
    return shown + ([f"{rest} more for other reasons"] if rest else [])
