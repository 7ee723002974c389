"""What is installed for what: measuring needs `dependencies` alone, making videos the extra `bench`, too."""

from __future__ import annotations

import ast
import importlib.metadata
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from typer.testing import CliRunner

from reelbench.cli import run as run_command
from reelbench.cli.main import app
from reelbench.core import extras
from reelbench.datasets.video import write_lossless

ROOT = Path(__file__).resolve().parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
FOLDERS = [ROOT.joinpath(*name.split(".")[1:]) for name in PYPROJECT["tool"]["setuptools"]["packages"]]
SOURCES = [path for folder in FOLDERS for path in folder.glob("*.py")]

MLFLOW = ROOT / "reports" / "mlflow" / "store.py"
DATABASES = ROOT / "core" / "sqlite_url.py"
"""Imports sqlalchemy when it is called, which those of Prefect's and MLflow's databases do."""
PLACE = ROOT / "reports" / "mlflow" / "place.py"
"""Imports requests when it is called, which those do that log to a server."""


def names(requirements: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(line).name) for line in requirements}


def imports(path: Path) -> Iterator[str]:
    """Absolute names of what a file imports, anywhere in it, but not for its annotations alone."""
    package = ["reelbench", *path.parent.relative_to(ROOT).parts]

    def visit(node: ast.AST) -> Iterator[str]:
        if isinstance(node, ast.If) and getattr(node.test, "id", None) == "TYPE_CHECKING":
            return
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)
        for child in ast.iter_child_nodes(node):
            yield from visit(child)

    return visit(ast.parse(path.read_text()))


def libraries(path: Path) -> set[str]:
    """Modules of others that a file imports, with the packages above them: google, google.protobuf, ..."""
    found = set()
    for name in imports(path):
        parts = name.split(".")
        if parts[0] not in sys.stdlib_module_names and parts[0] != "reelbench":
            found |= {".".join(parts[: count + 1]) for count in range(len(parts))}
    return found


def closure(paths: list[Path]) -> set[Path]:
    """The files of this package that these import, directly or not."""
    found: set[Path] = set()
    todo = list(paths)
    while todo:
        path = todo.pop()
        if path in found:
            continue
        found.add(path)
        for name in imports(path):
            if name.startswith("reelbench"):
                base = ROOT.joinpath(*name.split(".")[1:])
                todo += [file for file in (base.with_suffix(".py"), base / "__init__.py") if file in SOURCES]
    return found


def test_every_imported_library_is_declared() -> None:
    declared = names(PROJECT["dependencies"] + PROJECT["optional-dependencies"]["bench"])
    holders = importlib.metadata.packages_distributions()
    for path in SOURCES:
        for module in {name for name in libraries(path) if "." not in name}:
            by = {canonicalize_name(name) for name in holders.get(module, [module])}
            assert by & declared, (
                f"{path.relative_to(ROOT)} imports {module} (of {by}): not in pyproject.toml"
            )


def test_measuring_imports_nothing_of_the_extra() -> None:
    measuring = [
        path for path in SOURCES if path.parent.name in ("evaluation", "metrics", "datasets", "core")
    ]
    commands = [ROOT / "cli" / "evaluate.py", ROOT / "cli" / "ls.py"]
    for path in closure([*commands, *measuring]) - {DATABASES, MLFLOW, PLACE}:
        assert not libraries(path) & set(extras.BENCH_MODULES), path.relative_to(ROOT)


def test_the_modules_of_the_extra_are_those_of_its_packages() -> None:
    bench = names(PROJECT["optional-dependencies"]["bench"])
    holders = importlib.metadata.packages_distributions()
    assert len(bench) == len(extras.BENCH_MODULES)
    for module in extras.BENCH_MODULES:
        assert bench & {canonicalize_name(name) for name in holders[module.partition(".")[0]]}, module


def installed_for(requirements: list[str]) -> dict[str, importlib.metadata.Distribution]:
    """What pip installs for these requirements, by name."""
    found: dict[str, importlib.metadata.Distribution] = {}
    seen: set[str] = set()
    todo = [Requirement(line) for line in requirements]
    while todo:
        requirement = todo.pop()
        if str(requirement) in seen:
            continue
        seen.add(str(requirement))
        distribution = importlib.metadata.distribution(requirement.name)
        found[canonicalize_name(requirement.name)] = distribution
        for wanted in map(Requirement, distribution.requires or ()):
            asked = ("", *requirement.extras)
            if wanted.marker is None or any(wanted.marker.evaluate({"extra": extra}) for extra in asked):
                todo.append(wanted)
    return found


Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run Python where `dependencies` of pyproject.toml are installed (as links), and nothing else."""
    site = tmp_path_factory.mktemp("site")
    for distribution in installed_for(PROJECT["dependencies"]).values():
        for name in {file.parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}:
            if not (site / name).exists():
                (site / name).symlink_to(str(distribution.locate_file(name)))
    (site / "reelbench").symlink_to(ROOT)
    here = importlib.metadata.distribution("reelbench")
    (info,) = {file.parts[0] for file in here.files or () if file.parts[0].endswith(".dist-info")}
    (site / info).symlink_to(str(here.locate_file(info)))

    def run(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            # -S: without this environment's own packages.
            [sys.executable, "-S", *map(str, arguments)],
            env={**os.environ, "PYTHONPATH": str(site), "PYTHONNOUSERSITE": "1"},
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=300,
        )

    return run


REELBENCH = ("-m", "reelbench.cli.main")


def test_folders_are_measured_without_the_extra(run: Run, weights: dict[str, str], tmp_path: Path) -> None:
    there = run(
        "-c",
        "import importlib.util as i; print([m for m in ('ray', 'torch') if i.find_spec(m)])",
        cwd=tmp_path,
    )
    assert there.stdout == "['torch']\n", there.stdout + there.stderr
    rng = np.random.default_rng(0)
    for side in ("made", "real"):
        (tmp_path / side).mkdir()
        for name in "abc":
            frames = rng.integers(0, 256, (16, 32, 32, 3), dtype=np.uint8)
            write_lossless(tmp_path / side / f"{name}.mkv", frames, 8.0)
    (tmp_path / "captions.csv").write_text("name,caption\na,a square\nb,a circle\nc,a star\n")
    given = [item for role, path in weights.items() for item in ("--weights", f"{role}={path}")]
    done = run(
        *REELBENCH,
        "evaluate",
        "made",
        "--reference",
        "real",
        "--captions",
        "captions.csv",
        *given,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "FVD" in done.stdout
    assert "CLIPSIM" in done.stdout
    assert list(tmp_path.glob("evaluations/*/report.html"))


@pytest.mark.parametrize("kind", ["methods", "metrics", "extractors"])
def test_what_there_is_is_described_without_the_extra(run: Run, tmp_path: Path, kind: str) -> None:
    listed = run(*REELBENCH, "ls", kind, "-v", cwd=tmp_path)
    assert listed.returncode == 0, listed.stderr
    assert "cannot be loaded" not in listed.stdout


def test_the_doctor_says_what_the_extra_is_for(run: Run, tmp_path: Path) -> None:
    doctor = run(*REELBENCH, "doctor", cwd=tmp_path)
    assert doctor.returncode == 0, doctor.stdout + doctor.stderr
    assert "! prefect: not installed" in doctor.stdout
    assert "each run starts" not in doctor.stdout


@pytest.mark.parametrize(
    ("command", "module"),
    [
        ((*REELBENCH, "run", "run.yaml"), "prefect"),
        ((*REELBENCH, "report", "run.yaml"), "mlflow"),
        ((*REELBENCH, "world", "train", "t2i"), "diffusers"),
        ((*REELBENCH, "world", "quality", "t2i"), "diffusers"),
        ((*REELBENCH, "train", "adapters", "--root", "clips", "--work", "work"), "accelerate"),
    ],
)
def test_what_needs_the_extra_says_so(
    run: Run, write_run_file: Callable[..., Path], tmp_path: Path, command: tuple[str, ...], module: str
) -> None:
    write_run_file()
    done = run(*command, cwd=tmp_path)
    assert done.returncode == 2, done.stdout + done.stderr
    assert module in done.stderr
    assert "pip install 'reelbench[bench]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_run_is_planned_without_the_extra(
    run: Run, write_run_file: Callable[..., Path], tmp_path: Path
) -> None:
    run_file = write_run_file(methods=[{"name": "zs2"}], weights={"pipeline": "sprites/t2i"}, limit=2)
    done = run(*REELBENCH, "plan", run_file, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "2 missing" in done.stdout


@pytest.mark.parametrize(("executor", "code"), [("auto", 0), ("local", 0), ("ray", 2)])
def test_a_run_goes_on_without_ray_unless_its_file_asks_for_it(
    write_run_file: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, executor: str, code: int
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    result = {"folder": "", "num_failures": 0, "mlflow": None}
    for name in ("run_flow", "print_places"):
        monkeypatch.setattr(run_command, name, lambda *_, **__: result)
    done = CliRunner().invoke(app, ["run", str(write_run_file(executor=executor))])
    assert done.exit_code == code
    assert ("needs ray, which is not installed" in done.output) == (code == 2)


def test_a_part_of_the_extra_that_is_missing_is_named() -> None:
    with pytest.raises(extras.MissingExtraError, match=r"`reelbench run` needs no_such_module, which is not"):
        extras.require_bench("reelbench run", ("json", "no_such_module"))
    inner = ModuleNotFoundError("no module", name="diffusers.models.missing")
    assert "diffusers" in str(extras.missing_extra(inner, "reelbench world"))
    assert extras.missing_extra(ModuleNotFoundError("no module", name="raymond"), "reelbench world") is None
