"""The files in deploy/: what they name is there, nothing is open to others, no secret stands in them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
DEPLOY = ROOT / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
SECRETS = re.findall(r"^([A-Z_]+)=$", (DEPLOY / ".env.example").read_text(encoding="utf-8"), re.MULTILINE)


def test_the_parts_that_a_cluster_needs_are_there() -> None:
    assert set(SERVICES) == {"postgres", "prefect", "mlflow", "ray-head", "ray-node", "setup", "worker"}
    assert SERVICES["worker"]["environment"]["RAY_ADDRESS"] == "ray-head:6379"
    for name in ("prefect", "mlflow"):
        assert "@postgres:5432/" in str(SERVICES[name]["environment"])


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_closed_and_watched(name: str) -> None:
    service = SERVICES[name]
    for port in service.get("ports", ()):
        assert port.startswith("127.0.0.1:"), "a published port is for this machine alone"
    # What is done once is waited for by its exit code, and stays ended.
    assert "healthcheck" in service or service["restart"] == "no"
    assert set(service.get("depends_on", ())) <= set(SERVICES)
    for volume in service.get("volumes", ()):
        source = volume.partition(":")[0]
        assert source in COMPOSE["volumes"] or (DEPLOY / source).is_file()
    assert "privileged" not in service


def test_passwords_come_from_the_env_file_and_stand_in_no_command() -> None:
    text = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
    assert set(re.findall(r"\$\{([A-Z_]+)[:}]", text)) == set(SECRETS)
    for name in SECRETS:
        assert f"${{{name}:?" in text, "one that is missing must stop the start"
    assert "${" not in str([service.get("command") for service in SERVICES.values()])
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").split()
    assert "deploy/.env" in ignored


def test_the_image_holds_what_it_copies_and_runs_as_nobody_special() -> None:
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    for sources in re.findall(r"^COPY (.+) \S+$", text, re.MULTILINE):
        assert all((ROOT / source).exists() for source in sources.split())
    last_user = re.findall(r"^USER (\S+)$", text, re.MULTILINE)[-1]
    assert last_user == "1000"
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8").split()
    assert {".git", ".venv", "data", "out", "deploy/.env"} <= set(ignored)


def test_the_job_of_kubernetes_fits_this_ray() -> None:
    job = yaml.safe_load((DEPLOY / "rayjob.yaml").read_text(encoding="utf-8"))
    cluster = job["spec"]["rayClusterSpec"]
    ray = re.search(r"^ray==(\S+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    assert ray is not None
    assert cluster["rayVersion"] == ray[1]
    assert cluster["authOptions"] == {"mode": "token"}
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    for group in groups:
        assert group["template"]["spec"]["securityContext"]["runAsNonRoot"] is True


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_the_job_of_slurm_is_a_script() -> None:
    subprocess.run(["bash", "-n", DEPLOY / "slurm.sbatch"], check=True)
