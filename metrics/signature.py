"""One line that names everything a number depends on, in the manner of sacreBLEU."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .. import __version__
from .protocol import Protocol

_SHOWN_DIGITS = 8


def signature(
    metric: Any,
    protocol: Protocol,
    weights_digests: Mapping[str, str],
    n: int,
    n_reference: int | None = None,
) -> str:
    """The signature of a number.

    Args:
        metric: an instance of a metric class.
        protocol: the one it was built with.
        weights_digests: digest by role ("i3d", "clip"); only those that the metric needs are shown.
        n, n_reference: clips on each side; None where the metric has no reference.

    Returns:
        `key:value` parts joined by `|`, for example
        `fvd.1|n:2990|nref:2990|frames:16|rate:8fps|...|i3d:1a2b3c4d|protocol:clean.1#53c88fa1|reelbench:0.1.0`.
        Digests are cut to 8 characters.
    """
    parts = [f"{metric.name}.{metric.version}", f"n:{n}"]
    roles: set[str] = set()
    if n_reference is not None:
        parts += [f"nref:{n_reference}", protocol.sampling.describe()]
    if "i3d" in metric.needs:
        parts.append(protocol.i3d.describe())
        roles.add("i3d")
    if any(need.startswith("clip_") for need in metric.needs):
        text = "clip_text" in metric.needs
        parts.append(protocol.clip.describe() if text else protocol.clip.describe_image())
        roles.add("clip")
    parts.append(metric.describe() if hasattr(metric, "describe") else _plain(metric.parameters()))
    # Weights of plug-in extractors carry the extractor's own name as their role.
    roles |= set(metric.needs) & set(weights_digests)
    parts += [f"{role}:{weights_digests.get(role, 'unknown')[:_SHOWN_DIGITS]}" for role in sorted(roles)]
    parts.append(f"protocol:{protocol.name}.{protocol.version}#{protocol.digest[:_SHOWN_DIGITS]}")
    parts.append(f"reelbench:{__version__}")
    return "|".join(part for part in parts if part)


def _plain(parameters: Mapping[str, Any]) -> str:
    return "|".join(f"{key}:{value}" for key, value in sorted(parameters.items()))
