"""Keys that cannot lie: a subclass of a built-in is another method, and an edited file is other work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reelbench.core import registry
from reelbench.core.errors import ReelbenchError, RunFileError
from reelbench.core.planner import make_plan
from reelbench.core.run_file_loading import parse_run_file
from reelbench.core.store import Store
from reelbench.datasets.video import default_codec
from reelbench.metrics.protocol import load_protocol
from reelbench.metrics.signature import signature
from reelbench.stages.measuring import measuring_under
from reelbench.stages.scoring.metric_calls import score_key
from reelbench.stages.work import PluginSpec

PLUGINS = """
from reelbench.core.contracts import Dataset, FrozenConfig
from reelbench.core.types import Sample
from reelbench.methods.zero_shot.zs2 import Zs2
from reelbench.metrics.clips.consistency import FrameConsistencyConsecutive
from reelbench.metrics.extractors.pixel_difference import PixelDifference

class Tweaked(Zs2):
    pass

class Always42(FrameConsistencyConsecutive):
    def compute(self, features): return 42.0

class Doubled(PixelDifference):
    pass

class Words(Dataset):
    class Config(FrozenConfig): pass
    name, split, task = "words", "test", "text-to-video"
    def __len__(self): return 2
    def __iter__(self): return (Sample(id=f"w{i}", prompt="a", source=f"w{i}") for i in range(2))
    def fingerprint(self): return "w"

class Broken(Words):
    name = "broken"
    def __iter__(self):
        yield Sample(id="w0", prompt="a", source="w0")
        raise ZeroDivisionError("in the second one")
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "plugins.py"
    path.write_text(PLUGINS)
    return path


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store", default_codec())


def plan(file: Path, store: Store, *methods: str, datasets: tuple[str, ...] = ("Words",)) -> Any:
    data = {
        "name": "keys",
        "methods": [{"name": name, "label": f"m{index}"} for index, name in enumerate(methods)],
        "datasets": [{"name": f"{file}:{name}", "label": name.lower()} for name in datasets],
        "seeds": [0],
    }
    return make_plan(parse_run_file(data), store)


def test_a_subclass_of_a_built_in_has_clips_of_its_own(file: Path, store: Store) -> None:
    (ours,), (theirs,) = (plan(file, store, name).cells for name in ("zs2", f"{file}:Tweaked"))
    assert ours.method.plugin.name == theirs.method.plugin.name == "zs2"
    assert {task.key for task in ours.tasks}.isdisjoint(task.key for task in theirs.tasks)


def test_beside_its_parent_it_needs_a_name_of_its_own(file: Path, store: Store) -> None:
    with pytest.raises(RunFileError, match=r"two methods call themselves 'zs2'.*plugins\.py"):
        plan(file, store, "zs2", f"{file}:Tweaked")
    file.write_text(PLUGINS.replace("class Tweaked(Zs2):\n    pass", 'class Tweaked(Zs2):\n    name = "tw"'))
    assert len(plan(file, store, "zs2", f"{file}:Tweaked").cells) == 2


def test_what_an_edited_file_made_before_is_missing(file: Path, store: Store) -> None:
    (cell,) = plan(file, store, f"{file}:Tweaked").cells
    for task in cell.tasks:
        clip = np.random.default_rng(0).integers(1, 256, (16, 32, 32, 3), dtype=np.uint8)
        store.clips.put(
            task.key, clip, 8.0, method_key=cell.method.key, sample_id=task.sample.id, prompt="a", seed=0
        )
    assert plan(file, store, f"{file}:Tweaked").num_missing == 0
    file.write_text(PLUGINS + "\n# edited\n")
    assert plan(file, store, f"{file}:Tweaked").num_missing == 2
    file.write_text(PLUGINS)
    assert plan(file, store, f"{file}:Tweaked").num_missing == 0


def test_a_worker_refuses_what_was_edited_since(file: Path, store: Store) -> None:
    (cell,) = plan(file, store, f"{file}:Tweaked").cells
    spec = PluginSpec.of("methods", f"{file}:Tweaked", cell.method.plugin)
    file.write_text(PLUGINS + "\n# edited\n")
    with pytest.raises(ReelbenchError, match=r"plugins\.py:Tweaked was edited while the run was going on"):
        spec.load("cpu")


def test_a_metric_says_in_signature_and_key_whose_code_it_is(file: Path) -> None:
    protocol = load_protocol("clean")
    names = ("frame_consistency_consecutive", f"{file}:Always42")
    ours, theirs = (registry.get("metrics", name)(protocol) for name in names)
    assert ours.name == theirs.name
    assert score_key(ours, ["a"]) != score_key(theirs, ["a"])
    texts = [signature(metric, protocol, {}, 3).split("|")[0] for metric in (ours, theirs)]
    assert texts[0] == "frame_consistency_consecutive.1"
    assert texts[1].startswith("frame_consistency_consecutive.1+")


def test_so_does_an_extractor(file: Path, store: Store) -> None:
    protocol = load_protocol("clean")
    file.write_text(
        PLUGINS
        + "from reelbench.metrics.clips.flickering import TemporalFlickering\n"
        + f"class Mine(TemporalFlickering):\n    name = 'mine'\n    needs = ('{file}:Doubled',)\n"
    )
    measuring = measuring_under(protocol, [f"{file}:Mine"], {}, store)
    (extractor,) = measuring.extractors.values()
    assert extractor.source is not None
    assert f"code:pixel_difference+{extractor.source[:8]}" in signature(measuring.metrics[0], protocol, {}, 3)


def test_metrics_and_extractors_of_one_name_are_refused(file: Path, store: Store) -> None:
    protocol = load_protocol("clean")
    with pytest.raises(ReelbenchError, match="two metrics call themselves 'frame_consistency_consecutive'"):
        measuring_under(protocol, ["frame_consistency_consecutive", f"{file}:Always42"], {}, store)
    file.write_text(
        PLUGINS
        + "from reelbench.metrics.clips.flickering import TemporalFlickering\n"
        + f"class Mine(TemporalFlickering):\n    name = 'mine'\n    needs = ('{file}:Doubled',)\n"
    )
    with pytest.raises(ReelbenchError, match="two extractors call themselves 'pixel_difference'"):
        measuring_under(protocol, ["temporal_flickering", f"{file}:Mine"], {}, store)


def test_a_data_set_whose_code_fails_costs_its_own_cells(file: Path, store: Store) -> None:
    made = plan(file, store, "zs2", datasets=("Words", "Broken"))
    assert [cell.dataset_label for cell in made.cells] == ["words"]
    (failure,) = made.failures
    assert "data set 'broken' failed: ZeroDivisionError: in the second one" in failure.message
    with pytest.raises(ReelbenchError, match="in the second one"):
        plan(file, store, "zs2", datasets=("Broken",))
