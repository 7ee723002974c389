"""What is to be read and extracted of the clips of an evaluation, under one protocol after the other.

Work on one file is gathered in one item, whatever the number of protocols and extractors: the file is
decoded once. Clips of the same content have the same keys and are extracted once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from ..core.hashing import digest
from ..core.records import FailureInfo
from ..core.types import ClipRef, Sample
from ..datasets.video import Reading
from ..stages.extraction import ExtractItem, ExtractorSpec, Wanted
from ..stages.inputs import Input, VideoInput
from ..stages.measuring import Measuring, PlannedExtractor
from .clip_list import StoredClip
from .stored_clips import ClipFacts


@dataclass(frozen=True)
class FeatureRef:
    """A feature of an evaluation: its key, and why it cannot be made where its file is unreadable."""

    key: str
    content: str
    failure: FailureInfo | None = None


@dataclass
class _Group:
    """What is read together."""

    name: str
    inputs: dict[Input, int] = field(default_factory=dict)
    wanted: list[Wanted] = field(default_factory=list)

    def place(self, source: Input) -> int:
        return self.inputs.setdefault(source, len(self.inputs))


class WorkList:
    """Collects the features that an evaluation needs; `items` is the work, `feature` methods give the keys.

    Args:
        facts: of every clip.
        frame_rate: frames per second of folders of frames; None where it is not known.
        join_pairs: whether a reference is read together with the clips that are compared with it.
    """

    def __init__(
        self, facts: Mapping[StoredClip, ClipFacts], frame_rate: float | None, join_pairs: bool
    ) -> None:
        self._facts, self._frame_rate, self._join_pairs = facts, frame_rate, join_pairs
        self._groups: dict[StoredClip | str, _Group] = {}
        self._keys: set[tuple[str, str]] = set()
        self._specs: dict[str, ExtractorSpec] = {}

    @property
    def specs(self) -> list[ExtractorSpec]:
        """The extractors that the work needs, each once."""
        return list(self._specs.values())

    def items(self) -> Iterator[ExtractItem]:
        """All the work, in the order in which it was asked for."""
        for group in self._groups.values():
            yield ExtractItem(group.name, tuple(group.inputs), tuple(group.wanted))

    def text(self, measuring: Measuring, role: str, text: str) -> FeatureRef:
        """A feature of a caption."""
        content = measuring.prompt_content(text)
        return self._feature(measuring, role, content, f"caption {text[:60]}", (), (text,), 0)

    def generated(
        self, measuring: Measuring, role: str, clip: StoredClip, sample: Sample, partner: StoredClip | None
    ) -> FeatureRef:
        """A feature of a generated clip; `partner` is the reference that it is compared with."""
        content = self._generated_content(measuring, role, clip, sample, partner)
        together = partner if partner is not None and self._join_pairs else clip
        source = self._generated_input(measuring, role, clip, sample, partner)
        fps = self._measured_fps(measuring, clip)
        return self._feature(
            measuring, role, content, together, (clip,), (source,), sample.num_context_frames, fps=fps
        )

    def reference(self, measuring: Measuring, role: str, clip: StoredClip, sample: Sample) -> FeatureRef:
        """A feature of a reference clip; `sample` is the reference's own."""
        content = self._reference_content(measuring, clip, sample)
        may_be_short = measuring.reads_short(sample.num_context_frames, [role])
        source = self._input(clip, measuring.set_reading(sample), may_be_short)
        extractor = measuring.of_references(role)
        return self._feature(
            measuring, role, content, clip, (clip,), (source,), sample.num_context_frames, extractor
        )

    def pair(
        self,
        measuring: Measuring,
        role: str,
        clip: StoredClip,
        sample: Sample,
        partner: StoredClip,
        partner_sample: Sample,
    ) -> FeatureRef:
        """A feature of a generated clip beside its reference.

        Frames are paired from the first on, also where the protocol draws a place for its set metrics: in
        clips of different lengths a drawn place is not the same.
        """
        content = measuring.pair_content(
            self._generated_content(measuring, role, clip, sample, None, start="first"),
            self._reference_content(measuring, partner, partner_sample, start="first"),
        )
        sources = (
            self._generated_input(measuring, role, clip, sample, None, start="first"),
            self._reference_input(measuring, partner, partner_sample),
        )
        clips = (clip, partner)
        return self._feature(measuring, role, content, partner, clips, sources, sample.num_context_frames)

    def _feature(
        self,
        measuring: Measuring,
        role: str,
        content: str,
        together: StoredClip | str,
        clips: tuple[StoredClip, ...],
        sources: tuple[Input, ...],
        num_context_frames: int,
        extractor: PlannedExtractor | None = None,
        fps: float | None = None,
    ) -> FeatureRef:
        """A feature by its content; unless a file of its clips is unreadable, it is work to be done.

        Args:
            together: what is read together is called by this clip, or by these words.
            extractor: where it is not the one that generated clips go through.
            fps: at which the frames that are read of a generated clip follow each other.
        """
        errors = [error for clip in clips if (error := self._facts[clip].error) is not None]
        failure = FailureInfo(type="VideoError", message=errors[-1]) if errors else None
        extractor = extractor or measuring.extractors[role]
        key = extractor.key(content)
        if failure is None and (role, key) not in self._keys:
            self._keys.add((role, key))
            spec = extractor.spec
            self._specs[spec.session_key] = spec
            label = together if isinstance(together, str) else together.name
            group = self._groups.setdefault(together, _Group(label))
            inputs = tuple(group.place(source) for source in sources)
            cut = measuring.cut(role, num_context_frames, fps)
            group.wanted.append(Wanted(role, spec.session_key, key, inputs, cut))
        return FeatureRef(key, content, failure)

    # -- contents ------------------------------------------------------------------------------

    def _file_digest(self, clip: StoredClip) -> str:
        found = self._facts[clip].digest
        return found if found is not None else digest({"unreadable": str(clip.path)})

    def _generated_content(
        self,
        measuring: Measuring,
        role: str,
        clip: StoredClip,
        sample: Sample,
        partner: StoredClip | None,
        start: Literal["first"] | None = None,
    ) -> str:
        data: dict[str, object] = {"file": self._file_digest(clip)}
        sampling = measuring.protocol.sampling
        if sampling.generated_rate == "protocol":
            data["rate"] = self._rate(measuring, clip)
        elif self._is_read_as_reference(measuring, role, clip):
            data["as_reference"] = [
                self._rate(measuring, clip),
                start or self._start(measuring, sample, partner),
            ]
        fps = self._measured_fps(measuring, clip)
        return measuring.generated_content(role, digest(data), sample.num_context_frames, fps)

    def _measured_fps(self, measuring: Measuring, clip: StoredClip) -> float | None:
        """The rate at which the frames that are read of a generated clip follow each other, where it is
        known."""
        sampling = measuring.protocol.sampling
        if sampling.generated_rate == "protocol" and sampling.fps is not None:
            return sampling.fps
        return self._frame_rate if clip.kind == "frames" else self._facts[clip].fps

    def _reference_content(
        self,
        measuring: Measuring,
        clip: StoredClip,
        sample: Sample,
        start: Literal["first"] | None = None,
    ) -> str:
        content = measuring.reference_content(sample, self._file_digest(clip))
        if start and measuring.protocol.sampling.start != start:
            content = digest({"clip": content, "start": start})
        if clip.kind == "frames":
            return digest({"frames": content, "rate": self._rate(measuring, clip)})
        return content

    def _rate(self, measuring: Measuring, clip: StoredClip) -> list[object]:
        sampling = measuring.protocol.sampling
        stored = self._frame_rate if clip.kind == "frames" else None
        return [sampling.fps, sampling.stride, stored]

    # -- readings ------------------------------------------------------------------------------

    def _is_read_as_reference(self, measuring: Measuring, role: str, clip: StoredClip) -> bool:
        """Whether the frames of a generated clip are chosen by the reference's rate, stride and start, and
        these choose others than the first ones as stored."""
        sampling = measuring.protocol.sampling
        if role not in measuring.compared_roles() or sampling.generated_rate != "as-reference":
            return False
        states_no_rate = clip.kind == "frames" and self._frame_rate is None
        plain = sampling.start == "first" and (sampling.stride or 1) == 1
        return not (plain and (sampling.fps is None or states_no_rate))

    @staticmethod
    def _start(measuring: Measuring, sample: Sample, partner: StoredClip | None) -> Literal["first"] | int:
        """Where a generated clip begins: a drawn place is that of the reference it is compared with."""
        name = sample.id if partner is None else partner.name
        start: Literal["first"] | int = measuring.protocol.sampling.reading(name)["start"]
        return start

    def _generated_input(
        self,
        measuring: Measuring,
        role: str,
        clip: StoredClip,
        sample: Sample,
        partner: StoredClip | None,
        start: Literal["first"] | None = None,
    ) -> Input:
        cut = measuring.cut(role, sample.num_context_frames)
        # A clip that is only measured by its first frames is not decoded to its end.
        num_frames = None if cut.num_frames is None else cut.skip + cut.num_frames
        sampling = measuring.protocol.sampling
        as_reference = self._is_read_as_reference(measuring, role, clip)
        by_rate = as_reference or sampling.generated_rate == "protocol"
        reading = Reading(
            num_frames=num_frames,
            stride=sampling.stride if by_rate else None,
            fps=sampling.fps if by_rate else None,
            start=(start or self._start(measuring, sample, partner)) if as_reference else "first",
        )
        may_be_short = measuring.fills or not as_reference or cut.may_be_short
        return self._input(clip, reading, may_be_short=may_be_short)

    def _reference_input(self, measuring: Measuring, clip: StoredClip, sample: Sample) -> Input:
        """Of a reference that a clip is held against frame by frame."""
        may_be_short = measuring.reads_short(sample.num_context_frames, measuring.pair_roles())
        return self._input(clip, replace(measuring.reference_reading(sample), start="first"), may_be_short)

    def _input(self, clip: StoredClip, reading: Reading, may_be_short: bool) -> Input:
        fps = self._frame_rate if clip.kind == "frames" else None
        return VideoInput(ClipRef(clip.path, fps=fps), reading, may_be_short)
