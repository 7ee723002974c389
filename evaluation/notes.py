"""What a reader of an evaluation's numbers must know of the clips and the weights behind them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

from ..core.weights import resolve
from ..datasets.video import frame_gaps
from ..metrics.extractors.i3d.described import describe_i3d_weights
from ..metrics.protocol import protocol_names
from ..stages.measuring import Measuring
from .clip_list import StoredClip
from .matched_systems import Matching
from .matching import count_duplicates
from .stored_clips import ClipFacts

REFERENCE = "the reference"
_NUM_SHOWN = 3


def weight_notes(measurings: Sequence[Measuring], roles: Collection[str] | None = None) -> tuple[str, ...]:
    """Warnings about the weights that measure: the embedded world's small models, another backbone than a
    protocol's published numbers use, an I3D that does not serve a protocol.

    Args:
        roles: the extractors that are asked about, those of a metric; None for all.
    """
    locations = {
        ref.name: ref.location
        for item in measurings
        for role, extractor in item.extractors.items()
        if roles is None or role in roles
        for ref in extractor.plugin.weights()
    }
    small = sorted(role for role, location in locations.items() if location.startswith("sprites/"))
    real = {role: location for role, location in locations.items() if role not in small}
    notes: list[str] = []
    if small:
        options = " ".join(f"--weights {role}=LOCATION" for role in small)
        notes.append(
            f"measured with the embedded world's small models ({', '.join(small)}): these numbers compare "
            f"with each other and with nothing published; give real weights with {options}"
        )
    for item in measurings:
        notes += item.protocol.weights_notes(real)
    if "i3d" in real:
        notes += _i3d_notes(measurings, real["i3d"])
    return tuple(dict.fromkeys(notes))


def _i3d_notes(measurings: Sequence[Measuring], location: str) -> list[str]:
    info = describe_i3d_weights(resolve(location))
    notes = [f"I3D weights: {info.caution}"] if info.caution else []
    shipped = set(protocol_names())
    for item in measurings:
        name = item.protocol.name
        if item.reference_roles() and name in shipped and name not in info.serves:
            notes.append(f"protocol {name!r}: I3D weights of this format ({info.format}) do not serve it")
    return notes


def clip_notes(
    measurings: Sequence[Measuring],
    matching: Matching,
    facts: Mapping[StoredClip, ClipFacts],
    frame_rate: float | None,
) -> tuple[str, ...]:
    """Differences between the two sides, clips that are there twice, interlaced ones, and folders of frames
    with gaps.

    Args:
        frame_rate: of folders of frames, where it was given.
    """
    sides = _sides(matching)
    notes: list[str] = []
    for name, clips in sides.items():
        repeated = count_duplicates(digest for clip in set(clips) if (digest := facts[clip].digest))
        if repeated:
            notes.append(
                f"{name}: {repeated} files repeat another one's content; they add to N, not to what N tells"
            )
        interlaced = sorted(clip.name for clip in set(clips) if facts[clip].interlaced)
        if interlaced:
            notes.append(
                f"{name}: {len(interlaced)} clips are interlaced, and both fields of a frame were measured "
                f"together, as ffmpeg decodes them: {_first(interlaced)}; to measure whole pictures, "
                "deinterlace the files (ffmpeg -i IN -vf bwdif=mode=send_frame OUT)"
            )
        folders = [clip for clip in set(clips) if clip.kind == "frames" and facts[clip].error is None]
        gaps = [
            f"{clip.name} ({missing} missing, the first is frame {first})"
            for clip in sorted(folders, key=lambda clip: clip.name)
            for missing, first in [frame_gaps(clip.path)]
            if missing
        ]
        if gaps:
            notes.append(
                f"{name}: {len(gaps)} folders of frames have gaps in their numbers and were measured as if "
                f"the frames followed each other: {_first(gaps)}"
            )
    if not matching.references or not any(_compares(item) for item in measurings):
        return tuple(notes)
    sizes = {name: _counted(_size(facts[clip]) for clip in clips) for name, clips in sides.items()}
    if len(set(sizes.values())) > 1:
        notes.append("frame sizes differ: " + "; ".join(f"{name} {text}" for name, text in sizes.items()))
    return (*notes, *_rate_notes(measurings, sides, facts, frame_rate))


def resolution_notes(
    measurings: Sequence[Measuring], matching: Matching, facts: Mapping[StoredClip, ClipFacts]
) -> tuple[str, ...]:
    """Protocols that bring real clips to the model's resolution expect generated ones to have it. This holds
    for metrics that read I3D's features alone."""
    notes = []
    sides = _sides(matching)
    for measuring in measurings:
        protocol = measuring.protocol
        side = protocol.i3d.resolution
        if side is None or "i3d" not in measuring.reference_roles():
            continue
        for system, clips in sides.items():
            sizes = _counted(_size(facts[clip]) for clip in clips)
            if system != REFERENCE and sizes != f"{side}x{side}":
                notes.append(
                    f"{protocol.name}: real clips are brought to {side}x{side}, the resolution of the "
                    f"published models; {system} has {sizes}. For FVD of a model of another resolution copy "
                    "the protocol's file and change i3d.resolution"
                )
    return tuple(notes)


def _sides(matching: Matching) -> dict[str, list[StoredClip]]:
    """The clips of each system, and of the reference."""
    systems = {
        system: [item.generated[system] for item in matching.samples if system in item.generated]
        for system in matching.systems
    }
    return {**systems, REFERENCE: list(matching.references)}


def _rate_notes(
    measurings: Sequence[Measuring],
    sides: Mapping[str, Sequence[StoredClip]],
    facts: Mapping[StoredClip, ClipFacts],
    frame_rate: float | None,
) -> list[str]:
    """Motion per frame depends on the rate: say what was done where a file states another one."""
    notes = []
    for measuring in measurings:
        sampling, name = measuring.protocol.sampling, measuring.protocol.name
        wanted = sampling.fps
        if wanted is None or not _compares(measuring):
            continue
        for side, clips in sides.items():
            by_rate = side == REFERENCE or sampling.generated_rate in ("protocol", "as-reference")
            folders = any(clip.kind == "frames" for clip in clips)
            stated = sorted({fps for clip in clips if (fps := facts[clip].fps) is not None})
            other = [fps for fps in stated if abs(fps - wanted) > 0.01 * wanted]
            shown = ", ".join(f"{fps:g}" for fps in other[:_NUM_SHOWN]) + (
                ", ..." * (len(other) > _NUM_SHOWN)
            )
            if by_rate and folders and frame_rate is None:
                notes.append(
                    f"{name}: {side} has folders of frames, which state no rate: every stored frame counts, "
                    f"not {wanted:g} a second; give --frame-rate"
                )
            elif other and by_rate and side != REFERENCE:
                notes.append(
                    f"{name}: {side} states {shown} frames a second and is compared at {wanted:g} a second, "
                    f"as the reference is ({sampling.num_frames} frames take "
                    f"{sampling.num_frames / wanted:.3g} s of a clip); if the stated rate is only a label, "
                    "--generated-rate stored takes every frame"
                )
            elif other and not by_rate:
                notes.append(
                    f"{name}: {side} states {shown} frames a second and is read frame by frame, the "
                    f"reference at {wanted:g} a second: unless the stated rate is only a label, motion is "
                    "compared at different speeds"
                )
    return notes


def _first(names: Sequence[str]) -> str:
    """The first few of them."""
    return ", ".join(names[:_NUM_SHOWN]) + (", ..." if len(names) > _NUM_SHOWN else "")


def _compares(measuring: Measuring) -> bool:
    """Whether anything is compared with the reference."""
    return bool(measuring.reference_roles() or measuring.pair_roles())


def _size(facts: ClipFacts) -> str:
    return "unreadable" if facts.width is None else f"{facts.width}x{facts.height}"


def _counted(values: Iterable[str]) -> str:
    counts = Counter(values)
    if len(counts) == 1:
        return next(iter(counts))
    shown = [f"{value} ({count})" for value, count in counts.most_common(_NUM_SHOWN)]
    return ", ".join(shown) + (", ..." if len(counts) > _NUM_SHOWN else "")
