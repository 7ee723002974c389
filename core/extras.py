"""The extra `bench`: what making videos needs besides what measuring needs.

`pip install reelbench` is enough to measure videos. A command that needs more says so in one line, with
the command that installs it.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence

from .errors import ReelbenchError

BENCH_MODULES = (
    "prefect",
    "ray",
    "mlflow",
    "diffusers",
    "accelerate",
    "peft",
    "fastapi",
    "uvicorn",
    "google.protobuf",
    "matplotlib",
    "cloudpickle",
    "psutil",
    "sqlalchemy",
    "requests",
)
"""The modules of the packages that pyproject.toml lists under `bench`."""


class MissingExtraError(ReelbenchError):
    """A part of Reelbench is used whose libraries are not installed."""


def require_bench(what: str, modules: Sequence[str] = BENCH_MODULES) -> None:
    """Refuse at once, and not after minutes, where modules of the extra are missing. Imports none of them.

    Args:
        what: the command that needs them.

    Raises:
        MissingExtraError: names those that are missing.
    """
    missing = [name for name in modules if not is_installed(name)]
    if missing:
        raise _missing(what, missing)


def missing_extra(error: ModuleNotFoundError, what: str) -> MissingExtraError | None:
    """What to say of a failed import; None where it was not of a module of the extra."""
    for module in BENCH_MODULES:
        if f"{error.name}.".startswith(f"{module}."):
            return _missing(what, [module])
    return None


def _missing(what: str, modules: Sequence[str]) -> MissingExtraError:
    shown = ", ".join(modules[:4]) + (", ..." if len(modules) > 4 else "")
    return MissingExtraError(
        f"`{what}` needs {shown}, which {'is' if len(modules) == 1 else 'are'} not installed",
        "pip install 'reelbench[bench]'; in a clone of the repository: make venv",
    )


def is_installed(module: str) -> bool:
    """Whether a module can be imported; it is not."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # what holds it is missing: google, of google.protobuf
        return False
