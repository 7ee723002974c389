"""A small world on disk: real videos, real extractors at random weights, a method that fails on demand."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reelbench.core.run_file_loading import parse_run_file
from reelbench.core.store import Store
from reelbench.datasets.video import default_codec, write_lossless
from reelbench.stages.extract import extract_shards, generated_items, prompt_items, reference_items
from reelbench.stages.measuring import Measuring
from reelbench.stages.planning import plan_run
from reelbench.stages.results import RunResult, build_results
from reelbench.stages.sample import sample_shards
from reelbench.stages.tune import tune_shards
from reelbench.stages.upscale import upscale_shards
from reelbench.stages.work import ShardResult, WorkerContext

PLUGINS = '''
import numpy as np
from pathlib import Path
from reelbench.core.contracts import Dataset, FrozenConfig, Method, Session, Upscaler, UpscalerSession
from reelbench.core.types import ClipRef, Conditioning, Sample


class Noise(Method, Session):
    """Clips of noise from the seed; words in the prompt make it fail."""

    class Config(FrozenConfig):
        num_frames: int = 16
        log: str

    name, version, conditioning = "noise", "1", Conditioning.TEXT

    def load(self, device):
        return self

    def generate(self, samples, artifact, seeds):
        for sample, seed in zip(samples, seeds):
            with open(self.config.log, "a") as log:
                log.write(sample.id + "\\n")
            if "raise" in sample.prompt:
                raise ValueError("the prompt asked for it")
            if "nothing" in sample.prompt:
                return
            frames = np.random.default_rng(seed).integers(0, 256, (self.config.num_frames, 32, 32, 3))
            if "nan" in sample.prompt:
                yield np.full(frames.shape, np.nan)
            elif "black" in sample.prompt:
                yield np.zeros(frames.shape, dtype=np.uint8)
            elif "short" in sample.prompt:
                yield frames[:5].astype(np.uint8)
            else:
                yield frames.astype(np.uint8)


class Shade(Method, Session):
    """Tuned on a reference: its first colour; clips are noise under that colour."""

    class Config(FrozenConfig):
        num_frames: int = 16
        strength: int = 2
        log: str

    name, version, conditioning = "shade", "1", Conditioning.TEXT_AND_REFERENCE

    def tuning_config(self):
        return {}

    def reference_frames(self):
        return 12

    def source_frames(self):
        return {"num_frames": self.config.num_frames, "choice": "stride", "start": 1, "stride": 2}

    def load(self, device):
        return self

    def describe(self):
        return {"trainable_parameters": 3}

    def tune(self, reference, prompt, seed, *, checkpoint=None):
        with open(self.config.log, "a") as log:
            log.write(f"tune:{prompt.replace(' ', '_')}:{len(reference)}\\n")
        if "untunable" in prompt:
            checkpoint.write_text("half")
            raise ValueError("the prompt asked for it")
        return reference[0, 0, 0].tobytes()

    def generate(self, samples, artifact, seeds):
        if artifact is None:
            raise ValueError("no artifact")
        for sample, seed in zip(samples, seeds):
            with open(self.config.log, "a") as log:
                log.write(sample.id + "\\n")
            if "raise" in sample.prompt:
                raise ValueError("the prompt asked for it")
            frames = np.random.default_rng(seed).integers(0, 256, (self.config.num_frames, 32, 32, 3))
            yield (frames // self.config.strength + np.frombuffer(artifact, np.uint8) // 2).astype(np.uint8)


class Given(Method, Session):
    """Shows the frames that it is given, then the last of them; prediction."""

    class Config(FrozenConfig):
        num_frames: int = 16
        log: str

    name, version, conditioning = "given", "1", Conditioning.TEXT_AND_FRAMES

    def load(self, device):
        return self

    def generate(self, samples, artifact, seeds):
        for sample, seed in zip(samples, seeds):
            with open(self.config.log, "a") as log:
                log.write(sample.id + "\\n")
            rest = self.config.num_frames - len(sample.context)
            yield np.concatenate([sample.context, sample.context[-1:].repeat(rest, axis=0)])


class Doubled(Upscaler, UpscalerSession):
    """Every pixel four times."""

    class Config(FrozenConfig):
        factor: int = 2

    name, version = "doubled", "1"

    def load(self, device):
        return self

    def upscale(self, frames, prompt, seed):
        if "unscalable" in prompt:
            raise ValueError("the prompt asked for it")
        return frames.repeat(self.config.factor, axis=1).repeat(self.config.factor, axis=2)


class Folder(Dataset):
    """The videos of a folder: one sample each, `prompts.txt` beside them.

    A line is name|prompt, or for an edit name|prompt|video|source prompt|kind.
    """

    class Config(FrozenConfig):
        root: str
        num_context_frames: int = 0

    name, split, task = "folder", "test", "text-to-video"

    def __len__(self):
        return len(list(iter(self)))

    def __iter__(self):
        root = Path(self.config.root)
        for line in (root / "prompts.txt").read_text(encoding="utf-8").splitlines():
            name, prompt, *edit = line.split("|")
            if edit:
                video, source_prompt, kind = edit
                yield Sample(
                    id=name,
                    prompt=prompt,
                    source=video,
                    reference=ClipRef(root / f"{video}.mkv"),
                    source_prompt=source_prompt,
                    edit=kind,
                )
            else:
                ref = ClipRef(root / f"{name}.mkv")
                given = self.config.num_context_frames
                yield Sample(name, prompt, name, ref, num_context_frames=given)

    def fingerprint(self):
        return self.config.root

    def notes(self):
        path = Path(self.config.root) / "notes.txt"
        return tuple(path.read_text().splitlines()) if path.exists() else ()
'''


class World:
    """A run over a folder of videos, worked through stage by stage in this process."""

    def __init__(self, folder: Path, weights: dict[str, str]) -> None:
        self.folder = folder
        (folder / "data").mkdir()
        (folder / "plugins.py").write_text(PLUGINS)
        self.log = folder / "generated.log"
        self.started: datetime.datetime | None = None
        self.measurings: list[Measuring] = []
        self.data = {
            "name": "small",
            "output": str(folder / "out"),
            "methods": [
                {"name": f"{folder}/plugins.py:Noise", "label": "noise", "config": {"log": str(self.log)}},
            ],
            "datasets": [
                {
                    "name": f"{folder}/plugins.py:Folder",
                    "label": "folder",
                    "config": {"root": str(folder / "data")},
                }
            ],
            "weights": weights,
        }

    def write(self, prompts: dict[str, str], num_frames: int = 20) -> None:
        """Reference videos and prompts, by name."""
        lines = []
        for index, (name, prompt) in enumerate(prompts.items()):
            frames = np.random.default_rng(index).integers(0, 256, (num_frames, 32, 32, 3), dtype=np.uint8)
            write_lossless(self.folder / "data" / f"{name}.mkv", frames, 8.0)
            lines.append(f"{name}|{prompt}")
        (self.folder / "data" / "prompts.txt").write_text("\n".join(lines), encoding="utf-8")

    def write_edits(self, edits: dict[str, Any], num_frames: int = 20) -> None:
        """Reference videos, and the edits of each: {video: (source prompt, {kind: prompt})}."""
        self.write({video: prompt for video, (prompt, _) in edits.items()}, num_frames)
        lines = [
            f"{video}-{kind}|{prompt}|{video}|{source_prompt}|{kind}"
            for video, (source_prompt, prompts) in edits.items()
            for kind, prompt in prompts.items()
        ]
        (self.folder / "data" / "prompts.txt").write_text("\n".join(lines), encoding="utf-8")

    def method(self, name: str, **changes: Any) -> dict[str, Any]:
        """An entry of the run file for a method of plugins.py."""
        entry = {"name": f"{self.folder}/plugins.py:{name}", "label": name.lower()}
        return entry | {"config": {"log": str(self.log)}} | changes

    def generated(self) -> list[str]:
        """Ids in the order in which the method was asked for them."""
        return self.log.read_text().split() if self.log.exists() else []

    def run(self, **changes: Any) -> tuple[dict[str, Any], RunResult, list[ShardResult]]:
        """All stages; the tables as lists of rows, and what build_results returns."""
        import pyarrow.parquet as pq

        run = parse_run_file(self.data | changes)
        store = Store(run.store_dir, default_codec())
        context = WorkerContext(store, "cpu")
        plan, parts = plan_run(run, store)
        measuring = parts[0].measuring
        files = store.digests("videos")
        results = []
        for cell in plan.cells:
            for shards in (tune_shards(cell), sample_shards(cell, 2), upscale_shards(cell, 2)):
                results += [shard.run(context) for shard in shards]
        items = [
            *(item for cell in plan.cells for item in generated_items(cell, measuring, files, store)),
            *(item for data in plan.datasets for item in reference_items(data, measuring, files, store)),
            *prompt_items(plan.datasets, measuring),
        ]
        results += [shard.run(context) for shard in extract_shards("all", items, measuring, store, 3)]
        result = build_results(run, parts, store, files, started=self.started)
        self.measurings = [part.measuring for part in parts]
        tables = {path.stem: pq.read_table(path).to_pylist() for path in result.tables_dir.glob("*.parquet")}
        return tables, result, results


@pytest.fixture
def world(tmp_path: Path, weights: dict[str, str]) -> World:
    return World(tmp_path, weights)
