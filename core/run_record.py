"""What a run was made with, beside its tables: what tells one night from another.

`run.json` is apart from the tables, which are equal where the results are.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from .atomic_write import write_text_atomic

RECORD = "run.json"

_GIT_TIMEOUT_S = 10


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """The record of one run. Times are UTC as ISO 8601 texts; digests and versions are texts.

    Attributes:
        methods: of each label the name, version, digest of the code, and configuration.
        measures: of extractors and metrics ("clip", "fvd") the version with the digest of the code.
        weights: location -> digest.
        libraries: of the process that wrote the tables.
        reelbench: "0.1.0", with the commit where it runs from a checkout.
        run_file: the commit of the repository that the run file is in; empty where there is none.
        is_night: False where nothing ran, and the tables were only built again.
    """

    started: str = ""
    ended: str = ""
    num_clips: int = 0
    num_failures: int = 0
    methods: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    measures: Mapping[str, str] = field(default_factory=dict)
    weights: Mapping[str, str] = field(default_factory=dict)
    libraries: Mapping[str, str] = field(default_factory=dict)
    hardware: str = ""
    reelbench: str = ""
    run_file: str = ""
    is_night: bool = True

    def write(self, folder: Path) -> None:
        """Write it beside the tables."""
        write_text_atomic(folder / RECORD, json.dumps(asdict(self), indent=1, sort_keys=True))


def read_record(folder: Path) -> RunRecord | None:
    """The record of results; None where there is none (of an earlier version) or it cannot be read."""
    try:
        data: dict[str, Any] = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        usual = RunRecord()
        known = {item.name: type(getattr(usual, item.name)) for item in fields(RunRecord)}
        found = {name: value for name, value in data.items() if name in known}
        if not all(isinstance(value, known[name]) for name, value in found.items()):
            return None  # a stranger's, from a bundle
        return RunRecord(**found)
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return None


def commit_of(folder: Path, *, is_root: bool = False) -> str:
    """The commit that is checked out where a folder lies, with "+changes" where tracked files differ from it;
    empty where git is not there, or the folder is in no repository.

    Args:
        is_root: it counts only where the folder is the repository's root: an installed package may lie in
            somebody else's.
    """

    def git(*arguments: str) -> str:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True, text=True, check=True, timeout=_GIT_TIMEOUT_S, env=environment,
        )  # fmt: skip
        return done.stdout.strip()

    try:
        if is_root and Path(git("rev-parse", "--show-toplevel")).resolve() != folder.resolve():
            return ""
        commit = git("rev-parse", "--short=12", "HEAD")
        return commit + ("+changes" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError, UnicodeError):
        return ""
