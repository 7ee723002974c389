"""The plan: keys from the run file alone, hits from the store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reelbench.core.errors import DatasetError
from reelbench.core.plan import Plan
from reelbench.core.planner import make_plan
from reelbench.core.run_file_loading import parse_run_file
from reelbench.core.store import Store

PLUGINS = """
from reelbench.core.contracts import Dataset, FrozenConfig, Method
from reelbench.core.errors import WeightsError
from reelbench.core.types import Conditioning, Sample, WeightsRef

class Toy(Method):
    class Config(FrozenConfig):
        shade: int = 1
    name, version, conditioning = "toy", "1", Conditioning.TEXT
    def load(self, device): raise NotImplementedError

class List(Dataset):
    class Config(FrozenConfig):
        count: int = 6
        repeat: bool = False
    name, split, task = "list", "test", "text-to-video"
    def __len__(self): return self.config.count
    def __iter__(self):
        for i in range(self.config.count):
            i = 0 if self.config.repeat else i
            yield Sample(id=f"s{i}", prompt=f"prompt {i}", source=f"v{i}")
    def fingerprint(self): return "f"

class Trained(Toy):
    class Config(FrozenConfig):
        base: str = ""
    name = "trained"
    def weights(self): return (WeightsRef("base", self.config.base),)
    def structure(self):
        if self.config.base.endswith("other"): raise WeightsError("cannot be read")
        return {"rank": 4}
"""


@pytest.fixture
def run_data(tmp_path: Path) -> dict[str, Any]:
    file = tmp_path / "plugins.py"
    file.write_text(PLUGINS)
    return {
        "name": "tiny",
        "methods": [{"name": f"{file}:Toy", "label": "toy"}],
        "datasets": [{"name": f"{file}:List", "label": "list"}],
        "seeds": [0, 1],
    }


def plan(data: dict[str, Any], store: Store) -> Plan:
    return make_plan(parse_run_file(data), store)


def keys_of(made: Plan) -> list[str]:
    return [task.key for cell in made.cells for task in cell.tasks]


def test_methods_data_sets_and_seeds_make_cells(run_data: dict[str, Any], store: Store) -> None:
    made = plan(run_data, store)
    assert [cell.key for cell in made.cells] == ["toy/list/seed0", "toy/list/seed1"]
    assert made.num_samples == made.num_missing == 12
    assert len(set(keys_of(made))) == 12
    assert made.cells[0].estimate_s is None  # nothing has been timed yet


def test_a_larger_run_file_amends_the_smaller_one(run_data: dict[str, Any], store: Store) -> None:
    small = plan(run_data | {"limit": 2, "seeds": [0]}, store)
    large = plan(run_data, store)
    assert set(keys_of(small)) < set(keys_of(large))


def test_the_key_follows_the_configuration(run_data: dict[str, Any], store: Store) -> None:
    other = {**run_data, "methods": [{**run_data["methods"][0], "config": {"shade": 2}}]}
    assert not set(keys_of(plan(run_data, store))) & set(keys_of(plan(other, store)))


def test_the_key_follows_what_weights_are_and_not_where_they_lie(
    run_data: dict[str, Any], store: Store, tmp_path: Path
) -> None:
    for name, content in (("here", b"numbers"), ("there", b"numbers"), ("other", b"others")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "weights.bin").write_bytes(content)
    plugin = run_data["methods"][0]["name"].replace(":Toy", ":Trained")

    def keys_at(name: str) -> list[str]:
        entry = {"name": plugin, "label": "trained", "config": {"base": str(tmp_path / name)}}
        return keys_of(plan({**run_data, "methods": [entry]}, store))

    assert keys_at("here") == keys_at("there")
    assert not set(keys_at("here")) & set(keys_at("other"))


def test_tables_record_what_was_trained_where_it_can_be_read(
    run_data: dict[str, Any], store: Store, tmp_path: Path
) -> None:
    plugin = run_data["methods"][0]["name"].replace(":Toy", ":Trained")
    entries = []
    for name in ("sound", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "weights.bin").write_bytes(b"numbers")
        entries.append({"name": plugin, "label": name, "config": {"base": str(tmp_path / name)}})
    sound, other = plan({**run_data, "methods": entries}, store).methods
    assert sound.recorded_config == {"base": str(tmp_path / "sound"), "structure": {"rank": 4}}
    assert other.recorded_config == {"base": str(tmp_path / "other")}


def test_hits_misses_failures_and_estimates_come_from_the_store(
    run_data: dict[str, Any], store: Store
) -> None:
    cell = plan(run_data, store).cells[0]
    fields = {"method_key": cell.method.key, "prompt": "p"}
    frames = np.ones((2, 4, 4, 3), dtype=np.uint8)
    for task in cell.tasks[:2]:
        store.clips.put(task.key, frames, 8.0, sample_id=task.sample.id, seed=task.seed, **fields)
        store.put_timing(cell.method.key, 3.0, 1000)
    bad = cell.tasks[2]
    store.clips.put_failure(bad.key, ValueError("x"), sample_id=bad.sample.id, seed=bad.seed, **fields)
    cell = plan(run_data, store).cells[0]
    assert (cell.num_done, cell.num_missing, cell.num_failed) == (2, 4, 1)
    assert (cell.estimate_s, cell.estimate_bytes) == (12.0, 4000)
    assert bad in cell.missing  # a failure is tried again


def test_data_sets_without_samples_or_with_a_repeated_id_are_refused(
    run_data: dict[str, Any], store: Store
) -> None:
    def with_config(config: dict[str, Any]) -> dict[str, Any]:
        return {**run_data, "datasets": [{**run_data["datasets"][0], "config": config}]}

    with pytest.raises(DatasetError, match="no samples"):
        plan(with_config({"count": 0}), store)
    with pytest.raises(DatasetError, match="two samples of the id 's0'"):
        plan(with_config({"repeat": True}), store)
