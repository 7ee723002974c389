"""prefect.yaml without a server: what it names is there, and what a deployment's parameters may name."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
import yaml

from reelbench.core import registry
from reelbench.core.errors import ReelbenchError, RunFileError
from reelbench.core.run_file_loading import load_run_file
from reelbench.flows.parameters import ALLOW_OUTSIDE_HOME, ALLOW_PLUGIN_FILES, check_parameters
from reelbench.flows.servers.serving import POOL

ROOT = Path(__file__).resolve().parent.parent.parent
DEPLOYMENTS = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=[found["name"] for found in DEPLOYMENTS])
def test_a_deployment_is_one_that_can_run(deployment: dict[str, Any]) -> None:
    from prefect import Flow
    from prefect.client.schemas.schedules import CronSchedule
    from prefect.utilities.schema_tools import validate

    module, _, name = deployment["entrypoint"].partition(":")
    flow = getattr(importlib.import_module(module), name)
    assert isinstance(flow, Flow)
    assert deployment["description"]
    assert deployment["tags"]
    assert deployment["work_pool"]["name"] == POOL
    assert deployment["concurrency_limit"] == {"limit": 1, "collision_strategy": "ENQUEUE"}
    for schedule in deployment.get("schedules", ()):
        assert schedule["active"] is False
        CronSchedule(cron=schedule["cron"], timezone=schedule["timezone"])

    schema = flow.parameters.model_dump()
    parameters = deployment.get("parameters", {})
    run_file = parameters.get("run_file")
    if run_file is None:
        assert validate(parameters, schema, raise_on_error=False), "run_file must be asked for"
        parameters = {**parameters, "run_file": "a.yaml"}
    else:
        load_run_file(ROOT / run_file)
    assert validate(parameters, schema, raise_on_error=False) == []
    assert set(parameters) <= set(schema["properties"])


@pytest.fixture
def started_by_prefect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT__FLOW_RUN_ID", "00000000-0000-0000-0000-000000000000")
    monkeypatch.setenv("REELBENCH_HOME", str(tmp_path))
    monkeypatch.delenv(ALLOW_PLUGIN_FILES, raising=False)
    monkeypatch.delenv(ALLOW_OUTSIDE_HOME, raising=False)
    monkeypatch.setattr(registry, "_refusal", None)
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("started_by_prefect")
def test_paths_outside_of_the_home_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "link").symlink_to("/etc")
    check_parameters(run_file="configs/a.yaml", output=None)
    check_parameters(run_file=str(tmp_path / "b.yaml"), output="configs/../out")
    for outside in ("/etc/passwd", "../a.yaml", "link/passwd"):
        with pytest.raises(ReelbenchError, match="outside of REELBENCH_HOME") as caught:
            check_parameters(run_file=outside)
        assert f"run_file={outside} is outside" in caught.value.message
        with pytest.raises(ReelbenchError, match="output="):
            check_parameters(run_file="a.yaml", output=outside)
    monkeypatch.setenv(ALLOW_OUTSIDE_HOME, "0")
    with pytest.raises(ReelbenchError, match="outside"):
        check_parameters(run_file="/etc/passwd")
    monkeypatch.setenv(ALLOW_OUTSIDE_HOME, "1")
    check_parameters(run_file="/etc/passwd")


@pytest.mark.usefixtures("started_by_prefect")
def test_classes_from_files_are_refused_before_they_are_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_run_file: Any
) -> None:
    trap = tmp_path / "trap.py"
    trap.write_text("from pathlib import Path\nPath('sprung').touch()\nclass Trap: ...\n")
    run_files = [
        write_run_file(),
        write_run_file(methods=[{"name": f"{trap}:Trap"}]),
        write_run_file(methods=["ddim-frames"], datasets=["msrvtt"], metrics=[f"{trap}:Trap"]),
        write_run_file(
            methods=[{"name": "ddim-frames", "upscale": {"name": f"{trap}:Trap"}}], datasets=["msrvtt"]
        ),
    ]
    check_parameters(run_file="run.yaml")
    for run_file in run_files[1:]:
        with pytest.raises(RunFileError, match="takes no class from a file"):
            load_run_file(run_file)
    assert not (tmp_path / "sprung").exists()
    monkeypatch.setattr(registry, "_refusal", None)
    monkeypatch.setenv(ALLOW_PLUGIN_FILES, "1")
    check_parameters(run_file="run.yaml")
    load_run_file(write_run_file())


def test_the_command_line_may_name_anything(monkeypatch: pytest.MonkeyPatch, write_run_file: Any) -> None:
    monkeypatch.delenv("PREFECT__FLOW_RUN_ID", raising=False)
    check_parameters(run_file="/etc/passwd")
    load_run_file(write_run_file())
