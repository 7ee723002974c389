"""A generated clip beside its reference, frame by frame, at one size.

Shape suffixes: T frames, H height, W width, C channels (RGB).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from ....core.contracts import Extractor, ExtractorSession, FrozenConfig, Rows
from ....core.errors import MetricError
from ....core.types import Features, Frames, Resources
from ...settings import PairSettings
from ..backbone import check_frames, reference_precision

Pixels = npt.NDArray[np.float32]
Pair = tuple[Frames, Frames]
PairResize = Literal["reference-to-generated", "refuse"]


class PairedExtractor(Extractor):
    """Base of the extractors of pairs that read the protocol's `pair` section alone."""

    class Config(FrozenConfig):
        """The protocol's `pair` section."""

        resize: PairResize = PairSettings().resize

    modality: ClassVar[str] = "pair"
    rows: ClassVar[Rows] = "frames"

    @classmethod
    def protocol_settings(cls, protocol: Any) -> dict[str, Any]:
        """What becomes of a reference of another size."""
        return {"resize": protocol.pair.resize}

    @classmethod
    def describe(cls, protocol: Any) -> str:
        """What becomes of a reference of another size."""
        settings: PairSettings = protocol.pair
        return settings.describe()


class PairExtractor(PairedExtractor, ExtractorSession):
    """Base of the extractors that compare two clips by numpy alone: each is its own session."""

    def resources(self) -> Resources:
        """No GPU."""
        return Resources(num_gpus=0.0)

    def load(self, device: str) -> ExtractorSession:
        """Itself: there is nothing to load."""
        return self

    @abstractmethod
    def extract_one(self, item: Pair) -> Features:
        """Values float32 of each frame, [T] or [T, K]."""


def check_pair(pair: Pair, resize: PairResize, *, who: str, min_side: int = 1) -> Pair:
    """The generated and the reference clip, after what can be said without looking at pixels.

    Args:
        pair: clips uint8 [T, H, W, 3].
        resize: of the protocol's `pair` section.
        who: for messages.
        min_side: pixels that the generated clip must have a side.

    Raises:
        MetricError: a clip is of the wrong type, the numbers of frames differ, the generated clip is too
            small, or sizes differ where the protocol refuses that.
    """
    generated_THWC, reference_THWC = pair
    check_frames(generated_THWC, who=f"{who} (generated clip)")
    check_frames(reference_THWC, who=f"{who} (reference clip)")
    if len(generated_THWC) != len(reference_THWC):
        raise MetricError(
            f"{who} compares frame by frame: the generated clip has {len(generated_THWC)} frames, "
            f"its reference {len(reference_THWC)}",
            "measure as many of both; see the protocol's sampling.num_frames",
        )
    ours, theirs = generated_THWC.shape[1:3], reference_THWC.shape[1:3]
    if min(ours) < min_side:
        raise MetricError(
            f"{who} needs frames of at least {min_side} pixels a side, got {ours[0]} x {ours[1]}"
        )
    if ours != theirs and resize == "refuse":
        raise MetricError(
            f"{who}: the generated clip is {ours[0]} x {ours[1]}, its reference {theirs[0]} x {theirs[1]}, "
            "and the protocol refuses that",
            "generate at the reference's size, or use a protocol with pair.resize: reference-to-generated",
        )
    return generated_THWC, reference_THWC


def frame_pairs(generated_THWC: Frames, reference_THWC: Frames) -> Iterator[tuple[Pixels, Pixels]]:
    """Each generated frame with its reference frame, float32 [H, W, 3] of values 0 to 255.

    Reference frames of another size are resized (bilinear, antialiased, squashed) one by one, not rounded.
    """
    for ours_HWC, theirs_HWC in zip(generated_THWC, reference_THWC, strict=True):
        pixels_HWC = ours_HWC.astype(np.float32)
        if ours_HWC.shape == theirs_HWC.shape:
            yield pixels_HWC, theirs_HWC.astype(np.float32)
        else:
            yield pixels_HWC, _resized(theirs_HWC, ours_HWC.shape[:2])


def whole_frame_pairs(
    generated_THWC: Frames, reference_THWC: Frames
) -> Iterator[tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]]:
    """As `frame_pairs`, uint8: a resized reference is rounded. For what takes pictures, such as flow."""
    for ours_HWC, theirs_HWC in zip(generated_THWC, reference_THWC, strict=True):
        if ours_HWC.shape == theirs_HWC.shape:
            yield ours_HWC, theirs_HWC
        else:
            yield ours_HWC, np.rint(_resized(theirs_HWC, ours_HWC.shape[:2])).astype(np.uint8)


def _resized(frame_HWC: Frames, size: tuple[int, ...]) -> Pixels:
    import torch
    from torch.nn import functional

    with reference_precision("cpu"):
        frame_CHW = torch.from_numpy(frame_HWC.astype(np.float32)).permute(2, 0, 1).contiguous()
        resized_CHW = functional.interpolate(
            frame_CHW[None], size=size, mode="bilinear", align_corners=False, antialias=True
        )[0]
        return np.ascontiguousarray(resized_CHW.permute(1, 2, 0).numpy())
