"""Which generated clip, reference and caption belong together: by name, or as a CSV says.

Names are compared in Unicode's composed form, since file systems differ in it. A name from a file only ever
looks a clip up among those that were found; it never becomes a path.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..core.errors import EvaluationError
from .caption_files import CaptionRow, read_captions, read_pairs
from .clip_list import VIDEO_SUFFIXES, StoredClip

_NUM_SHOWN = 3


@dataclass(frozen=True)
class EvaluationSample:
    """One thing to measure.

    Attributes:
        id: the generated clip's name; with a number where one clip has several captions.
        generated: None where a listed clip is not there.
        reference: the real clip that belongs to it.
        caption: None where there is none.
        source: what standard errors are clustered on: as given, or the reference's name, or the clip's.
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
            said to be; captions that it lacks are taken from `captions`, by the generated clip's name.

    Raises:
        EvaluationError: a file cannot be read or understood, or none of its names fits.
    """
    ours, real = _by_name(generated), _by_name(reference or {})
    rows = read_captions(captions) if captions is not None else []
    captions_of: dict[str, list[CaptionRow]] = {}
    for row in rows:
        captions_of.setdefault(_key(row.name), []).append(row)
    problems: list[str] = []
    repeated = sum(
        len(found) - len({(row.caption, row.source) for row in found}) for found in captions_of.values()
    )
    if repeated:
        problems.append(f"{repeated} rows of {_named(captions)} are there twice; each counts once")
    if pairs is None:
        drafts = _by_names(ours, real, captions_of)
        listed = set(captions_of)
    else:
        drafts, listed = _by_pairs(pairs, ours, real, captions_of, problems)
    if listed and not any(draft.generated is not None and draft.is_listed for draft in drafts):
        names = ", ".join(sorted(listed)[:_NUM_SHOWN])
        raise EvaluationError(
            f"no generated clip has a name that {_named(pairs or captions)} lists ({names}, ...)",
            f"the clips found are called {', '.join(sorted(ours)[:_NUM_SHOWN])}, ...; names are paths below "
            "the folder without the suffix",
        )
    problems += _problems(drafts, ours, real, captions is not None, pairs)
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
) -> list[EvaluationSample]:
    found = []
    for name in sorted({*ours, *captions_of}):
        rows: list[CaptionRow | None] = list(_distinct(captions_of.get(name, ()))) or [None]
        for number, row in enumerate(rows):
            found.append(
                EvaluationSample(
                    id=name if len(rows) == 1 else f"{name}#{number}",
                    generated=ours.get(name),
                    reference=real.get(name),
                    caption=row.caption if row is not None else None,
                    source=(row.source if row is not None else "") or name,
                    is_listed=row is not None,
                )
            )
    return found


def _by_pairs(
    pairs: Path,
    ours: Mapping[str, StoredClip],
    real: Mapping[str, StoredClip],
    captions_of: Mapping[str, Sequence[CaptionRow]],
    problems: list[str],
) -> tuple[list[EvaluationSample], set[str]]:
    rows = read_pairs(pairs)
    distinct = list(dict.fromkeys(rows))
    if len(distinct) < len(rows):
        problems.append(
            f"{len(rows) - len(distinct)} rows of {_named(pairs)} are there twice; each counts once"
        )
    count = Counter(_key(row.generated) for row in distinct)
    numbers: Counter[str] = Counter()
    found, unknown = [], []
    for row in distinct:
        name = _key(row.generated)
        partner = real.get(_key(row.reference)) if row.reference else real.get(name)
        if row.reference and real and partner is None:
            unknown.append(row.reference)
        caption = row.caption
        if caption is None and captions_of.get(name):
            caption = captions_of[name][0].caption
        found.append(
            EvaluationSample(
                id=name if count[name] == 1 else f"{name}#{numbers[name]}",
                generated=ours.get(name),
                reference=partner,
                caption=caption,
                source=row.source or (_key(row.reference) if row.reference else name),
                is_listed=True,
            )
        )
        numbers[name] += 1
    if unknown:
        problems.append(_counted("references that the pairs name are not there", unknown))
    return found, set(count)


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
        found.append(_counted("listed clips are not there", lost))
    measured = {
        name for item in samples if item.generated is not None for name in [item.id.partition("#")[0]]
    }
    if pairs is not None and (left := sorted(set(ours) - measured)):
        found.append(_counted(f"clips are not named in {_named(pairs)} and left out", left))
    if has_captions:
        silent = [item.id for item in samples if item.generated is not None and item.caption is None]
        if silent:
            found.append(_counted("clips have no caption", silent))
    if real:
        paired = {item.reference.name for item in samples if item.reference is not None and item.generated}
        alone = [item.id for item in samples if item.generated is not None and item.reference is None]
        if paired and alone:
            found.append(_counted("clips have no reference of their own", alone))
        if not paired:
            found.append(
                "no clip has the name of a reference: the two sides are compared as sets only, and every "
                "clip counts as a source of its own"
            )
    return found


def _distinct(rows: Iterable[CaptionRow]) -> list[CaptionRow]:
    return list({(row.caption, row.source): row for row in rows}.values())


def _by_name(clips: Mapping[str, StoredClip]) -> dict[str, StoredClip]:
    """Clips by composed name.

    Raises:
        EvaluationError: two names are alike in composed form.
    """
    found: dict[str, StoredClip] = {}
    for name, clip in clips.items():
        if found.setdefault(_composed(name), clip) is not clip:
            raise EvaluationError(
                f"two clips are called {_composed(name)!r}, written in two ways", "rename one"
            )
    return found


def _key(name: str) -> str:
    """A name from a file as clips are called: composed, without a video's suffix or a leading "./"."""
    text = _composed(name).replace("\\", "/").removeprefix("./")
    stem, dot, suffix = text.rpartition(".")
    return stem if dot and f".{suffix.lower()}" in VIDEO_SUFFIXES else text


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _named(path: Path | None) -> str:
    return path.name if path is not None else "the list"


def _counted(what: str, names: Sequence[str]) -> str:
    shown = ", ".join(names[:_NUM_SHOWN]) + (", ..." if len(names) > _NUM_SHOWN else "")
    return f"{len(names)} {what}: {shown}"
