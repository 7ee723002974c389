"""Methods, data sets and protocols that cannot fit together, reported before anything is made.

Only what is sure to fail for every clip counts; where some clips are too short, those alone fail.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..core.errors import MismatchError, VideoError
from ..core.frame_choice import chosen_frames
from ..core.plan import PlannedDataset, PlannedMethod
from ..core.types import ClipRef, Conditioning
from ..datasets.video import frame_files, is_folder
from .measuring import Measuring


def mismatches(
    method: PlannedMethod, dataset: PlannedDataset, measuring: Measuring | None
) -> Iterator[MismatchError]:
    """Why no clip of a method on a data set could be made, or measured by some metric.

    Args:
        measuring: what is measured; None where that is not known.
    """
    if method.plugin.conditioning is Conditioning.TEXT_AND_FRAMES:
        needed = method.plugin.min_context_frames
        given = max(sample.num_context_frames if sample.reference else 0 for sample in dataset.samples)
        if given < needed:
            yield MismatchError(
                f"method {method.label!r} needs at least {needed} first frames of a clip, and data set "
                f"{dataset.label!r} gives {given}",
                f"give it a text-video prediction data set, with num_context_frames of at least {needed}, or "
                "name the methods of each data set in its `methods`",
            )
            return
    yield from _too_few_to_measure(method, dataset, measuring)
    yield from _too_few_to_tune(method, dataset)


def _too_few_to_measure(
    method: PlannedMethod, dataset: PlannedDataset, measuring: Measuring | None
) -> Iterator[MismatchError]:
    """Clips that are too short for every metric of the run; where some can measure them, the cells of the
    others say why they cannot. None for a method that does not say how long its clips are."""
    num_frames = getattr(method.plugin.config, "num_frames", None)
    if measuring is None or not isinstance(num_frames, int):
        return
    # The data set's clips may differ in the frames that they give: the least demanding decides.
    given = min(measuring.num_skipped(sample.num_context_frames) for sample in dataset.samples)
    read = {
        role: measuring.cut(role, given).num_needed
        for role in (*measuring.generated_roles(), *measuring.pair_roles())
    }
    needed = max(read.values(), default=0)
    metrics = [m.name for m in measuring.metrics if any(read.get(role, 0) > num_frames for role in m.needs)]
    if len(metrics) < len(measuring.metrics) or not metrics:
        return
    after = f" after the {given} given ones" if given else ""
    yield MismatchError(
        f"method {method.label!r} makes clips of {num_frames} frames, and the protocol "
        f"{measuring.protocol.name!r} measures {needed - given}{after} on data set {dataset.label!r}: "
        f"{', '.join(metrics)} could measure none",
        f"set num_frames of the method to at least {needed}, leave these metrics out, or take a protocol of "
        "fewer frames, or one with `short_clips: repeat-last`",
    )


def _too_few_to_tune(method: PlannedMethod, dataset: PlannedDataset) -> Iterator[MismatchError]:
    """References shorter than what a method takes of them; only folders of frames are counted at planning."""
    choice = method.plugin.source_frames()
    references = {sample.reference for sample in dataset.samples}
    if choice is None or method.tuning_key is None or not references:
        return
    longest = 0
    for ref in references:
        num_frames = _num_pictures(ref)
        if num_frames is None:
            return
        longest = max(longest, num_frames)
    try:
        chosen_frames(longest, **choice)
    except VideoError as error:
        yield MismatchError(
            f"method {method.label!r} on data set {dataset.label!r}, which has no longer clip: "
            f"{error.message}",
            error.hint,
        )


def _num_pictures(ref: ClipRef | None) -> int | None:
    """The frames of a folder of pictures; None where counting them takes more than a look."""
    if ref is None or not is_folder(ref):
        return None
    try:
        return len(frame_files(ref.path, ref.first_frame, ref.last_frame))
    except VideoError:
        return None  # reported where it is read
