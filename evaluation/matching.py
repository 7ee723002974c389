"""Which generated clip, reference and caption belong together: by name, or as a CSV says.

Names are compared in Unicode's composed form, since file systems differ in it. A name from a file only ever
looks a clip up among those that were found; it never becomes a path.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..core.errors import EvaluationError
from .caption_files import CaptionRow, read_captions, read_pairs
from .clip_list import StoredClip, without_video_suffix
from .clip_names import composed, counted, samples_of_prompts, sources_of_prompts, with_clips_of_prompts

_NUM_SHOWN = 3


@dataclass(frozen=True)
class EvaluationSample:
    """One thing to measure.

    Attributes:
        id: the generated clip's name; with "#" and a number where one clip has several captions or pairs.
        generated: None where a listed clip is not there.
        reference: the real clip that belongs to it.
        caption: None where there is none.
        source: what standard errors are clustered on: as given, or the prompt that the clip is called by as
            one of its samples, or the reference's name, or the clip's.
        is_listed: whether the captions or the pairs name it.
    """

    id: str
    generated: StoredClip | None
    reference: StoredClip | None
    caption: str | None
    source: str
    is_listed: bool


@dataclass(frozen=True)
class Matched:
    """All samples, sorted by id, and what did not fit together, one line each."""

    samples: tuple[EvaluationSample, ...]
    problems: tuple[str, ...]


def match(
    generated: Mapping[str, StoredClip],
    reference: Mapping[str, StoredClip] | None,
    captions: Path | None,
    pairs: Path | None,
) -> Matched:
    """Match clips with references and captions.

    Args:
        generated, reference: clips by name; None for no references at all.
        captions: a file or folder as `caption_files.read_captions` takes it.
        pairs: a CSV as `caption_files.read_pairs` takes it. Clips that it does not name are left out, and
            said to be. Captions that it lacks are taken from `captions`, by the generated clip's name or,
            where that is not there, the reference's; sources likewise.

    Raises:
        EvaluationError: a file cannot be read or understood, none of its names fits, or two samples would
            have one id.
    """
    ours, real = _by_name(generated), _by_name(reference or {})
    rows = read_captions(captions) if captions is not None else []
    has_sources = pairs is not None or any(row.source for row in rows)
    problems = _without_source([row.source for row in rows], captions) if pairs is None else []
    rows = with_clips_of_prompts(rows, (*ours, *real), _named(captions), problems)
    captions_of: dict[str, list[CaptionRow]] = {}
    repeated = 0
    for row in rows:
        found = captions_of.setdefault(_key(row.name, ours, real), [])
        if any((row.caption, row.source) == (other.caption, other.source) for other in found):
            repeated += 1
        else:
            found.append(row)
    if repeated:
        problems.append(f"{repeated} rows of {_named(captions)} repeat another one and are left out")
    prompt_of = sources_of_prompts(captions_of, (*ours, *real))
    if pairs is None:
        drafts = _by_names(ours, real, captions_of, prompt_of)
        listed = set(captions_of)
    else:
        drafts, listed = _by_pairs(pairs, ours, real, captions_of, prompt_of, problems)
    ids = Counter(draft.id for draft in drafts)
    if twice := sorted(name for name, count in ids.items() if count > 1):
        raise EvaluationError(
            f"two samples would be called {twice[0]!r}: a clip of that name, and another of several captions",
            'rename the clip: "#" and a number is added to the name of a clip that has several captions',
        )
    if listed and not any(draft.generated is not None and draft.is_listed for draft in drafts):
        names = ", ".join(f"{name:.80}" for name in sorted(listed)[:_NUM_SHOWN])
        raise EvaluationError(
            f"no generated clip has a name that {_named(pairs or captions)} lists ({names}, ...)",
            f"the clips found are called {', '.join(sorted(ours)[:_NUM_SHOWN])}, ...; names are paths below "
            "the folder without the suffix",
        )
    if len(drafts) > 1 and len({draft.generated for draft in drafts}) > 1:
        sources = {draft.source for draft in drafts}
        if len(sources) == 1:
            problems.append(
                f"all clips have one source, {min(sources):.60}, so no error can be told"
                + (": if that is no video, take the field out" if has_sources else "")
            )
    has_captions = captions is not None or any(draft.caption is not None for draft in drafts)
    problems += _problems(drafts, ours, real, has_captions, pairs)
    if captions is None and pairs is None:
        problems += samples_of_prompts(ours)
    return Matched(tuple(sorted(drafts, key=lambda item: item.id)), tuple(problems))


def count_duplicates(digests: Iterable[str]) -> int:
    """How many items repeat another one's digest.

    >>> count_duplicates(["a", "b", "a", "a"])
    2
    """
    return sum(count - 1 for count in Counter(digests).values())


def _by_names(
    ours: Mapping[str, StoredClip],
    real: Mapping[str, StoredClip],
    captions_of: Mapping[str, Sequence[CaptionRow]],
    prompt_of: Mapping[str, str],
) -> list[EvaluationSample]:
    drafts = []
    for name in sorted({*ours, *captions_of}):
        rows: Sequence[CaptionRow | None] = captions_of.get(name) or [None]
        for row in rows:
            caption, source = (row.caption, row.source) if row is not None else (None, "")
            drafts.append(
                (name, real.get(name), caption, source or prompt_of.get(name, name), row is not None)
            )
    return _numbered(drafts, ours)


def _by_pairs(
    pairs: Path,
    ours: Mapping[str, StoredClip],
    real: Mapping[str, StoredClip],
    captions_of: Mapping[str, Sequence[CaptionRow]],
    prompt_of: Mapping[str, str],
    problems: list[str],
) -> tuple[list[EvaluationSample], set[str]]:
    """The samples, and the names of the generated clips that the pairs list; adds to `problems`."""
    rows = [
        replace(
            row,
            generated=_key(row.generated, ours),
            reference=_key(row.reference, real) if row.reference else "",
        )
        for row in read_pairs(pairs)
    ]
    distinct = list(dict.fromkeys(rows))
    if len(distinct) < len(rows):
        problems.append(
            f"{len(rows) - len(distinct)} rows of {_named(pairs)} repeat another one and are left out"
        )
    drafts, sources = [], []
    named_by_prompts = sources_of_prompts(
        {row.generated: [CaptionRow(row.generated, row.caption)] for row in distinct if row.caption}, ()
    )
    prompt_of = {**named_by_prompts, **prompt_of}
    for row in distinct:
        name, partner = row.generated, row.reference or row.generated
        given: Sequence[CaptionRow] = captions_of.get(name) or captions_of.get(partner) or ()
        found: list[tuple[str | None, str]] = [(other.caption, other.source) for other in given]
        if row.caption is not None or not found:
            found = [(row.caption, "")]
        for caption, source in found:
            own = row.reference or prompt_of.get(name, name)
            sources.append(row.source or source)
            drafts.append((name, real.get(partner), caption, sources[-1] or own, True))
    problems += _without_source(sources, pairs)
    named = list(dict.fromkeys(row.reference for row in distinct if row.reference))
    if named and not real:
        problems.append(counted("references are named in the pairs, and no references are given", named))
    elif unknown := [name for name in named if name not in real]:
        problems.append(counted("references that the pairs name are not there", unknown))
    return _numbered(drafts, ours), {row.generated for row in distinct}


def _without_source(sources: Sequence[str], path: Path | None) -> list[str]:
    """What to say where some rows of a list have a source and some have none."""
    silent = sources.count("")
    if silent in (0, len(sources)):
        return []
    what = f"{silent} of {len(sources)} rows of {_named(path)} have no source"
    return [f"{what}: they count by prompt, reference or clip"]


def _numbered(
    drafts: Sequence[tuple[str, StoredClip | None, str | None, str, bool]], ours: Mapping[str, StoredClip]
) -> list[EvaluationSample]:
    """Samples of (name, reference, caption, source, is_listed), numbered where a name has several."""
    count = Counter(name for name, *_ in drafts)
    numbers: Counter[str] = Counter()
    samples = []
    for name, reference, caption, source, is_listed in drafts:
        samples.append(
            EvaluationSample(
                id=name if count[name] == 1 else f"{name}#{numbers[name]}",
                generated=ours.get(name),
                reference=reference,
                caption=caption,
                source=source,
                is_listed=is_listed,
            )
        )
        numbers[name] += 1
    return samples


def _problems(
    samples: Sequence[EvaluationSample],
    ours: Mapping[str, StoredClip],
    real: Mapping[str, StoredClip],
    has_captions: bool,
    pairs: Path | None,
) -> list[str]:
    found = []
    lost = [item.id for item in samples if item.generated is None]
    if lost:
        found.append(counted("listed clips are not there", lost))
    uses = Counter(item.generated.name for item in samples if item.generated is not None)
    if several := sorted(name for name, count in uses.items() if count > 1):
        found.append(
            counted("clips have several captions or pairs and count once for each, in FVD too", several)
        )
    measured = {item.generated for item in samples}
    if pairs is not None and (left := sorted(name for name, clip in ours.items() if clip not in measured)):
        found.append(counted(f"clips are not named in {_named(pairs)} and left out", left))
    if has_captions:
        silent = [item.id for item in samples if item.generated is not None and item.caption is None]
        if silent:
            found.append(counted("clips have no caption", silent))
    if real:
        paired = {item.reference for item in samples if item.generated is not None} - {None}
        alone = [item.id for item in samples if item.generated is not None and item.reference is None]
        if paired and alone:
            found.append(counted("clips have no reference of their own", alone))
        unused = sorted(name for name, clip in real.items() if clip not in paired)
        if paired and unused:
            found.append(counted("references have no clip of their own; set metrics use them too", unused))
        if not paired:
            found.append(
                "no clip has the name of a reference: the two sides are compared as sets only, and every "
                "clip counts as a source of its own"
            )
    return found


def _by_name(clips: Mapping[str, StoredClip]) -> dict[str, StoredClip]:
    """Clips by composed name.

    Raises:
        EvaluationError: two names are alike in composed form.
    """
    found: dict[str, StoredClip] = {}
    for name, clip in clips.items():
        if found.setdefault(composed(name), clip) is not clip:
            raise EvaluationError(
                f"two clips are called {composed(name)!r}, written in two ways", "rename one"
            )
    return found


def _key(name: str, *known: Collection[str]) -> str:
    """A name from a file as the clip is called: as it is where there is a clip of that name; else composed,
    without a video's suffix or a leading "./"; "1" of "1.0", as tables with gaps have it."""
    text = composed(name)
    if any(text in names for names in known):
        return text
    bare = without_video_suffix(text.replace("\\", "/").removeprefix("./"))
    number = bare.removesuffix(".0")
    is_number = number.isdecimal() and any(number in names for names in known)
    return number if is_number and not any(bare in names for names in known) else bare


def _named(path: Path | None) -> str:
    return path.name if path is not None else "the list"
