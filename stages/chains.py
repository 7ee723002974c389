"""The steps of a run: what each cell goes through, and what its shards are once they are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..core.file_digests import FileDigests
from ..core.plan import Cell, Plan
from ..core.store import Store
from .extract import extract_shards, generated_items, prompt_items, reference_items
from .planning import Part
from .sample import sample_shards
from .schedule import Stage, Step
from .tune import tune_shards
from .upscale import upscale_shards
from .work import Shard

REFERENCES = "references and prompts"


def run_chains(
    plan: Plan, parts: Sequence[Part], store: Store, files: FileDigests, shard_size: int
) -> list[list[Step]]:
    """The steps of a run: a chain for each cell, and one for what no method makes.

    Args:
        plan: the whole run.
        parts: which data sets are measured how.
        files: digests of video files.
        shard_size: samples in a shard.
    """
    part_of = {dataset.label: part for part in parts for dataset in part.plan.datasets}
    # Features are cheap beside clips: larger shards, fewer part files.
    features = _Features(store, files, 4 * shard_size)
    chains = [_cell_chain(cell, part_of[cell.dataset_label], features, shard_size) for cell in plan.cells]
    return [*chains, [Step(Stage.EXTRACT, REFERENCES, 0, lambda: features.references(parts))]]


def _cell_chain(cell: Cell, part: Part, features: _Features, size: int) -> list[Step]:
    sample = Step(Stage.SAMPLE, cell.key, len(cell.missing_bases), lambda: sample_shards(cell, size))
    chain = [sample, Step(Stage.EXTRACT, cell.key, cell.num_missing, lambda: features.clips(cell, part))]
    if cell.method.tuning_key is not None:
        chain.insert(0, Step(Stage.TUNE, cell.key, len(cell.missing_tunings), lambda: tune_shards(cell)))
    if cell.method.upscaler is not None:
        upscale = Step(Stage.UPSCALE, cell.key, cell.num_missing, lambda: upscale_shards(cell, size))
        chain.insert(-1, upscale)
    return chain


@dataclass(frozen=True)
class _Features:
    """Shards of the features that are missing, as they are known when their clips are there."""

    store: Store
    files: FileDigests
    shard_size: int

    def clips(self, cell: Cell, part: Part) -> Sequence[Shard]:
        items = generated_items(cell, part.measuring, self.files, self.store)
        return extract_shards(cell.key, items, part.measuring, self.store, self.shard_size)

    def references(self, parts: Sequence[Part]) -> Sequence[Shard]:
        found: list[Shard] = []
        for part in parts:
            items = [
                item
                for dataset in part.plan.datasets
                for item in reference_items(dataset, part.measuring, self.files, self.store)
            ]
            items += prompt_items(part.plan.datasets, part.measuring)
            found += extract_shards(REFERENCES, items, part.measuring, self.store, self.shard_size)
        self.files.save()
        return found
