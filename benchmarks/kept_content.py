"""Whether the metrics of kept content tell true edits from other clips, on Sprites, where the truth is known.

    .venv/bin/python benchmarks/kept_content.py               # about a minute on one core

The true edit of a source is the same scene with another colour, shape or background, rendered, then blurred
a little and with noise, as a decoder would give it. It is set against the edit of another video ("other"),
its own first frame repeated ("frozen") and its frames in another order ("shuffled"). For each kind of edit
and metric: the means, and the share of pairs (true edit, clip of the other sort), over all videos on both
sides, in which the true edit scores higher: 1 tells them apart always, 0.5 not at all.

The tables of docs/evaluate.md and the numbers in `metrics.clips.kept_content` are from here.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator

import numpy as np
from scipy.ndimage import gaussian_filter

from reelbench.core.errors import MetricError
from reelbench.core.markdown import table_head, table_line
from reelbench.core.types import Frames
from reelbench.metrics.build import build_extractor, build_metric
from reelbench.metrics.protocol import load_protocol
from reelbench.worlds.sprites.editing import EDIT_KINDS, edit_scenes
from reelbench.worlds.sprites.render import render

METRICS = ("structure_kept", "ssim", "psnr", "motion_alignment", "motion_correlation")
SORTS = ("true", "other", "frozen", "shuffled")
NUM_FRAMES = 16
BLUR, NOISE = 0.6, 4.0
"""Deviations: of the blur in pixels of 64, and of the noise in values of 255."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--videos", type=int, default=24, help="source videos; the motions take turns (8)")
    parser.add_argument("--protocol", default="loveu")
    arguments = parser.parse_args()
    protocol = load_protocol(arguments.protocol)
    metrics = [build_metric(name, protocol) for name in METRICS]
    sessions = {
        role: build_extractor(role, protocol).load("cpu") for metric in metrics for role in metric.needs
    }
    found: dict[tuple[str, str, str], list[float]] = {}
    for kind, sort, generated, source in pairs(arguments.videos):
        features = {role: session.extract([(generated, source)])[0] for role, session in sessions.items()}
        for metric in metrics:
            try:
                value = metric.compute(features)
            except MetricError:
                value = math.nan  # a source that does not move
            found.setdefault((metric.name, kind, sort), []).append(value)
    headings = ["metric", "kind", *SORTS, *(f"over {sort}" for sort in SORTS[1:])]
    print(*table_head(headings), sep="\n")
    for name in METRICS:
        for kind in EDIT_KINDS:
            values = {sort: defined(found[name, kind, sort]) for sort in SORTS}
            means = [f"{values[sort].mean():.3f}" for sort in SORTS]
            shares = [f"{(values['true'][:, None] > values[sort][None]).mean():.2f}" for sort in SORTS[1:]]
            print(table_line([name, kind, *means, *shares]))


def pairs(num_videos: int) -> Iterator[tuple[str, str, Frames, Frames]]:
    """(kind, sort, generated, source) of every edit."""
    edits = edit_scenes(num_videos)
    rng = np.random.default_rng(0)
    clips = [as_generated(render(edit.target, NUM_FRAMES), rng) for edit in edits]
    for index, (edit, clip) in enumerate(zip(edits, clips, strict=True)):
        source = render(edit.source, NUM_FRAMES)
        # Of the same kind, one to seven videos further on: another motion, mostly.
        other = clips[(index + len(EDIT_KINDS) * (index % 7 + 1)) % len(clips)]
        yield edit.edit, "true", clip, source
        yield edit.edit, "other", other, source
        yield edit.edit, "frozen", np.repeat(clip[:1], NUM_FRAMES, axis=0), source
        yield edit.edit, "shuffled", clip[rng.permutation(NUM_FRAMES)], source


def as_generated(clip: Frames, rng: np.random.Generator) -> Frames:
    """The clip slightly blurred and noisy."""
    blurred = gaussian_filter(clip.astype(np.float64), (0, BLUR, BLUR, 0))
    return np.clip(np.round(blurred + rng.normal(0, NOISE, clip.shape)), 0, 255).astype(np.uint8)


def defined(values: list[float]) -> np.ndarray:
    """Those that are numbers."""
    return np.array([value for value in values if not math.isnan(value)])


if __name__ == "__main__":
    main()
