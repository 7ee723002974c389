"""The clips of a run, arranged to be looked at: for each prompt, the reference and every method.

Prompts are the first ones of the table, in its order, so nobody picks the good ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_NUM_PARENTS_SEARCHED = 4


@dataclass(frozen=True)
class PromptClips:
    """What was made for one prompt.

    Attributes:
        dataset, split, sample_id, prompt: the sample.
        seed: the run seed of the generated clips.
        reference: the reference's row of the `clips` table, None where the task has none.
        generated: the methods' rows; a method without a row has no clip there yet.
    """

    dataset: str
    split: str
    sample_id: str
    prompt: str
    seed: int | None
    reference: Mapping[str, Any] | None
    generated: Mapping[str, Mapping[str, Any]]


def clips_by_prompt(
    clips: Iterable[Mapping[str, Any]], num_prompts: int, seed: int | None = None
) -> list[PromptClips]:
    """The first `num_prompts` prompts of each data set and split, with their clips.

    Args:
        clips: rows of the `clips` table.
        num_prompts: prompts of each data set and split.
        seed: the run seed to show; None takes the smallest one there is.
    """
    rows = list(clips)
    seeds = [row["seed"] for row in rows if row["side"] == "generated" and row["seed"] is not None]
    shown_seed = seed if seed is not None else min(seeds, default=None)
    references: dict[tuple[str, str, str], Mapping[str, Any]] = {}
    for row in rows:
        if row["side"] == "reference":
            # By sample first; captions of one video share its reference by source.
            references.setdefault((row["dataset"], row["split"], f"source {row['source']}"), row)
            references[row["dataset"], row["split"], f"sample {row['sample_id']}"] = row
    samples: dict[tuple[str, str], dict[str, dict[str, Mapping[str, Any]]]] = {}
    for row in rows:
        if row["side"] == "generated" and row["seed"] == shown_seed:
            of_dataset = samples.setdefault((row["dataset"], row["split"]), {})
            of_dataset.setdefault(row["sample_id"], {})[row["method"]] = row
    found = []
    for (dataset, split), by_sample in sorted(samples.items()):
        for sample_id in sorted(by_sample)[:num_prompts]:
            generated = by_sample[sample_id]
            first = next(iter(generated.values()))
            reference = references.get((dataset, split, f"sample {sample_id}")) or references.get(
                (dataset, split, f"source {first['source']}")
            )
            found.append(
                PromptClips(
                    dataset, split, sample_id, first["prompt"] or "", shown_seed, reference, generated
                )
            )
    return found


def methods_of(prompts: Sequence[PromptClips], order: Sequence[str] = ()) -> list[str]:
    """All methods that have a clip, those of `order` first and in that order."""
    names = {method for prompt in prompts for method in prompt.generated}
    return sorted(names, key=lambda name: (order.index(name) if name in order else len(order), name))


def locate(value: str | None, tables_folder: Path, media_root: Path | None = None) -> Path | None:
    """The file, or folder of frames, that a `path` or `preview` cell names, None where it is not there.

    A relative name is looked for under `media_root`, or, where none is given, under the folder of
    the tables and the folders above it, so that an output folder can be moved as a whole.
    """
    if not value:
        return None
    path = Path(value)
    if path.is_absolute():
        return path if path.exists() else None
    folder = tables_folder.resolve()
    roots = [media_root] if media_root else [folder, *list(folder.parents)[:_NUM_PARENTS_SEARCHED]]
    return next((root / path for root in roots if (root / path).exists()), None)
