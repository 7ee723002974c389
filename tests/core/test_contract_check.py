"""A plug-in that does not keep its contract is refused when it is looked up, in words that mend it."""

from __future__ import annotations

import re
import types
from pathlib import Path

import pytest

from reelbench.core import registry
from reelbench.core.contract_check import Kind, check_contract, check_sample, plugin_errors, refuse_namesakes
from reelbench.core.errors import DatasetError, PluginError, ReelbenchError, RunFileError
from reelbench.core.types import Sample

HEAD = """
from reelbench.core.contracts import *
from reelbench.core.types import Conditioning
class Session:
    def generate(self, samples, artifact, seeds): yield from ()
"""
METHOD = """
class Mine:
    class Config(FrozenConfig): pass
    name, version, conditioning = "mine", "1", Conditioning.TEXT
    def __init__(self, config): self.config = config
    def load(self, device): return Session()
"""
METRIC = """
class Mine:
    name, version, unit, higher_is_better, level = "mine", "1", "", True, "clip"
    needs, label = ("clip_image",), "Mine"
    def __init__(self, protocol): pass
    def compute(self, features): return 42.0
"""
EXTRACTOR = """
class Mine:
    class Config(FrozenConfig): pass
    name, version, modality = "mine", "1", "video"
    def load(self, device): return self
    def extract(self, inputs): return []
"""
DATASET = """
class Mine:
    class Config(FrozenConfig): pass
    name, split, task = "mine", "test", "text-to-video"
    def __len__(self): return 0
    def __iter__(self): return iter(())
    def fingerprint(self): return "f"
"""
UPSCALER = """
class Mine:
    class Config(FrozenConfig): pass
    name, version = "mine", "1"
    def load(self, device): return Session()
"""
SOURCES: dict[Kind, str] = {
    "methods": METHOD,
    "metrics": METRIC,
    "extractors": EXTRACTOR,
    "datasets": DATASET,
    "upscalers": UPSCALER,
}


def looked_up(kind: Kind, source: str, folder: Path) -> type:
    file = folder / "mine.py"
    file.write_text(HEAD + source)
    found: type = registry.get(kind, f"{file}:Mine")
    return found


@pytest.mark.parametrize("kind", SOURCES)
def test_a_class_that_inherits_nothing_gets_the_defaults(kind: Kind, tmp_path: Path) -> None:
    cls = looked_up(kind, SOURCES[kind], tmp_path)
    made = cls(None if kind == "metrics" else cls.Config())  # type: ignore[attr-defined]
    if kind in ("methods", "upscalers", "extractors"):
        assert made.weights() == ()
    if kind == "methods":
        assert (made.tuning_config(), made.source_frames(), made.min_context_frames) == (None, None, 1)
    if kind == "metrics":
        assert (made.parameters(), made.describe(), made.min_n) == ({}, "", 1)
    if kind == "datasets":
        assert (made.notes(), made.split) == ((), "test")
    if kind == "extractors":
        assert (cls.weights_role, cls.describe(None)) == (None, "mine.1")  # type: ignore[attr-defined]
    assert cls is looked_up(kind, SOURCES[kind], tmp_path)


def test_a_data_set_may_set_its_facts_when_it_is_made(tmp_path: Path) -> None:
    source = DATASET.replace(
        '    name, split, task = "mine", "test", "text-to-video"\n',
        '    name = "mine"\n    def __init__(self, config): self.split, self.task = "val", "editing"\n',
    )
    made = looked_up("datasets", source, tmp_path)(None)
    assert (made.split, made.task) == ("val", "editing")  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", ["methods", "upscalers", "datasets", "extractors", "metrics"])
def test_all_of_our_own_keep_their_contract(kind: Kind) -> None:
    for name in registry.names(kind):
        cls = registry.get(kind, name)
        assert check_contract(kind, cls) is cls, f"{name} does not inherit from its base"


FAULTS: list[tuple[Kind, str, str, str]] = [
    ("methods", "    def load(self, device): return Session()\n", "", r"Mine\.load: is missing"),
    ("methods", "def load(self, device)", "def lod(self, device)", r"is missing; is 'lod' meant to be it"),
    ("methods", "def load(self, device)", "def load(self)", r"Mine\.load: takes \(\), and is called with"),
    ("methods", "def load(self, device)", "def load(self, device, dtype)", r"Mine\.load: takes"),
    ("methods", "    def load(self, device): return Session()", "    load = 3", "must be a method, not 3"),
    ("methods", '"mine", "1", Conditioning.TEXT', '"mine", 1, Conditioning.TEXT', "version: must be a non"),
    ("methods", '"mine", "1", Conditioning.TEXT', '"mine", "1", "txt"', r"conditioning: must be one of"),
    ("methods", "self, config)", "self)", r"__init__: must be callable with one argument, the config"),
    ("methods", "self, config)", "self, config, device)", r"__init__: must be callable with one argument"),
    ("methods", "    class Config(FrozenConfig): pass\n", "", r"Mine\.Config: is missing"),
    ("metrics", "compute(self, features)", "compute(self)", r"Mine\.compute: takes"),
    ("metrics", "    def compute(self, features): return 42.0\n", "", r"Mine\.compute: is missing"),
    ("metrics", "self, protocol): pass", "self): pass", r"with one argument, the protocol"),
    ("metrics", '("clip_image",)', '"clip_image"', r"needs: must be a tuple of extractors' names"),
    ("metrics", '"clip"\n', '"frame"\n', r"level: must be one of"),
    ("metrics", "True", '"yes"', r"higher_is_better: must be one of True, False, None, not 'yes'"),
    ("metrics", 'True, "clip"', '1, "clip"', r"higher_is_better: must be one of True, False, None, not 1"),
    ("metrics", '"1", "", True', '"1", None, True', r"unit: must be a string, not None"),
    ("metrics", "    def compute", "    min_n = 0\n    def compute", r"min_n: must be a whole number"),
    ("metrics", '"clip"\n', '"set"\n', r"Mine\.compute: takes \(features\), and is called with"),
    ("extractors", '"video"', '"audio"', r"modality: must be one of 'video', 'text', 'pair', not 'audio'"),
    ("datasets", "    def fingerprint", "    def finger", r"Mine\.fingerprint: is missing"),
    ("datasets", '"text-to-video"', '"t2v"', r"task: must be one of"),
]


@pytest.mark.parametrize(("kind", "before", "after", "said"), FAULTS)
def test_what_is_wrong_is_said_with_kind_file_and_member(
    kind: Kind, before: str, after: str, said: str, tmp_path: Path
) -> None:
    assert before in SOURCES[kind]
    with pytest.raises(RunFileError, match=said) as caught:
        looked_up(kind, SOURCES[kind].replace(before, after), tmp_path)
    assert caught.value.message.startswith("data set" if kind == "datasets" else kind[:-1])
    assert caught.value.hint is not None
    assert str(tmp_path / "mine.py") in caught.value.hint


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import sys\nsys.exit(0)\n", "importing .* failed: SystemExit: 0"),
        ("def broken(:\n", "importing .* failed: SyntaxError"),
        ("import nothing_of_that_name\n", "(?s)No module named 'nothing_of_that_name'.*PYTHONPATH="),
        ("1 / 0\n", r"(?s)ZeroDivisionError: division by zero.*mine\.py, line 6"),
    ],
)
def test_a_file_that_cannot_be_imported_is_one_message(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ReelbenchError) as caught:
        looked_up("methods", text, tmp_path)
    assert re.search(said, str(caught.value))


def test_a_file_without_a_class_says_so() -> None:
    with pytest.raises(ReelbenchError, match="names no class"):
        registry.get("methods", "mine.py")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"prompt": None}, "prompt of the sample 'a' is None"),
        ({"num_context_frames": "two"}, "num_context_frames of the sample 'a' is 'two'"),
        ({"source": None}, "source of the sample 'a' is None"),
        ({"reference": "x.mp4"}, "reference of the sample 'a' is 'x.mp4'"),
        ({"id": 3}, "id of the sample 3 is 3"),
    ],
)
def test_a_sample_of_wrong_values_is_refused(changes: dict[str, object], said: str) -> None:
    sample = Sample(**{"id": "a", "prompt": "p", "source": "s"} | changes)
    with pytest.raises(TypeError, match=said):
        check_sample(sample)
    with pytest.raises(TypeError, match=r"it gives \{\}; a data set gives"):
        check_sample({})


def test_several_faults_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(RunFileError) as caught:
        looked_up("methods", "class Mine: pass\n", tmp_path)
    for member in ("Config", "name", "version", "conditioning", "load"):
        assert f"Mine.{member}: is missing" in caught.value.message


def test_what_is_no_class_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="is no class, but 3"):
        looked_up("methods", "Mine = 3\n", tmp_path)


def test_a_plug_ins_own_exception_is_one_message_with_its_place() -> None:
    with (
        pytest.raises(
            PluginError, match="method 'mine' failed: ZeroDivisionError: division by zero"
        ) as caught,
        plugin_errors("methods", "mine"),
    ):
        _ = 1 / 0
    assert caught.value.hint is not None
    assert "test_contract_check.py, line " in caught.value.hint
    with pytest.raises(PluginError, match="SystemExit: 0"), plugin_errors("methods", "mine"):
        raise SystemExit(0)
    with pytest.raises(DatasetError), plugin_errors("datasets", "mine"):
        raise DatasetError("is told as it is")


def test_an_exit_that_a_signal_asks_for_goes_on(tmp_path: Path) -> None:
    """Wherever it strikes: its innermost frame is the handler's, of a library or of ours."""

    def handler() -> None:
        raise SystemExit(15)

    ours = {"__name__": "reelbench.flows.handler"}
    terminate = types.FunctionType(handler.__code__, ours | {"SystemExit": SystemExit})
    with pytest.raises(SystemExit), plugin_errors("methods", "mine"):
        terminate()
    with pytest.raises(PluginError, match="SystemExit: 15"), plugin_errors("methods", "mine"):
        handler()


def test_two_classes_of_one_name_are_refused() -> None:
    class One:
        name = "one"

    class Other(One):
        pass

    refuse_namesakes("methods", [("a", One), ("b", One)])
    with pytest.raises(RunFileError, match=r"two methods call themselves 'one': 'a' .*and 'b'"):
        refuse_namesakes("methods", [("a", One), ("b", Other)])
