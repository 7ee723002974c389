"""What built-ins compute, as digests of their code: recorded in recorded_sources.json beside their version.

    python tests/record_sources.py --why "..."        records what changed; without --why it asks

A digest covers the class's file and all that it imports inside its room (methods/, metrics/), without
comments, docstrings, annotations and import statements. Where one changes and the class's `version` did not,
somebody has to say why the numbers are the same: `tests/test_recorded_sources.py` fails until then.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import json
import sys
from functools import cache
from pathlib import Path
from typing import Any

import reelbench
from reelbench.core import registry
from reelbench.core.contract_check import Kind
from reelbench.core.hashing import digest
from reelbench.core.sources import with_imports

ROOT = Path(reelbench.__file__).resolve().parent
RECORD = Path(__file__).with_name("recorded_sources.json")
KINDS: tuple[Kind, ...] = ("methods", "upscalers", "extractors", "metrics")


def current() -> dict[str, dict[str, str]]:
    """Version and digest of every built-in, by kind and name."""
    found = {}
    for kind in KINDS:
        for name in registry.names(kind):
            cls = registry.get(kind, name)
            file = Path(inspect.getfile(cls)).resolve()
            room = ROOT / file.relative_to(ROOT).parts[0]
            codes = sorted(code_digest(imported) for imported in with_imports(file, [room]))
            found[f"{kind}/{name}"] = {"version": cls.version, "source": digest(codes)[:16]}
    return found


@cache
def code_digest(file: Path) -> str:
    """Digest of what a Python file computes, the same in every Python."""
    return digest(_plain(ast.parse(file.read_bytes())))


def _plain(node: Any) -> Any:
    """A syntax tree as JSON, without what computes nothing and without empty fields: Pythons differ there."""
    if isinstance(node, list):
        return [_plain(item) for item in node if not _computes_nothing(item)]
    if not isinstance(node, ast.AST):
        return repr(node)
    skipped = {"annotation", "returns", "type_comment", "kind", "type_params"}
    fields = {name: value for name, value in ast.iter_fields(node) if name not in skipped}
    return [type(node).__name__, {n: _plain(v) for n, v in fields.items() if v is not None and v != []}]


def _computes_nothing(node: Any) -> bool:
    is_docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    is_declared = isinstance(node, ast.AnnAssign) and node.value is None
    return is_docstring or is_declared or isinstance(node, ast.Import | ast.ImportFrom | ast.Pass)


def changed(before: dict[str, Any], now: dict[str, dict[str, str]]) -> list[str]:
    """Built-ins whose code changed without a new version; new ones and those of a new version are none."""
    return [
        name
        for name, facts in now.items()
        if name in before
        and before[name]["version"] == facts["version"]
        and before[name]["source"] != facts["source"]
    ]


def read() -> dict[str, Any]:
    """The record: {"sources": as `current`, "changes": [{"names", "why"}]}."""
    record: dict[str, Any] = json.loads(RECORD.read_text())
    return record


def main() -> None:
    """Write the record anew; ask why numbers are the same where a version was not raised."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--why", help="why the numbers of what changed are the same, and how that was seen")
    why = parser.parse_args().why
    record = read() if RECORD.is_file() else {"sources": {}, "changes": []}
    now = current()
    if names := changed(record["sources"], now):
        print("changed without a new version:", *names, sep="\n  ")
        why = why or input("Why are their numbers the same, and how was that seen? ")
        if not why.strip():
            sys.exit("not recorded: raise `version`, or say why the numbers are the same")
        record["changes"].append({"names": names, "why": why.strip()})
    RECORD.write_text(json.dumps({"sources": now, "changes": record["changes"]}, indent=1) + "\n")


if __name__ == "__main__":
    main()
