"""What the parameters of a deployment may name; the command line may name anything.

Parameters come from whoever can start a deployment: a schedule, an automation, a program that passes on what
somebody typed. So the worker's environment, and no parameter, says what is allowed beyond the usual.
"""

from __future__ import annotations

import os
from pathlib import Path

from ..core import registry
from ..core.errors import ReelbenchError

ALLOW_PLUGIN_FILES = "REELBENCH_ALLOW_PLUGIN_FILES"
ALLOW_OUTSIDE_HOME = "REELBENCH_ALLOW_OUTSIDE_HOME"

_MOST_CHARACTERS = 4000
"""Of a path; Linux takes 4,095 bytes."""


def check_parameters(**paths: str | None) -> None:
    """Where Prefect has started this process for a run: refuse paths outside of `REELBENCH_HOME` (or else
    of the working directory), and from now on classes from files (`file.py:Class`) in run files.

    Args:
        paths: by parameter, None where it is not given.

    Raises:
        ReelbenchError: a path leads outside, or is none.
    """
    for name, path in paths.items():
        if path is not None and (not isinstance(path, str) or "\0" in path or len(path) > _MOST_CHARACTERS):
            raise ReelbenchError(
                f"{name}={path!r:.60} is no path", f"give {name} as text, a path of a file system"
            )
    if "PREFECT__FLOW_RUN_ID" not in os.environ:
        return
    if not _is_allowed(ALLOW_PLUGIN_FILES):
        registry.refuse_files(
            "a run that a deployment starts takes no class from a file",
            f"start the worker with {ALLOW_PLUGIN_FILES}=1 (`reelbench serve --allow-plugin-files`), or "
            "register the class as an entry point",
        )
    if _is_allowed(ALLOW_OUTSIDE_HOME):
        return
    home = Path(os.environ.get("REELBENCH_HOME") or ".").resolve()
    for name, path in paths.items():
        if path is not None and not Path(path).resolve().is_relative_to(home):
            raise ReelbenchError(
                f"{name}={path} is outside of REELBENCH_HOME ({home}), where a deployment's parameters stay",
                f"name a path below it, or start the worker with {ALLOW_OUTSIDE_HOME}=1 "
                "(`reelbench serve --allow-outside`)",
            )


def _is_allowed(variable: str) -> bool:
    return os.environ.get(variable, "") not in ("", "0")
