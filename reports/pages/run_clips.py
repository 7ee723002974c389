"""The clips of a run, arranged to be looked at: for each prompt, the reference and every method.

Prompts are the first ones of the table, in its order, so nobody picks the good ones without saying so
(`reelbench contact-sheet --sample`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..tables.run_tables import Row, order_key

_NUM_PARENTS_SEARCHED = 5


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
    reference: Row | None
    generated: Mapping[str, Row]


def clips_by_prompt(clips: Iterable[Row], num_prompts: int, seed: int | None = None) -> list[PromptClips]:
    """The first `num_prompts` prompts of each data set and split, with their clips.

    Args:
        clips: rows of the `clips` table.
        num_prompts: prompts of each data set and split.
        seed: the run seed to show; None takes the smallest one there is.
    """
    rows = list(clips)
    if seed is None:
        seeds = [row["seed"] for row in rows if row["side"] == "generated" and row["seed"] is not None]
        seed = min(seeds, default=None)
    references: dict[tuple[str, str, str], Row] = {}
    samples: dict[tuple[str, str], dict[str, dict[str, Row]]] = {}
    for row in rows:
        key = (row["dataset"], row["split"])
        if row["side"] == "reference":
            # By sample first; captions of one video share its reference by source.
            references.setdefault((*key, f"source {row['source']}"), row)
            references[*key, f"sample {row['sample_id']}"] = row
        elif row["seed"] == seed:
            samples.setdefault(key, {}).setdefault(row["sample_id"], {})[row["method"]] = row
    found = []
    for key, by_sample in sorted(samples.items()):
        for sample_id in sorted(by_sample)[:num_prompts]:
            generated = by_sample[sample_id]
            first = next(iter(generated.values()))
            names = (f"sample {sample_id}", f"source {first['source']}")
            reference = next((references[*key, name] for name in names if (*key, name) in references), None)
            found.append(PromptClips(*key, sample_id, first["prompt"] or "", seed, reference, generated))
    return found


def methods_of(prompts: Sequence[PromptClips], order: Sequence[str] = ()) -> list[str]:
    """All methods that have a clip, those of `order` first and in that order."""
    names = {method for prompt in prompts for method in prompt.generated}
    return sorted(names, key=lambda name: order_key(name, order))


def no_clip_words(row: Row | None) -> str:
    """What stands in the place of a clip that is not done; None is one without a row."""
    if row is None:
        return "no clip yet"
    return f"{row['status'] or 'missing'}: {row['error_type'] or 'no clip'}"


def locate(value: str | None, tables_folder: Path) -> Path | None:
    """The file, or folder of frames, that a `path` or `preview` cell names, None where it is not there.

    A relative name is looked for under the tables' folder and those above it: an output folder can be moved.
    """
    if not value:
        return None
    path = Path(value)
    folder = tables_folder.resolve()
    # Joined to a folder, an absolute path is itself.
    roots = [folder, *list(folder.parents)[:_NUM_PARENTS_SEARCHED]]
    return next((root / path for root in roots if (root / path).exists()), None)
