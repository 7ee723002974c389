"""FID and CLIP-FID over the frames of clips: how alike the pictures are, whatever moves in them.

Heusel et al., "GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium" (2017);
with CLIP's features Kynkäänniemi et al., "The Role of ImageNet Classes in Fréchet Inception Distance"
(2023), as clean-fid has it.

All frames of a clip that the protocol measures are rows. They are not independent of each other, so errors
come from leaving out whole source videos, never single frames, and what a reader counts are clips.

Shape suffixes: N, M clips; T frames; D features; R rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np

from ...core.contracts import SetMetric
from ...core.errors import MetricError
from ...core.paired import PairedComparison
from ...core.types import Estimate
from .features import small_n_notes, tied_notes
from .fvd import Fvd
from .paired_sets import MAX_SWAPS


class ClipFid(Fvd):
    """Fréchet distance of CLIP's features of frames, lower is better, 0 for identical sets.

    clean-fid's `clip_vit_b_32`: the image features as the model gives them, not scaled to length 1.
    """

    name: ClassVar[str] = "clip_fid"
    version: ClassVar[str] = "1"
    unit: ClassVar[str] = "squared CLIP features"
    needs: ClassVar[tuple[str, ...]] = ("clip_image_raw",)
    min_n: ClassVar[int] = 1
    label: ClassVar[str] = "CLIP-FID"
    noun: ClassVar[str] = "frames"
    others: ClassVar[str | None] = None

    def compute(
        self,
        generated_ND: np.ndarray,
        reference_ND: np.ndarray,
        groups: Sequence[str],
        reference_groups: Sequence[str],
    ) -> Estimate:
        """As `PairedSetMetric.compute`, of features [N, T, D] and [M, T, D] and one source for each clip."""
        ours_RD, ours = self._rows(generated_ND, groups)
        theirs_RD, theirs = self._rows(reference_ND, reference_groups)
        estimate = super().compute(ours_RD, theirs_RD, ours, theirs)
        sides = ((generated_ND, groups), (reference_ND, reference_groups))
        n, m = len(generated_ND), len(reference_ND)
        counted = (
            f"{len(ours_RD)} frames of {n} generated clips, {len(theirs_RD)} frames of {m} reference clips"
        )
        notes = (counted, *small_n_notes(self.label, n, m), *self._tied(sides), *estimate.notes)
        return replace(estimate, n=n, n_reference=m, notes=notes)

    def value(self, generated_ND: np.ndarray, reference_ND: np.ndarray) -> float | None:
        """As `PairedSetMetric.value`, of features [N, T, D]."""
        (ours_RD, _), (theirs_RD, _) = (
            self._rows(side, [""] * len(side)) for side in (generated_ND, reference_ND)
        )
        return super().value(ours_RD, theirs_RD)

    def compare(
        self,
        a: Sequence[np.ndarray],
        b: Sequence[np.ndarray],
        reference_ND: np.ndarray,
        groups: Sequence[str],
        reference_groups: Sequence[str],
        seed: int = 0,
        max_swaps: int = MAX_SWAPS,
    ) -> PairedComparison:
        """As `PairedSetMetric.compare`, of features [N, T, D]; clips are exchanged with all their frames.

        Raises:
            MetricError: the systems' clips differ in their numbers of frames; or as there.
        """
        sides = [[self._rows(side, groups) for side in runs] for runs in (a, b)]
        first = sides[0][0][1]
        if any(sources != first for runs in sides for _, sources in runs):
            raise MetricError(f"{self.label}: systems are compared on clips of equally many frames")
        theirs_RD, theirs = self._rows(reference_ND, reference_groups)
        of_a, of_b = ([rows for rows, _ in runs] for runs in sides)
        found = super().compare(of_a, of_b, theirs_RD, first, theirs, seed, max_swaps)
        return replace(found, n=len(groups))

    def _tied(self, sides: Sequence[tuple[np.ndarray, Sequence[str]]]) -> list[str]:
        """Said where clips, by the mean of their frames, follow their own references."""
        number = {source: index for index, source in enumerate(dict.fromkeys([*sides[0][1], *sides[1][1]]))}
        (x, y), (source_x, source_y) = (
            [np.asarray(np.nanmean(side, axis=1, dtype=np.float64)) for side, _ in sides],
            [np.array([number[name] for name in names], dtype=np.int64) for _, names in sides],
        )
        return tied_notes(self.label, x, y, source_x, source_y)

    def _rows(self, features_NTD: np.ndarray, groups: Sequence[str]) -> tuple[np.ndarray, list[str]]:
        """All frames [R, D] with the source of each; rows of NaN, which fill up shorter clips, are left
        out."""
        if features_NTD.ndim != 3:
            raise MetricError(
                f"{self.label}: features must be [N, T, D], got shape {list(features_NTD.shape)}"
            )
        there_NT = ~np.isnan(features_NTD).all(axis=2)
        sources = np.repeat(np.asarray(groups, dtype=np.str_), there_NT.sum(axis=1))
        return features_NTD[there_NT], sources.tolist()


class Fid(ClipFid):
    """Fréchet distance of Inception-v3's features of frames, lower is better, 0 for identical sets.

    Methods are not compared by it: an exchange of clips would take seconds at 2048 dimensions, and a test
    takes hundreds. CLIP-FID compares them.
    """

    name: ClassVar[str] = "fid"
    unit: ClassVar[str] = "squared Inception features"
    needs: ClassVar[tuple[str, ...]] = ("inception",)
    label: ClassVar[str] = "FID"
    compare = SetMetric.compare  # type: ignore[assignment]
