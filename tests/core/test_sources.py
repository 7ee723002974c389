"""The key of a class that is not ours holds its source: an edited plug-in is another one."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from reelbench.core import registry
from reelbench.core.errors import ReelbenchError
from reelbench.core.sources import source_digest

TWEAKED = """
from reelbench.methods.zero_shot.zs2 import Zs2
class Tweaked(Zs2):
    pass
"""


def written(folder: Path, text: str, name: str = "mine.py") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    file.write_text(text)
    return file


def digest_of(folder: Path, text: str, name: str = "Tweaked") -> str | None:
    return source_digest(registry.get("methods", f"{written(folder, text)}:{name}"))


@pytest.mark.parametrize("kind", ["methods", "upscalers", "datasets", "extractors", "metrics"])
def test_our_own_classes_have_none(kind: registry.Kind) -> None:
    for name in registry.names(kind):
        assert source_digest(registry.get(kind, name)) is None, name


def test_a_subclass_of_ours_has_one_of_its_own(tmp_path: Path) -> None:
    assert digest_of(tmp_path, TWEAKED) is not None


def test_an_edit_changes_it_at_once_and_the_class_with_it(tmp_path: Path) -> None:
    file = written(tmp_path, TWEAKED.replace("pass", "mark = 1"))
    before = registry.get("methods", f"{file}:Tweaked")
    first = source_digest(before)
    file.write_text(TWEAKED.replace("pass", "mark = 2"))  # of the same length, in the same second
    after = registry.get("methods", f"{file}:Tweaked")
    assert (before.mark, after.mark) == (1, 2)
    assert source_digest(after) != first
    file.write_text(TWEAKED.replace("pass", "mark = 1"))
    assert source_digest(registry.get("methods", f"{file}:Tweaked")) == first


def test_where_the_file_lies_and_how_its_lines_end_do_not_count(tmp_path: Path) -> None:
    first = digest_of(tmp_path / "one", TWEAKED)
    assert digest_of(tmp_path / "other", TWEAKED) == first
    (tmp_path / "other" / "mine.py").write_bytes(TWEAKED.replace("\n", "\r\n").encode())
    assert source_digest(registry.get("methods", f"{tmp_path / 'other' / 'mine.py'}:Tweaked")) == first


def test_two_classes_of_one_file_differ(tmp_path: Path) -> None:
    text = TWEAKED + "\nclass Other(Zs2):\n    pass\n"
    assert digest_of(tmp_path, text) != digest_of(tmp_path, text, "Other")


@pytest.mark.parametrize(
    ("statement", "helper"),
    [
        ("import helper_of_mine", "helper_of_mine.py"),
        ("from helper_of_mine import *", "helper_of_mine.py"),
        ("import helper_of_mine.deep", "helper_of_mine/deep.py"),
        ("from helper_of_mine import deep", "helper_of_mine/deep.py"),
        ("import helper_of_mine.deep", "helper_of_mine/__init__.py"),
    ],
)
def test_a_helper_beside_it_counts_also_when_it_is_imported_late(
    statement: str, helper: str, tmp_path: Path
) -> None:
    text = TWEAKED.replace("pass", f"def late(self):\n        exec({statement!r})\n        import math")
    late = TWEAKED + f"\ndef late():\n    {statement if '*' not in statement else 'import helper_of_mine'}\n"
    (tmp_path / helper).parent.mkdir(exist_ok=True)
    (tmp_path / helper).write_text("VALUE = 1\n")
    first, unrelated = digest_of(tmp_path, late), digest_of(tmp_path, text)
    (tmp_path / helper).write_text("VALUE = 2\n")
    assert digest_of(tmp_path, late) != first
    assert digest_of(tmp_path, text) == unrelated


def test_a_helpers_helper_counts_and_circles_end(tmp_path: Path) -> None:
    written(tmp_path, "import second_helper\n", "first_helper.py")
    written(tmp_path, "import first_helper\nVALUE = 1\n", "second_helper.py")
    late = TWEAKED + "\ndef late():\n    import first_helper\n"
    first = digest_of(tmp_path, late)
    written(tmp_path, "import first_helper\nVALUE = 2\n", "second_helper.py")
    assert digest_of(tmp_path, late) != first


def test_the_bases_own_file_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path / "elsewhere")
    base = written(tmp_path / "elsewhere", TWEAKED, "mine_base_class.py")
    text = "from mine_base_class import Tweaked\nclass Child(Tweaked):\n    pass\n"
    first = digest_of(tmp_path / "plug", text, "Child")
    base.write_text(TWEAKED + "# edited\n")
    assert digest_of(tmp_path / "plug", text, "Child") != first


def test_an_installed_package_counts_as_a_whole_and_its_neighbours_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site-packages"
    monkeypatch.syspath_prepend(site)
    written(site, "import neighbour_of_mine\n" + TWEAKED, "single_plugin_of_mine.py")
    neighbour = written(site, "VALUE = 1\n", "neighbour_of_mine.py")
    written(site / "package_of_mine" / "deep", "from ..parts import VALUE\n" + TWEAKED, "method.py")
    parts = written(site / "package_of_mine", "import package_of_mine.more\nVALUE = 1\n", "parts.py")
    more = written(site / "package_of_mine", "MORE = 1\n", "more.py")

    def digests() -> list[str | None]:
        names = ("single_plugin_of_mine", "package_of_mine.deep.method")
        return [source_digest(importlib.import_module(name).Tweaked) for name in names]

    single, package = digests()
    neighbour.write_text("VALUE = 2\n")
    assert digests() == [single, package]
    for file in (parts, more):
        file.write_text(file.read_text() + "# edited\n")
        before, (same, package) = package, digests()
        assert (same, package != before) == (single, True)


@pytest.mark.parametrize(
    "text",
    [
        'from reelbench.methods.zero_shot.zs2 import Zs2\nMine = type("Mine", (Zs2,), {"mark": 1})\n',
        "from reelbench.methods.zero_shot.zs2 import Zs2 as Mine\nmark = 1\n",
        "from mine_factory import make\nMine = make(1)\n",
    ],
)
def test_the_file_that_the_run_file_names_counts_wherever_the_class_was_made(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path / "elsewhere")
    made = "from reelbench.methods.zero_shot.zs2 import Zs2\ndef make(n): return type('M', (Zs2,), {})\n"
    written(tmp_path / "elsewhere", made, "mine_factory.py")
    first = digest_of(tmp_path, text, "Mine")
    assert first is not None
    assert digest_of(tmp_path, text.replace("1", "2"), "Mine") != first


def test_a_helper_on_pythons_path_counts_and_swapped_helpers_are_an_edit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path / "elsewhere")
    one = written(tmp_path / "elsewhere", "VALUE = 1\n", "helper_on_path.py")
    other = written(tmp_path / "elsewhere" / "deep_on_path", "VALUE = 2\n", "helper.py")
    late = TWEAKED + "\ndef late():\n    import helper_on_path\n    from deep_on_path.helper import VALUE\n"
    digests = [digest_of(tmp_path / "plug", late)]
    one.write_text("VALUE = 2\n")
    other.write_text("VALUE = 1\n")
    digests.append(digest_of(tmp_path / "plug", late))
    one.write_text("VALUE = 3\n")
    digests.append(digest_of(tmp_path / "plug", late))
    assert len(set(digests)) == 3


def test_versions_of_libraries_do_not_count(tmp_path: Path) -> None:
    text = "from torch.nn import Module\nfrom reelbench.methods.zero_shot.zs2 import Zs2\n"
    cls = registry.get(
        "methods", f"{written(tmp_path, text + 'class Both(Zs2, Module):' + chr(10) + '    pass')}:Both"
    )
    assert source_digest(cls) is not None
    assert len([base for base in cls.__mro__ if base.__module__.startswith("torch")]) == 1


def test_a_class_without_a_file_is_refused() -> None:
    made = type("Typed", (), {"__module__": "nowhere_at_all"})
    with pytest.raises(ReelbenchError, match="has no source file"):
        source_digest(made)
