"""Names are looked up without importing; a typo is answered with the nearest name."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from reelbench.core import registry
from reelbench.core.errors import DatasetError, ReelbenchError, UnknownNameError


def test_the_project_registers_what_it_has() -> None:
    assert {"ddim-frames", "text2video-zero", "zs2"} <= set(registry.names("methods"))
    assert {"msrvtt", "webvid"} <= set(registry.names("datasets"))
    assert {"fvd", "kvd", "clipsim"} <= set(registry.names("metrics"))
    for kind in ("methods", "datasets", "extractors", "metrics"):
        for name in registry.names(kind):
            assert registry.get(kind, name).name == name


def test_listing_names_and_classes_imports_nothing_heavy() -> None:
    code = (
        "import sys; from reelbench.core import registry\n"
        "for kind in ('methods', 'datasets', 'extractors', 'metrics'):\n"
        "    for name in registry.names(kind): registry.get(kind, name)\n"
        "print([m for m in ('torch', 'ray', 'prefect', 'mlflow', 'diffusers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_typo_is_answered_with_the_nearest_name() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'text2video-zero'"):
        registry.get("methods", "text2vido-zero")


def test_research_code_in_a_file_is_accepted(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("from reelbench.methods.zero_shot.zs2 import Zs2\nclass Mine(Zs2):\n    name = 'mine'\n")
    assert registry.get("methods", f"{file}:Mine").name == "mine"
    with pytest.raises(UnknownNameError, match="did you mean 'Mine'"):
        registry.get("methods", f"{file}:Mime")
    with pytest.raises(ReelbenchError, match="no file"):
        registry.get("methods", f"{tmp_path}/absent.py:Mine")
    (tmp_path / "broken.py").write_text("import nothing_of_that_name\n")
    with pytest.raises(ReelbenchError, match="nothing_of_that_name"):
        registry.get("methods", f"{tmp_path}/broken.py:Mine")


def test_two_packages_may_not_claim_one_name(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = registry.importlib.metadata.EntryPoint
    entries = [entry("a", "one:A", "reelbench.methods"), entry("a", "two:A", "reelbench.methods")]
    monkeypatch.setattr(registry.importlib.metadata, "entry_points", lambda group: entries)
    registry._entry_points.cache_clear()
    with pytest.raises(ReelbenchError, match="one:A and two:A"):
        registry.names("methods")
    monkeypatch.undo()
    registry._entry_points.cache_clear()


def test_errors_survive_the_way_between_processes() -> None:
    error = pickle.loads(pickle.dumps(DatasetError("what", "do this")))
    assert (type(error), error.message, error.hint) == (DatasetError, "what", "do this")
    assert str(error) == "what\n  -> do this"
