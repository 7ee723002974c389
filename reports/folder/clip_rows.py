"""What the list of clips shows, as data for the page's script: a row for each prompt, data set and seed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...core.redaction import without_machine
from ..pages.run_clips import PromptClips, clips_by_prompt, methods_of, no_clip_words
from ..tables.measurement import is_value
from ..tables.run_tables import Row, RunTables
from .clip_files import ShownClip, Wanted, place_clips

NUM_DIGITS = 5
"""Significant digits of a clip's value; the tables have all."""


def clip_data(run: RunTables, tables_folder: Path, clips_folder: Path) -> dict[str, Any]:
    """Everything that the script needs, and the clips' files in their folder.

    Args:
        clips_folder: where the files are put, see `place_clips`.

    Returns:
        `methods` and `datasets` (names), `metrics` (their label has the protocol where there are several),
        `rows`. Of a row `clips` has one for each method that has one: `m` the method's index, `f` the file,
        `n` frames at `r` a second, `w` x `h` pixels, `s` the status where it is not done, `e` what failed,
        `t` seconds of sampling, `v` values in the metrics' order.
    """
    clips = run.rows("clips")
    seeds = sorted({row["seed"] or 0 for row in clips if row["side"] == "generated"})
    prompts = [prompt for seed in seeds for prompt in clips_by_prompt(clips, len(clips), seed)]
    prompts.sort(key=lambda prompt: (prompt.dataset, prompt.split, prompt.sample_id, prompt.seed or 0))
    wanted = list(_wanted(prompts))
    shown = dict(zip(map(_key, wanted), place_clips(wanted, tables_folder, clips_folder), strict=True))
    methods, scores = methods_of(prompts, run.method_order), _Scores(run)
    datasets = list(dict.fromkeys(_title(prompt) for prompt in prompts))
    failed = _failed_features(run.rows("features"))
    rows = []
    for prompt in prompts:
        reference, motion = None, None
        if prompt.reference is not None:
            view = shown.get(_key(_wanted_reference(prompt, prompt.reference)), ShownClip())
            reference, motion = _clip(prompt.reference, view, (), failed), view.motion
        generated = []
        for index, method in enumerate(methods):
            if (row := prompt.generated.get(method)) is None:
                continue
            clip = _clip(row, shown.get(_key(Wanted(row)), ShownClip()), scores.of(row), failed)
            generated.append({"m": index, **clip})
        rows.append(
            {
                "d": datasets.index(_title(prompt)),
                "id": prompt.sample_id,
                "seed": prompt.seed,
                "prompt": prompt.prompt,
                "shows": _first(prompt.generated.values(), "source_prompt"),
                "edit": _first(prompt.generated.values(), "edit"),
                "motion": motion,
                "reference": reference,
                "clips": generated,
            }
        )
    return {
        "methods": methods,
        "datasets": datasets,
        "metrics": scores.metrics,
        "rows": [{name: value for name, value in row.items() if value is not None} for row in rows],
    }


def as_script(data: Mapping[str, Any]) -> str:
    """The data as a script, since a page on disk may load scripts and nothing else. Text stays text: it is
    pure ASCII, and no "<" could end a script."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return f"window.reelbench = {text};\n".replace("<", "\\u003c")


def _wanted(prompts: Iterable[PromptClips]) -> Iterable[Wanted]:
    """The clips that are done, each once: captions of one video share its reference."""
    found: dict[object, Wanted] = {}
    for prompt in prompts:
        of_prompt = [Wanted(row) for row in prompt.generated.values()]
        if prompt.reference is not None:
            of_prompt.append(_wanted_reference(prompt, prompt.reference))
        found |= {_key(want): want for want in of_prompt if want.row["status"] == "done"}
    return found.values()


def _wanted_reference(prompt: PromptClips, reference: Row) -> Wanted:
    """As long as the clips beside it and at their rate, so that all show the same moment."""
    made = [row for row in prompt.generated.values() if row["status"] == "done" and row["num_frames"]]
    if not made:
        return Wanted(reference)
    ((num_frames, fps), _), *_ = Counter((row["num_frames"], row["fps"]) for row in made).most_common()
    return Wanted(reference, num_frames, fps)


def _key(wanted: Wanted) -> object:
    row = wanted.row
    return row["side"], row["clip_key"], row["path"], wanted.num_frames, wanted.fps


def _title(prompt: PromptClips) -> str:
    return ", ".join(filter(None, (prompt.dataset, prompt.split)))


def _first(rows: Iterable[Row], column: str) -> str | None:
    return next((row[column] for row in rows if row[column]), None)


def _clip(
    row: Row, shown: ShownClip, values: Sequence[float | None], failed: Mapping[object, str]
) -> dict[str, Any]:
    error = ""
    if row["status"] != "done":
        error = no_clip_words(row) + (f": {row['error_message']}" if row["error_message"] else "")
    clip = {
        "f": shown.name,
        "n": shown.num_frames,
        "r": shown.fps,
        "w": row["width"] or shown.width,
        "h": row["height"] or shown.height,
        "s": row["status"] if row["status"] != "done" else None,
        "e": without_machine(error or shown.words or failed.get(_identity(row), "")),
        "t": None if not is_value(row["sampling_s"]) else _rounded(row["sampling_s"]),
        "v": list(values),
    }
    return {name: value for name, value in clip.items() if value not in (None, "", [])}


def _identity(row: Row) -> object:
    return row["dataset"], row["side"], row["method"], row["sample_id"], row["seed"]


def _failed_features(features: Iterable[Row]) -> dict[object, str]:
    """Why a clip that is there could not be measured."""
    found: dict[object, str] = {}
    for row in features:
        if row["status"] == "failed":
            why = ": ".join(filter(None, (row["error_type"], row["error_message"])))
            found.setdefault(_identity(row), f"{row['extractor']}: {why or 'failed'}")
    return found


def _rounded(value: float) -> float:
    return float(f"{value:.{NUM_DIGITS}g}")


class _Scores:
    """The values of clip metrics: a metric under another protocol is another one."""

    def __init__(self, run: RunTables) -> None:
        known = {row["metric"]: row for row in run.summary}
        order = list(known)
        scores = run.rows("scores")
        keys = sorted(
            {(row["metric"], row["protocol_digest"] or "", row["protocol"] or "") for row in scores},
            key=lambda key: (order.index(key[0]) if key[0] in order else len(order), key),
        )
        several = Counter(metric for metric, *_ in keys)
        self.metrics = []
        for metric, _, protocol in keys:
            row = known.get(metric, {})
            label = row.get("label") or metric
            self.metrics.append(
                {
                    "name": f"{metric}, {protocol}" if several[metric] > 1 else metric,
                    "label": f"{label} ({protocol})" if several[metric] > 1 else label,
                    "short": label,
                }
            )
        index = {key[:2]: number for number, key in enumerate(keys)}
        self._values: dict[object, list[float | None]] = {}
        for row in scores:
            if is_value(row["value"]):
                values = self._values.setdefault(self._key(row), [None] * len(keys))
                values[index[row["metric"], row["protocol_digest"] or ""]] = _rounded(row["value"])

    def of(self, row: Row) -> Sequence[float | None]:
        """The values of a generated clip."""
        return self._values.get(self._key(row), ())

    @staticmethod
    def _key(row: Row) -> object:
        return row["dataset"], row["split"], row["sample_id"], row["seed"], row["method"]
