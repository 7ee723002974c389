"""Run files, an environment for tests of the command line, extractors' weights, an empty MLflow."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

TINY = Path(__file__).parent / "plugins" / "tiny.py"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files that start servers come first: they are the longest, and the last one ends the suite."""
    long = {item.path for item in items if item.get_closest_marker("e2e")}
    items.sort(key=lambda item: item.path not in long)


@pytest.fixture(scope="session", autouse=True)
def _interruptible() -> Iterator[None]:
    """Processes that tests start heed SIGINT, also where the suite's parent ignores it (`nohup`).

    What is ignored is inherited; what is handled, as it is now, is not.
    """
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


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


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Extractors of the real classes at random weights and tiny size."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    from reelbench.metrics.extractors.i3d.network import InceptionI3d

    root = tmp_path_factory.mktemp("weights")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        (root / "i3d").mkdir()
        network = InceptionI3d(width_multiplier=0.0625, num_classes=4)
        config = {"width_multiplier": 0.0625, "num_classes": 4, "classes": list("abcd")}
        (root / "i3d" / "config.json").write_text(json.dumps(config))
        save_file(network.state_dict(), root / "i3d" / "model.safetensors")
        (root / "clip").mkdir()
        model_cfg = {
            "embed_dim": 16,
            "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 8},
            "text_cfg": {"context_length": 24, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
        }
        clip = open_clip.CLIP(**model_cfg)
        preprocess = {"mean": [0.5] * 3, "std": [0.25] * 3}
        (root / "clip" / "open_clip_config.json").write_text(
            json.dumps({"model_cfg": model_cfg, "preprocess_cfg": preprocess})
        )
        state = {name: value.contiguous() for name, value in clip.state_dict().items()}
        save_file(state, root / "clip" / "open_clip_model.safetensors")
    return {"i3d": str(root / "i3d"), "clip": str(root / "clip")}


@pytest.fixture(autouse=True)
def _no_server_of_another_test() -> Iterator[None]:
    """A test that leaves the address of its Prefect server behind must not send later ones there."""
    before = {name: value for name, value in os.environ.items() if name.startswith("PREFECT_")}
    yield
    for name in [name for name in os.environ if name.startswith("PREFECT_")]:
        if name not in before:
            del os.environ[name]
    os.environ.update(before)


@pytest.fixture(scope="session")
def empty_mlflow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's tables, made once: the migrations take seconds."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        from mlflow.tracking import MlflowClient

        MlflowClient(tracking_uri=f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def mlflow_uri(empty_mlflow: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of an empty MLflow of its own; the working directory is an empty folder."""
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    (tmp_path / "mlflow").mkdir()
    shutil.copyfile(empty_mlflow, tmp_path / "mlflow" / "mlflow.db")
    return f"sqlite:///{tmp_path}/mlflow/mlflow.db"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium that is on this machine, driven by Playwright; tests are skipped without one.

    For one file: Playwright keeps an event loop of its own running until it ends.
    """
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.skip("no Chromium on this machine")
    from playwright.sync_api import sync_playwright

    quiet = ("networking", "timer-throttling")
    flags = [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-component-update",
        "--disable-sync",
        "--no-first-run",
    ]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=found, args=[*flags, *(f"--disable-background-{name}" for name in quiet)]
        )
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page of the browser that fails the test at its end where the console had an error."""
    context = browser.new_context()
    opened, errors = context.new_page(), []
    opened.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    opened.on("pageerror", lambda error: errors.append(str(error)))
    yield opened
    context.close()
    assert not errors, errors
