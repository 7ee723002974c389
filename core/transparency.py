"""What a transparent pixel looks like: one rule for all videos and pictures that are read.

Transparent clips are laid on white. They have no colour until they lie on something, and what lies below a
transparent pixel in the file is left to chance: black, white, or what the encoder had there. White is what
pages show them on (GIF, WebM, WebP and PNG are made for pages), and what FFmpeg takes for GIF. Alpha is
straight (colours are not multiplied by it), as these formats have it.
"""

from __future__ import annotations

import numpy as np

BACKGROUND = 255
TRANSPARENCY_RULE = "over-white"
"""Names the rule in signatures, and in the digests of transparent videos: another rule, another name."""


def over_background(picture_HWC: np.ndarray, alpha_HW: np.ndarray) -> np.ndarray:
    """The picture on the background, uint8 [H,W,3]; the very picture where it is opaque throughout.

    Args:
        picture_HWC: [H,W,3], uint8, or of any finer values from 0 to 255.
        alpha_HW: from 0 (transparent) to 1 (opaque).
    """
    if alpha_HW.min() < 1:
        alpha_HW1 = alpha_HW[..., None]
        picture_HWC = picture_HWC * alpha_HW1 + BACKGROUND * (1 - alpha_HW1)
    return picture_HWC if picture_HWC.dtype == np.uint8 else np.rint(picture_HWC).astype(np.uint8)
