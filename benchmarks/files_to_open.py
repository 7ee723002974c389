"""How many files a reader opens to understand a part: its import closure inside its room.

    python benchmarks/files_to_open.py [FILE ...]

Imports inside functions and for types count; files without code do not. docs/architecture.md has the table.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

from reelbench.core.sources import with_imports

ROOT = Path(__file__).resolve().parent.parent
FILES = (
    "methods/zero_shot/zs2.py",
    "methods/one_shot/tune_a_video.py",
    "methods/adapters/simda.py",
    "methods/prediction/fca.py",
    "methods/training/prediction.py",
    "metrics/sets/fvd.py",
    "metrics/extractors/i3d/i3d.py",
)


def files_to_open(file: Path, room: Path) -> list[Path]:
    """The files below a room that a file imports, directly or through each other, and itself."""
    return [found for found in with_imports(file, [room]) if _has_code(found)]


def _has_code(file: Path) -> bool:
    """Whether there is more in a file than its docstring."""
    body = ast.parse(file.read_text()).body
    return any(not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)) for node in body)


def main(names: list[str]) -> None:
    """Print a Markdown table; of `evaluation/` the room is the whole package."""
    print("| file | files to open | lines |\n|---|---|---|")
    for name in names or (*FILES, "evaluation/evaluator.py"):
        room = ROOT if name.startswith("evaluation") else ROOT / name.split("/")[0]
        found = files_to_open(ROOT / name, room)
        lines = sum(len(file.read_text().splitlines()) for file in found)
        print(f"| {name} | {len(found)} | {lines:,} |")


if __name__ == "__main__":
    main(sys.argv[1:])
