"""Run files and an environment for tests that go through the command line."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

TINY = Path(__file__).parent / "plugins" / "tiny.py"


@pytest.fixture(scope="session")
def tiny_run_file() -> Callable[..., Path]:
    """Write a run file of the classes in plugins/tiny.py, with changes, and return its path."""

    def write(path: Path, output: Path, **changes: object) -> Path:
        data: dict[str, object] = {
            "name": "tiny",
            "output": str(output),
            "methods": [{"name": f"{TINY}:Drift", "label": "drift"}],
            "datasets": [{"name": f"{TINY}:Words", "label": "words"}],
            "metrics": [f"{TINY}:Steadiness"],
            **changes,
        }
        path.write_text(yaml.safe_dump(data))
        return path

    return write


@pytest.fixture
def write_run_file(tmp_path: Path, tiny_run_file: Callable[..., Path]) -> Callable[..., Path]:
    """Write a tiny run file, with changes; its output is `tmp_path / "out"`."""

    def write(**changes: object) -> Path:
        return tiny_run_file(tmp_path / "run.yaml", tmp_path / "out", **changes)

    return write


@pytest.fixture(scope="session")
def clean_environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment for processes: nothing of the developer's settings, and a home folder of its own."""
    hidden = ("PREFECT_", "RAY_", "MLFLOW_", "REELBENCH_", "TINY_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
    return {**kept, "HOME": str(tmp_path_factory.mktemp("home"))}
