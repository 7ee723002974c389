"""Names of clips: how they are compared and shown, and those that are prompts."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from ..core.errors import EvaluationError
from .caption_files import CaptionRow

_NUM_SHOWN = 3

_SAMPLE_OF_PROMPT = re.compile(r"(.+)-[0-9]{1,4}", re.DOTALL)
_CUT_AT = 180
"""Characters of a prompt that VBench-2.0 keeps in a file's name."""
_SURELY_CUT = 40
"""Characters of a name that, where its own caption begins with them, are that caption, cut."""


def composed(name: str) -> str:
    """A name in Unicode's composed form: file systems differ in it."""
    return unicodedata.normalize("NFC", name)


def counted(what: str, names: Sequence[str]) -> str:
    """ "4 clips have no caption: a, b, c, ..." """
    shown = ", ".join(f"{name:.200}" for name in names[:_NUM_SHOWN])
    return f"{len(names)} {what}: {shown}" + (", ..." if len(names) > _NUM_SHOWN else "")


def with_clips_of_prompts(
    rows: Sequence[CaptionRow], names: Sequence[str], listed: str, problems: list[str]
) -> list[CaptionRow]:
    """The rows, those of prompts once for each clip that is called by them: `<prompt>-0`, `<prompt>-1`, ...,
    in whatever folder, or `<prompt>/0`, of long prompts the first 180 characters. The samples of a prompt are
    of one source.
    Of a list of prompts, those without a clip are left out; adds to `problems`.

    Raises:
        EvaluationError: no clip is called by a prompt, or one is by what several prompts begin with.
    """
    called: dict[str, list[str]] = {}
    prompts = {composed(row.name) for row in rows if row.is_prompt or row.name == row.caption}
    for name in sorted(set(names)) if prompts else ():
        last = name.rpartition("/")[2]
        candidates = (last, _numbered_stem(name), _folder(name))
        # A clip that is called as a prompt is that prompt's, even if it ends like a sample's number.
        whose = next((text for text in candidates if text in prompts), _numbered_stem(name) or last)
        called.setdefault(whose, []).append(name)
    cut = Counter(prompt[:_CUT_AT] for prompt in prompts)
    found: list[CaptionRow] = []
    silent = []
    for row in rows:
        prompt = composed(row.name)
        clips = called.get(prompt) or (called.get(prompt[:_CUT_AT]) if len(prompt) > _CUT_AT else None)
        if prompt not in prompts or not (clips or row.is_prompt):
            found.append(row)
        elif not clips:
            silent.append(prompt)
        elif prompt not in called and cut[prompt[:_CUT_AT]] > 1:
            raise EvaluationError(
                f"the clip {clips[0]!r} is called by the first {_CUT_AT} characters of several prompts",
                "give the captions by name",
            )
        else:
            found += [replace(row, name=clip, source=row.source or prompt) for clip in clips]
    if silent and not found:
        shown = ", ".join(sorted(names)[:_NUM_SHOWN])
        raise EvaluationError(
            f"no clip is called by a prompt of {listed}, such as {silent[0][:60] + '-0'!r}",
            f"the list has no names, and the clips found are called {shown}, ...: give names and captions",
        )
    if silent:
        problems.append(counted(f"prompts of {listed} have no clip and are left out", silent))
    return found


def sources_of_prompts(
    captions_of: Mapping[str, Sequence[CaptionRow]], names: Iterable[str]
) -> dict[str, str]:
    """The prompt of each clip that is called by its own caption (`<prompt>-0`, `<prompt>/0`): its samples are
    one source. Where clips are called so, those without a caption are of what stands in its place."""
    found: dict[str, str] = {}
    silent = set(names) - set(captions_of)
    for place in (_numbered_stem, _folder):
        called = {
            name: composed(row.caption)
            for name, rows in captions_of.items()
            for row in rows
            if (text := place(name)) is not None and _is_called(text, row.caption)
        }
        others = {name: text for name in silent if called and (text := place(name)) is not None}
        found = {**others, **called, **found}
    return found


def _numbered_stem(name: str) -> str | None:
    """What stands before the number of a sample, below its folders; None where there is none."""
    sample = _SAMPLE_OF_PROMPT.fullmatch(name.rpartition("/")[2])
    return sample[1] if sample is not None else None


def _folder(name: str) -> str | None:
    """The folder that a clip lies in; None for one at the top."""
    return name.rpartition("/")[0].rpartition("/")[2] or None


def _is_called(text: str, caption: str) -> bool:
    """Whether a part of a name is the caption, or its beginning: by their words, whatever stands between."""
    name, wanted = (
        " ".join(re.findall(r"\w+", composed(item).casefold().replace("_", " "))) for item in (text, caption)
    )
    return bool(name) and (name == wanted or (len(name) >= _SURELY_CUT and wanted.startswith(name)))


def samples_of_prompts(names: Iterable[str]) -> list[str]:
    """What to say where all clips are named as numbered samples of several prompts: they count one by one."""
    samples = [_SAMPLE_OF_PROMPT.fullmatch(name) for name in names]
    groups = Counter(sample[1] for sample in samples if sample is not None)
    if None in samples or len(groups) < 2 or min(groups.values()) < 2 or max(groups.values()) > 25:
        return []
    return [
        f"{len(samples)} clips are called like numbered samples of {len(groups)} prompts "
        f"({min(groups):.60}-0, ...), and each counts as a source of its own: give the prompts as captions"
    ]
