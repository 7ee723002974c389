"""The run files in configs/: each is valid, and what its comments say fits what it holds."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from reelbench.core import registry
from reelbench.core.run_file_loading import load_run_file
from reelbench.methods.prediction.config import FcaConfig
from reelbench.metrics.protocol import load_protocol

CONFIGS = Path(__file__).resolve().parent.parent / "configs"


@pytest.mark.parametrize("path", sorted(CONFIGS.rglob("*.yaml")), ids=lambda path: path.stem)
def test_a_run_file_is_valid_and_named_as_its_file(path: Path) -> None:
    run = load_run_file(path)
    load_protocol(run.protocol)
    assert run.name == "-".join(path.relative_to(CONFIGS).with_suffix("").parts)
    assert run.description


def test_the_same_methods_and_clips_are_measured_under_both_protocols_of_prediction() -> None:
    seer, predicted = (load_run_file(CONFIGS / f"{name}.yaml") for name in ("prediction", "predicted"))
    assert seer.methods == predicted.methods
    assert seer.datasets == predicted.datasets
    assert (seer.limit, seer.metrics, seer.weights) == (predicted.limit, predicted.metrics, predicted.weights)
    assert load_protocol(seer.protocol).sampling.context_frames == "keep"
    assert load_protocol(predicted.protocol).sampling.context_frames == "drop"


def test_more_clips_are_all_that_the_larger_comparison_changes() -> None:
    few, many = (load_run_file(CONFIGS / f"{name}.yaml") for name in ("predicted", "predicted-256"))
    assert (many.methods, many.metrics, many.weights) == (few.methods, few.metrics, few.weights)
    assert many.protocol == few.protocol
    assert many.limit == 4 * few.limit


def test_every_data_set_of_prediction_gives_the_two_frames_that_a_velocity_needs() -> None:
    for name in ("prediction", "predicted", "predicted-256", "prediction-ablation"):
        run = load_run_file(CONFIGS / f"{name}.yaml")
        for entry in run.datasets:
            config = registry.get("datasets", entry.name).Config.model_validate(entry.config)
            assert config.num_context_frames == 2


def test_the_ablations_are_those_that_the_comments_train() -> None:
    path = CONFIGS / "prediction-ablation.yaml"
    told = dict(re.findall(r"^#   train (\S+) +'(.*?)'", path.read_text(encoding="utf-8"), re.MULTILINE))
    run = load_run_file(path)
    assert [method.label for method in run.methods] == list(told)
    structures = {name: FcaConfig.model_validate(yaml.safe_load(text)) for name, text in told.items()}
    assert len(set(structures.values())) == len(told)
    full = structures["full"].model_dump()
    for name, structure in structures.items():
        changed = {field for field, value in structure.model_dump().items() if value != full[field]}
        assert len(changed) == (0 if name == "full" else 1)
    for method in run.methods:
        assert method.config["trained"] == f"out/fca-ablation/{method.label}/fca"
