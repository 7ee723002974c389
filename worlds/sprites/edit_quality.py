"""Measures one-shot editing methods on the embedded pipeline: whether edits show what their prompts say, and
whether they move as the source does.

The edits are those of the written editing data sets (`editing.edit_scenes`); each source clip is tuned on
once. Of an edited clip is measured:

* as prompted: most of four frames show the prompt's colour *and* shape *and* background, by `check.judge`;
* motion kept: the I3D names the same motion as for the source clip; `check.judge_motion`, which looks at
  pixels alone and is much stricter about jitter, is counted beside it;
* frame consistency: mean cosine of CLIP features over all pairs of frames (protocol "loveu", the embedded
  CLIP), less that of independent frames ("ddim-frames") of the same prompt, with the standard error over
  source clips.

The bars are those of the issue that asked for the methods: 60 % each for the first two, and a margin of more
than twice the standard error for the third.

    python -m reelbench.worlds.sprites.edit_quality tune-a-video --num 24
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from ...core.types import Frames, Sample
from .check import judge_motion
from .editing import EDIT_KINDS, NUM_FRAMES, EditKind, EditScene, edit_scenes
from .motion_quality import judged_frames
from .quality import i3d_motion, save_rows
from .render import render
from .scene import Scene

AS_PROMPTED_BAR, MOTION_BAR = 0.60, 0.60
NUM_ERRORS_BAR = 2.0
"""Standard errors by which frame consistency must exceed that of independent frames."""

_I3D = Path(__file__).parent / "weights" / "i3d"


@dataclass(frozen=True)
class JudgedEdit:
    """What one edited clip shows.

    Attributes:
        edit: what was asked for.
        missing: which of "colour", "shape", "background" most frames do not show as prompted.
        as_prompted: most frames show all three.
        motion: what the I3D names; `source_motion` for the source clip.
        judged_motion_kept: `check.judge_motion` says the same of both clips.
    """

    edit: EditScene
    missing: tuple[str, ...]
    as_prompted: bool
    motion: str
    source_motion: str
    judged_motion_kept: bool

    @property
    def motion_kept(self) -> bool:
        """Whether the I3D names the same motion in the edit and in its source."""
        return self.motion == self.source_motion


@dataclass(frozen=True)
class Margin:
    """Frame consistency against that of independent frames.

    Attributes:
        method, independent: means over all edits.
        difference, standard_error: over source clips, of the mean over their edits; NaN error for one clip.
    """

    method: float
    independent: float
    difference: float
    standard_error: float

    @property
    def reached(self) -> bool:
        """Whether the difference exceeds its bar in standard errors."""
        return self.difference > NUM_ERRORS_BAR * self.standard_error


@dataclass(frozen=True)
class EditQuality:
    """The result for a method.

    Attributes:
        num, num_videos: edits that were judged, and source clips.
        as_prompted, motion_kept, judged_motion_kept: shares of the edits; by kind the first two.
        consistency: None where it was not measured.
        faults: what went wrong how often, most frequent first.
    """

    num: int
    num_videos: int
    as_prompted: float
    motion_kept: float
    judged_motion_kept: float
    by_kind: dict[EditKind, tuple[float, float]]
    consistency: Margin | None
    faults: dict[str, int]
    settings: dict[str, Any]

    @property
    def reached(self) -> bool:
        """True when every bar that was measured is reached."""
        shares = self.as_prompted >= AS_PROMPTED_BAR and self.motion_kept >= MOTION_BAR
        return shares and (self.consistency is None or self.consistency.reached)


def judged_edits(clips: Sequence[Frames], edits: Sequence[EditScene]) -> list[JudgedEdit]:
    """What edited clips show, in order.

    Args:
        clips: uint8 [T,H,W,3], square, T at least 9 (the I3D's least), one for each edit.
    """
    motion = i3d_motion(_I3D)
    sources: dict[str, tuple[str, str | None]] = {}
    judged = []
    for clip, edit in zip(clips, edits, strict=True):
        if edit.video not in sources:
            source = render(edit.source, NUM_FRAMES)
            sources[edit.video] = (motion(source), judge_motion(source))
        source_motion, source_judged = sources[edit.video]
        missing, as_prompted = _shown(clip, edit.target)
        kept = judge_motion(clip) == source_judged
        judged.append(JudgedEdit(edit, missing, as_prompted, motion(clip), source_motion, kept))
    return judged


def _shown(clip_THW3: Frames, wished: Scene) -> tuple[tuple[str, ...], bool]:
    """What most frames do not show, and whether most frames show all of it."""
    seen = judged_frames(clip_THW3)
    words = {"colour": wished.main.colour, "shape": wished.main.shape, "background": wished.background}
    half = len(seen) / 2
    missing = (name for name, word in words.items() if sum(getattr(s, name) == word for s in seen) <= half)
    return tuple(missing), sum(s.shows(**words) for s in seen) > half


def consistency_margin(
    clips: Sequence[Frames], independent: Sequence[Frames], edits: Sequence[EditScene]
) -> Margin:
    """Frame consistency of clips against that of independent frames of the same prompts."""
    from ...metrics.clips.consistency import FrameConsistencyAllPairs
    from ...metrics.extractors.clip import ClipImage
    from ...metrics.protocol import load_protocol

    protocol = load_protocol("loveu")
    extractor = ClipImage.from_protocol(protocol, "sprites/clip").load("cpu")
    metric = FrameConsistencyAllPairs(protocol)
    values, floor = (
        np.array([metric.compute({"clip_image": features}) for features in extractor.extract(some)])
        for some in (clips, independent)
    )
    videos = np.array([edit.video for edit in edits])
    of_videos = np.array([(values - floor)[videos == video].mean() for video in dict.fromkeys(videos)])
    error = float(of_videos.std(ddof=1) / len(of_videos) ** 0.5) if len(of_videos) > 1 else float("nan")
    return Margin(float(values.mean()), float(floor.mean()), float(of_videos.mean()), error)


def summarised(
    judged: Sequence[JudgedEdit], consistency: Margin | None = None, settings: Mapping[str, Any] | None = None
) -> EditQuality:
    """Shares of judged edits; at least one."""
    faults = Counter[str]()
    for one in judged:
        faults.update(f"{one.edit.edit}: {name}" for name in one.missing)
        if not one.motion_kept:
            faults[f"{one.edit.edit}: {one.source_motion} -> {one.motion}"] += 1
    by_kind: dict[EditKind, tuple[float, float]] = {}
    for kind in EDIT_KINDS:
        of_kind = [one for one in judged if one.edit.edit == kind]
        if of_kind:
            by_kind[kind] = (_share(o.as_prompted for o in of_kind), _share(o.motion_kept for o in of_kind))
    return EditQuality(
        num=len(judged),
        num_videos=len({one.edit.video for one in judged}),
        as_prompted=_share(one.as_prompted for one in judged),
        motion_kept=_share(one.motion_kept for one in judged),
        judged_motion_kept=_share(one.judged_motion_kept for one in judged),
        by_kind=by_kind,
        consistency=consistency,
        faults=dict(faults.most_common(12)),
        settings=dict(settings or {}),
    )


def _share(flags: Any) -> float:
    return round(float(np.mean(list(flags))), 4)


def edit_quality(
    method: str = "tune-a-video",
    num: int = 24,
    seed: int = 0,
    config: Mapping[str, Any] | None = None,
    sheet: Path | None = None,
    report: Callable[[str], None] = lambda line: None,
) -> EditQuality:
    """Tunes a method on source clips, edits them, and measures the edits.

    Args:
        method: a registered one-shot method, or path/to/file.py:Class.
        num: edits, four of each source clip.
        seed: of the edits; settings are searched on another one than they are reported on.
        config: settings of the method; {"preset": "sprites"} where None.
        sheet: where to write a picture: every third frame of source clips and edits.
        report: told about every edit as soon as it is judged.
    """
    from ...core.registry import get

    cls = get("methods", method)
    made = cls(cls.Config(**{"weights": "sprites/t2i", **(config or {"preset": "sprites"})}))
    shared = made.config.model_dump(include={"num_frames", "num_steps", "guidance_scale"})
    floor_cls = get("methods", "ddim-frames")
    floor_session = floor_cls(floor_cls.Config(weights="sprites/t2i", **shared)).load("cpu")
    session = made.load("cpu")
    edits = edit_scenes(-(-num // len(EDIT_KINDS)), seed)[:num]
    clips: list[Frames] = []
    independent: list[Frames] = []
    judged: list[JudgedEdit] = []
    for _, group in groupby(edits, key=lambda edit: edit.video):
        of_video = list(group)
        artifact = session.tune(render(of_video[0].source, NUM_FRAMES), of_video[0].source_prompt, seed)
        samples = [Sample(edit.id, edit.prompt, edit.video) for edit in of_video]
        numbers = [len(clips) + offset for offset in range(len(samples))]
        new = list(session.generate(samples, artifact, numbers))
        clips += new
        independent += floor_session.generate(samples, None, numbers)
        judged += judged_edits(new, of_video)
        for one in judged[-len(new) :]:
            report(
                f"{one.edit.id}: {'as prompted' if one.as_prompted else 'lacks ' + ', '.join(one.missing)}; "
                f"{one.source_motion} -> {one.motion}"
            )
    if sheet is not None:
        write_edit_sheet(sheet, clips, edits)
    recorded = made.config.model_dump(mode="json", exclude={"weights", "adapters"})
    margin = consistency_margin(clips, independent, edits)
    return summarised(judged, margin, {"method": method, "edit_seed": seed, **recorded})


def write_edit_sheet(path: Path, clips: Sequence[Frames], edits: Sequence[EditScene]) -> None:
    """Writes a picture with one row for each source clip and one below it for each of its edits."""
    rows = []
    for number, (clip, edit) in enumerate(zip(clips, edits, strict=True)):
        if number == 0 or edit.video != edits[number - 1].video:
            rows.append(list(render(edit.source, len(clip), clip.shape[1])[::3]))
        rows.append(list(clip[::3]))
    save_rows(path, rows)


def main(
    method: Annotated[str, typer.Argument(help="A registered one-shot method.")] = "tune-a-video",
    num: Annotated[int, typer.Option(help="Edits, four of each source clip.")] = 24,
    seed: Annotated[int, typer.Option(help="Of the edits.")] = 0,
    sheet: Annotated[Path | None, typer.Option(help="Picture to write.")] = None,
    adapters: Annotated[str | None, typer.Option(help="Adapters, for methods that have any.")] = None,
) -> None:
    """Measure the editing of a method on the embedded pipeline."""
    config = {"preset": "sprites"} | ({} if adapters is None else {"adapters": adapters})
    got = edit_quality(method, num, seed, config, sheet, typer.echo)
    typer.echo(
        f"{method}: as prompted {got.as_prompted:.1%}, motion kept {got.motion_kept:.1%} by the I3D and "
        f"{got.judged_motion_kept:.1%} by pixels, of {got.num} edits of {got.num_videos} clips; by kind "
        f"{got.by_kind}; {got.consistency}; faults {got.faults}; {got.settings}"
    )


if __name__ == "__main__":
    from ...core.commands import run_command

    run_command(main)
