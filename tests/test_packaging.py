"""The package is the root of the repository: the list of packages, and what must not be there."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import get_args

import pytest
import yaml

import reelbench
from reelbench.core import registry

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SETUPTOOLS = PROJECT["tool"]["setuptools"]

NOT_PACKAGES = {"tests", "docs", "configs", "benchmarks", "out", "data", "build"}
"""Folders at the root that are not part of the package."""


def folders_with_code() -> set[str]:
    """Folders that hold Python files, as package names."""
    found = set()
    for path in ROOT.rglob("*.py"):
        parts = path.relative_to(ROOT).parts[:-1]
        if not parts or (parts[0] not in NOT_PACKAGES and not any(part.startswith(".") for part in parts)):
            found.add(".".join(("reelbench", *parts)))
    return found


def test_every_folder_with_code_is_in_the_wheel() -> None:
    # Folders that only hold package data are listed as well; they need an __init__.py to be found here.
    assert folders_with_code() == set(SETUPTOOLS["packages"])


def test_tests_import_this_checkout() -> None:
    assert Path(reelbench.__file__).resolve().parent == ROOT, "run `make venv` in this checkout"


def test_datasets_is_a_namespace_package() -> None:
    """With an __init__.py it would shadow Hugging Face's `datasets` wherever the root is on the path."""
    assert not (ROOT / "datasets" / "__init__.py").exists()
    for name in SETUPTOOLS["packages"]:
        folder = ROOT.joinpath(*name.split(".")[1:])
        assert name == "reelbench.datasets" or (folder / "__init__.py").is_file(), (
            f"{name} has no __init__.py"
        )


def test_pytest_does_not_import_the_root_a_second_time() -> None:
    assert not (ROOT / "conftest.py").exists()
    assert not list((ROOT / "tests").rglob("__init__.py"))


@pytest.mark.parametrize("group", ["methods", "datasets", "extractors", "metrics"])
def test_entry_points_name_modules_of_the_package(group: str) -> None:
    for name, value in PROJECT["project"]["entry-points"][f"reelbench.{group}"].items():
        module, _, attribute = value.partition(":")
        assert attribute, name
        path = ROOT.joinpath(*module.split(".")[1:]).with_suffix(".py")
        assert path.is_file(), f"{name}: no {path}"
        assert re.search(rf"^class {attribute}\b", path.read_text(), re.MULTILINE), f"{name}: no {attribute}"


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-bootstrap.lock"])
def test_locks_pin_with_hashes_and_name_no_address(name: str) -> None:
    text = (ROOT / name).read_text()
    assert "://" not in text
    # Pins are the only lines that do not begin with white space: no option of an installer stands among them.
    assert not [line for line in text.splitlines() if line.lstrip().startswith("-") and "--hash=" not in line]
    requirements = re.split(r"\n(?=\S)", text.strip())
    assert requirements
    for requirement in requirements:
        assert "==" in requirement.splitlines()[0]
        assert "--hash=sha256:" in requirement, requirement.splitlines()[0]


def test_papers_are_there_and_agree() -> None:
    licence = (ROOT / "LICENSE").read_text()
    assert "Apache License" in licence
    assert "END OF TERMS AND CONDITIONS" in licence
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == reelbench.__version__
    assert citation["license"] == PROJECT["project"]["license"] == "Apache-2.0"
    assert f"## {reelbench.__version__} - " in (ROOT / "CHANGELOG.md").read_text()


def test_no_library_has_another_version_on_another_python() -> None:
    text = (ROOT / "requirements.lock").read_text()
    pinned = re.findall(r"^([A-Za-z0-9_.-]+)==", text, re.MULTILINE)
    assert len(pinned) == len(set(pinned)), {name for name in pinned if pinned.count(name) > 1}


def test_the_lock_has_every_dependency() -> None:
    locked = {
        line.split("==")[0].lower().replace("_", "-")
        for line in (ROOT / "requirements.lock").read_text().splitlines()
        if "==" in line
    }
    extras = PROJECT["project"]["optional-dependencies"]
    for dependency in PROJECT["project"]["dependencies"] + extras["bench"] + extras["dev"]:
        name = re.match(r"[A-Za-z0-9_.-]+", dependency)
        assert name is not None
        assert name[0].lower().replace("_", "-") in locked, dependency


@pytest.mark.smoke
@pytest.mark.parametrize("kind", get_args(registry.Kind))
def test_entry_points_load(kind: registry.Kind) -> None:
    for name in registry.names(kind):
        assert isinstance(registry.get(kind, name), type), name
