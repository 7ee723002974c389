"""One line that names everything a number depends on, in the manner of sacreBLEU."""

from __future__ import annotations

from collections.abc import Mapping

from .. import __version__
from ..core import registry
from ..core.contracts import Metric
from ..core.sources import source_digest
from ..core.transparency import TRANSPARENCY_RULE
from .protocol import Protocol

_SHOWN_DIGITS = 8
_ALPHA = f"alpha:{TRANSPARENCY_RULE}"
"""Not a setting: clips are read by one rule under every protocol."""


def signature(
    metric: Metric,
    protocol: Protocol,
    weights_digests: Mapping[str, str],
    n: int,
    n_reference: int | None = None,
) -> str:
    """The signature of a number.

    Args:
        metric: an instance of a metric class.
        protocol: the one it was built with.
        weights_digests: digest by role ("i3d", "clip"); only those that the metric needs are shown. An
            extractor without weights is shown by what it says of itself. A class that is not Reelbench's own
            is marked by a digest of its source.
        n, n_reference: clips on each side; None where the metric has no reference.

    Returns:
        `key:value` parts joined by `|`, for example
        `fvd.1|n:2990|nref:2990|frames:16|rate:8fps|...|i3d:1a2b3c4d|protocol:clean.2#f57ed2ba|reelbench:0.1.0`.
        Digests are cut to 8 characters.
    """
    parts = [f"{metric.name}.{metric.version}{_code(type(metric))}", f"n:{n}"]
    if n_reference is not None:
        parts.append(f"nref:{n_reference}")
    extractors = {name: registry.get("extractors", name) for name in metric.needs}
    # Frames are chosen by the protocol wherever a reference is read; clip metrics read all there are.
    of_pairs = any(cls.modality == "pair" for cls in extractors.values())
    if n_reference is not None or of_pairs:
        parts += [protocol.sampling.describe(of_pairs), _ALPHA]
    elif any(cls.modality == "video" for cls in extractors.values()):
        parts += [protocol.sampling.describe_generated(), _ALPHA]
    for _, cls in sorted(extractors.items()):
        described = cls.describe(protocol)
        if code := _code(cls):
            described += f"|code:{cls.name}{code}"
        if described not in parts:
            parts.append(described)
    parts.append(metric.describe())
    roles = {cls.weights_role or name for name, cls in extractors.items()}
    parts += [
        f"{role}:{weights_digests[role][:_SHOWN_DIGITS]}" for role in sorted(roles & set(weights_digests))
    ]
    parts.append(f"protocol:{protocol.name}.{protocol.version}#{protocol.digest[:_SHOWN_DIGITS]}")
    parts.append(f"reelbench:{__version__}")
    return "|".join(part for part in parts if part)


def _code(cls: type) -> str:
    """A mark for a class whose code is not Reelbench's own."""
    source = source_digest(cls)
    return "" if source is None else f"+{source[:_SHOWN_DIGITS]}"
