"""Why two values cannot be compared, in words: protocol, split, conditioning, weights, frames."""

from __future__ import annotations

from collections.abc import Container, Iterator

from ...core.errors import ReelbenchError
from ...reports.tables.run_tables import protocol_text
from .measured import Measured, Row

ACROSS = ("conditioning", "size")
"""What is refused unless it is asked for."""

_COUNTED = ("n:", "nref:", "reelbench:", "protocol:")
"""Parts of a signature that are looked at apart, or that no number depends on."""


def reasons_against(ours: Row, theirs: Row, a: Measured, b: Measured, across: Container[str]) -> list[str]:
    """Why the values of two rows of summaries cannot be compared; empty where they can.

    Args:
        ours, theirs: of one data set and metric, of A and of B.
        across: of `ACROSS`, what is compared all the same.
    """
    return list(_reasons(ours, theirs, a, b, across))


def _reasons(ours: Row, theirs: Row, a: Measured, b: Measured, across: Container[str]) -> Iterator[str]:
    if ours["protocol_digest"] != theirs["protocol_digest"]:
        texts = [protocol_text(row["protocol"], row["protocol_digest"] or "") for row in (ours, theirs)]
        yield f"other protocols: {texts[0]} and {texts[1]}"
        return  # signatures differ by it in many parts
    if ours["split"] != theirs["split"]:
        yield f"other splits: {ours['split'] or '(none)'} and {theirs['split'] or '(none)'}"
    if ours["level"] != theirs["level"] or ours["unit"] != theirs["unit"]:
        texts = [f"of a {row['level']}, in {row['unit'] or 'no unit'}" for row in (ours, theirs)]
        yield f"other kinds of value: {texts[0]}, and {texts[1]}"
    if ours["conditioning"] != theirs["conditioning"] and "conditioning" not in across:
        yield (
            f"the methods saw different things: {ours['conditioning']} and {theirs['conditioning']} "
            "(--across conditioning compares them all the same)"
        )
    mine, other = (_signature_parts(row) for row in (ours, theirs))
    if mine and other and mine != other:
        both = ((mine, other), (other, mine))
        alone = [", ".join(part for part in one if part not in two) for one, two in both]
        yield f"measured otherwise: {alone[0] or 'nothing more'} and {alone[1] or 'nothing more'}"
    if "size" not in across and (texts := _other_sizes(ours, theirs, a, b)):
        yield f"clips of {texts[0]}, and of {texts[1]} (--across size compares them all the same)"


def inequalities(ours: Row, theirs: Row, a: Measured, b: Measured) -> Iterator[str]:
    """What makes it no contest of equals, of all that `across` lets through."""
    if ours["conditioning"] != theirs["conditioning"]:
        yield f"A saw {ours['conditioning']}, B {theirs['conditioning']}: no contest of equals"
    if texts := _other_sizes(ours, theirs, a, b):
        yield f"clips of A have {texts[0]}, those of B {texts[1]}: no contest of equals"


def _other_sizes(ours: Row, theirs: Row, a: Measured, b: Measured) -> list[str]:
    """Frames and size of the clips of both in words; none where they are alike, or one is not recorded."""
    sizes = [_sizes(row, side) for row, side in ((ours, a), (theirs, b))]
    if not all(sizes) or sizes[0] == sizes[1]:
        return []
    return [" or ".join(sorted(f"{t} frames of {w}x{h}" for t, h, w in found)) for found in sizes]


def _signature_parts(row: Row) -> list[str]:
    """What a number depends on besides counts and protocol; the version and weights of its backbones, too."""
    return [part for part in (row["signature"] or "").split("|") if part and not part.startswith(_COUNTED)]


def _sizes(row: Row, side: Measured) -> set[tuple[int, int, int]]:
    """(frames, height, width) of the clips of a method; empty where that is not recorded."""
    return {
        (clip["num_frames"], clip["height"], clip["width"])
        for clip in side.clips
        if clip["method"] == row["method"]
        and clip["dataset"] == row["dataset"]
        and clip["status"] == "done"
        and clip["num_frames"] is not None
    }


def prompts_differ(dataset: str, a: Measured, b: Measured) -> set[str]:
    """The samples whose prompt or source video is another one in B; none where a side does not record it."""
    sides = []
    for side in (a, b):
        sides.append(
            {
                row["sample_id"]: (row["source"], row["prompt"])
                for row in side.clips
                if row["dataset"] == dataset and row["side"] == "generated"
            }
        )
    return {name for name in sides[0].keys() & sides[1].keys() if sides[0][name] != sides[1][name]}


def references_differ(dataset: str, a: Measured, b: Measured) -> int:
    """How many references, of those that both have, are of another content."""
    sides = []
    for side in (a, b):
        sides.append(
            {
                (row["source"], row["sample_id"]): row["content_digest"]
                for row in side.clips
                if row["dataset"] == dataset and row["side"] == "reference" and row["content_digest"]
            }
        )
    return sum(sides[0][name] != sides[1][name] for name in sides[0].keys() & sides[1].keys())


def reads_references(metric: str) -> bool:
    """Whether a clip metric holds each clip against its reference."""
    from ...core import registry

    try:
        needs = registry.get("metrics", metric).needs
        return any(registry.get("extractors", name).modality == "pair" for name in needs)
    except ReelbenchError:  # of a plug-in that is not registered here
        return False
