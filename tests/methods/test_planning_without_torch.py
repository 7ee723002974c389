"""What planning does with a method or an upscaler imports no torch, so that `plan` answers at once."""

from __future__ import annotations

import subprocess
import sys

import pytest

from reelbench.core import registry

NAMES = [(kind, name) for kind in ("methods", "upscalers") for name in registry.names(kind)]


@pytest.mark.parametrize("kind", ["methods", "upscalers"])
def test_constructing_and_asking_imports_no_torch(kind: str) -> None:
    """Each in turn, in one process: the first that imports it is named."""
    names = [name for of, name in NAMES if of == kind]
    assert names
    code = (
        "import sys\n"
        "from reelbench.core.registry import get\n"
        f"for name in {names!r}:\n"
        f"    cls = get({kind!r}, name)\n"
        "    made = cls(cls.Config())\n"
        "    made.resources(); made.weights(); cls.Config.model_json_schema()\n"
        "    for hook in ('tuning_config', 'reference_frames', 'source_frames'):\n"
        "        getattr(made, hook, lambda: None)()\n"
        "    heavy = {'torch', 'diffusers', 'transformers'} & set(sys.modules)\n"
        "    assert not heavy, (name, heavy)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
