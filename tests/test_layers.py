"""Imports go down: the table in docs/architecture.md against the import statements, and no circles.

Imports inside functions and for types count as well: a reader follows them all the same.
"""

from __future__ import annotations

import ast
import re
import sys
from functools import cache
from pathlib import Path

import pytest

import reelbench
from reelbench.core.sources import imported_files

ROOT = Path(reelbench.__file__).resolve().parent
ROOMS = (
    "core",
    "datasets",
    "metrics",
    "methods",
    "reports",
    "worlds",
    "stages",
    "evaluation",
    "flows",
    "cli",
)
MOST_FILES = 16


@cache
def arrows() -> dict[str, frozenset[str]]:
    """Each file of the package with those that it imports, as paths below the root."""
    files = [file for room in ROOMS for file in (ROOT / room).rglob("*.py")]
    return {
        place(file): frozenset(map(place, imported_files(file, [ROOT]))) - {place(file), "__init__.py"}
        for file in files
    }


def place(file: Path) -> str:
    return file.resolve().relative_to(ROOT).as_posix()


def allowed() -> dict[str, set[str]]:
    """What each room may import, from the table in docs/architecture.md."""
    text = (ROOT / "docs" / "architecture.md").read_text()
    rows = re.findall(r"^\| `(\w+)/` \|[^|]*\|([^|]*)\|$", text, re.MULTILINE)
    found: dict[str, set[str]] = {}
    for room, may_import in rows:
        named = {name for name in ROOMS if re.search(rf"\b{name}\b", may_import)}
        found[room] = set(found) if "all above" in may_import else named
    return found


def test_the_table_names_every_room() -> None:
    assert set(allowed()) == set(ROOMS)


def test_imports_go_down_as_the_table_says() -> None:
    table = allowed()
    wrong = [
        f"{file} -> {other}"
        for file, imported in arrows().items()
        for other in imported
        if (room := file.split("/")[0]) != (below := other.split("/")[0]) and below not in table[room]
    ]
    assert not wrong, "imports that the table in docs/architecture.md does not have:\n" + "\n".join(wrong)


def test_the_table_has_no_circle() -> None:
    table = allowed()
    seen: set[str] = set()
    while len(seen) < len(ROOMS):
        free = {room for room in ROOMS if room not in seen and table[room] <= seen}
        assert free, f"rooms in a circle: {sorted(set(ROOMS) - seen)}"
        seen |= free


def test_no_files_import_each_other_in_a_circle() -> None:
    graph = {file: set(imported) & set(arrows()) for file, imported in arrows().items()}
    # Files without imports left go, until none is left or those of circles are.
    while free := [file for file, imported in graph.items() if not imported]:
        for file in free:
            del graph[file]
        for imported in graph.values():
            imported.difference_update(free)
    leading = {file: sorted(imported) for file, imported in graph.items()}
    assert not graph, f"circles, and what leads to them: {leading}"


HEAVY = {
    "core": {"torch", "prefect", "ray", "mlflow"},
    "metrics": {"prefect", "ray", "mlflow", "diffusers"},
    "datasets": {"torch", "prefect", "ray", "mlflow", "diffusers"},
    "methods": {"prefect", "ray", "mlflow"},
    "reports": {"torch", "prefect", "ray", "diffusers"},
    "stages": {"prefect", "ray", "mlflow"},
    "evaluation": {"prefect", "ray", "mlflow", "diffusers"},
    "worlds": {"prefect", "ray", "mlflow"},
    "cli": {"mlflow"},
    "flows": {"mlflow"},
}
"""Libraries that no file of a room imports, not even inside a function."""


@pytest.mark.parametrize("room", HEAVY)
def test_libraries_stay_in_their_rooms(room: str) -> None:
    wrong = []
    for file in (ROOT / room).rglob("*.py"):
        if place(file).startswith("reports/mlflow/"):
            continue  # what imports MLflow lives there
        for node in ast.walk(ast.parse(file.read_bytes())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            wrong += [f"{place(file)}: {name}" for name in names if name.split(".")[0] in HEAVY[room]]
    assert not wrong


@pytest.mark.parametrize("room", ["methods", "metrics", "datasets", "reports"])
def test_no_folder_is_a_heap(room: str) -> None:
    folders = [ROOT / room, *(folder for folder in (ROOT / room).rglob("*") if folder.is_dir())]
    counts = {
        place(folder): sum(file.is_file() for file in folder.iterdir())
        for folder in folders
        if folder.name != "__pycache__"
    }
    assert {name: count for name, count in counts.items() if count > MOST_FILES} == {}


MOST_TO_OPEN = {
    "methods/zero_shot/zs2.py": 6,
    "methods/one_shot/tune_a_video.py": 11,
    "methods/adapters/simda.py": 9,
    "methods/prediction/fca.py": 14,
    "metrics/sets/fvd.py": 6,
    "metrics/extractors/i3d/i3d.py": 5,
}


@pytest.mark.parametrize("name", MOST_TO_OPEN)
def test_a_method_and_a_metric_are_read_in_few_files(name: str) -> None:
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        from files_to_open import files_to_open
    finally:
        sys.path.pop(0)
    found = files_to_open(ROOT / name, ROOT / name.split("/")[0])
    assert len(found) <= MOST_TO_OPEN[name], sorted(map(place, found))
