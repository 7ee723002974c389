"""Optical flow between two frames: OpenCV's algorithms, and the lock on OpenCV's threads.

* dis: dense inverse search, Kroeger et al., "Fast Optical Flow using Dense Inverse Search" (2016), at
  OpenCV's medium preset, with its variational refinement.
* farneback: Farnebäck, "Two-Frame Motion Estimation Based on Polynomial Expansion" (2003): 5 levels of
  factor 1/2, window 15, 3 iterations, neighbourhood 7, deviation 1.5.
* raft: see `raft`.

A flow function takes two frames uint8 [H, W, 3] and gives float32 [H, W, 2]: where the content at (x, y) of
the first one is in the second, as (dx, dy) in pixels. cv2 is imported when one is made.

Shape suffixes: H height, W width, C channels (RGB or x, y).
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

Frame = npt.NDArray[np.uint8]
FlowField = npt.NDArray[np.float32]
FlowFunction = Callable[[Frame, Frame], FlowField]

OPENCV_MIN_SIDE = 16
"""Dense inverse search fails below 12 pixels; neither algorithm follows a shift of 2 reliably below this."""


def dis_flow() -> FlowFunction:
    """Dense inverse search. The function has buffers of its own and is for one thread at a time."""
    import cv2

    algorithm = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)

    def flow(first_HWC: Frame, second_HWC: Frame) -> FlowField:
        empty: Any = None
        field: FlowField = np.asarray(algorithm.calc(_gray(first_HWC), _gray(second_HWC), empty), np.float32)
        return field

    return flow


def farneback_flow() -> FlowFunction:
    """Polynomial expansion; see the module's docstring for its settings."""
    import cv2

    def flow(first_HWC: Frame, second_HWC: Frame) -> FlowField:
        empty: Any = None
        field = cv2.calcOpticalFlowFarneback(
            _gray(first_HWC),
            _gray(second_HWC),
            empty,
            pyr_scale=0.5,
            levels=5,
            winsize=15,
            iterations=3,
            poly_n=7,
            poly_sigma=1.5,
            flags=0,
        )
        return np.asarray(field, np.float32)

    return flow


def shrink(frame_HWC: Frame, max_side: int | None) -> Frame:
    """The frame with its longer side at `max_side` pixels where it is longer (area average, rounded).

    The shorter side is rounded to whole pixels. None, or a frame that fits, gives the frame as it is.
    """
    height, width = frame_HWC.shape[:2]
    if max_side is None or max(height, width) <= max_side:
        return frame_HWC
    import cv2

    scale = max_side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    shrunk = cv2.resize(np.ascontiguousarray(frame_HWC), size, interpolation=cv2.INTER_AREA)
    return np.asarray(shrunk, dtype=np.uint8)


def at_full_size(
    flow_HWC: FlowField, full_size: tuple[int, ...]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The flow (dx, dy) of a shrunk frame in pixels of the frame at its full size, float64 [H, W] each.

    Args:
        full_size: height and width.
    """
    # Each axis by itself: rounding to whole pixels may shrink them by slightly different factors.
    dx_HW = flow_HWC[..., 0].astype(np.float64) * (full_size[1] / flow_HWC.shape[1])
    dy_HW = flow_HWC[..., 1].astype(np.float64) * (full_size[0] / flow_HWC.shape[0])
    return dx_HW, dy_HW


def _gray(frame_HWC: Frame) -> Frame:
    import cv2

    return np.asarray(cv2.cvtColor(np.ascontiguousarray(frame_HWC), cv2.COLOR_RGB2GRAY), dtype=np.uint8)


class _OneThread:
    """How many blocks hold OpenCV on one thread, and what to put back after the last one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holders = 0
        self._before = 1

    def __enter__(self) -> None:
        import cv2

        with self._lock:
            if self._holders == 0:
                self._before = cv2.getNumThreads()
                cv2.setNumThreads(1)
            self._holders += 1

    def __exit__(self, *exception: object) -> None:
        import cv2

        with self._lock:
            self._holders -= 1
            if self._holders == 0:
                cv2.setNumThreads(self._before)


_held = _OneThread()


@contextlib.contextmanager
def one_opencv_thread() -> Iterator[None]:
    """OpenCV on one thread inside the block; of threads that share it, the last one out undoes it."""
    with _held:
        yield
