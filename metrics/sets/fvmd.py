"""Fréchet video motion distance: how alike the motion of two sets of clips is, whatever they show.

Liu et al., "Fréchet Video Motion Distance: A Metric for Evaluating Motion Consistency in Videos" (2024): the
Fréchet distance between histograms of the velocities and accelerations of points that PIPs++ follows; see
`extractors.points`.
"""

from __future__ import annotations

from typing import ClassVar

from .fvd import Fvd


class Fvmd(Fvd):
    """FVMD, lower is better, 0 for identical sets; the Fréchet settings of the protocol, as for FVD.

    The released code adds 1e-5 to the diagonals inside the root alone, which took 6e-6 (24 clips a side) and
    3e-5 (200) off the value of made motion; the exact formula is taken here. It also reads every window of
    16 frames of a longer clip, here one clip is one row.
    """

    name: ClassVar[str] = "fvmd"
    version: ClassVar[str] = "1"
    unit: ClassVar[str] = "squared motion histograms"
    needs: ClassVar[tuple[str, ...]] = ("point_motion",)
    label: ClassVar[str] = "FVMD"
    others: ClassVar[str | None] = "fvmd_others"
