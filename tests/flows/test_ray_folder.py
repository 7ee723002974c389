"""Ray's folder: short and plain enough for its sockets, and one user's alone where we make it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from reelbench.core.errors import ResourcesError
from reelbench.flows.workers.ray_folder import MAX_FOLDER_BYTES, ray_folder


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder with a short name, as `tmp_path` is not."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="rb") as folder:
        yield Path(folder)


def choose(monkeypatch: pytest.MonkeyPatch, folder: str, name: str = "TMPDIR") -> None:
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setenv(name, folder)


@pytest.mark.parametrize("name", ["TMPDIR", "RAY_TMPDIR"])
def test_a_short_one_is_rays_own_choice(monkeypatch: pytest.MonkeyPatch, short: Path, name: str) -> None:
    choose(monkeypatch, str(short), name)
    assert ray_folder([]) == f"{short}/ray"


def test_by_default_it_is_a_folder_of_this_user_alone(monkeypatch: pytest.MonkeyPatch, short: Path) -> None:
    for name in ("RAY_TMPDIR", "TMPDIR"):
        monkeypatch.delenv(name, raising=False)
    assert ray_folder([str(short)]) == f"{short}/reelbench-{os.geteuid()}/ray"


@pytest.mark.parametrize("what", ["another user's", "a link"])
def test_a_folder_that_another_user_made_is_not_taken(
    monkeypatch: pytest.MonkeyPatch, short: Path, what: str
) -> None:
    choose(monkeypatch, str(short))
    if what == "a link":
        (short / "elsewhere").mkdir()
        (short / "ray").symlink_to(short / "elsewhere")
    else:
        (short / "ray").mkdir()
        me = os.geteuid()
        monkeypatch.setattr(os, "geteuid", lambda: me + 1)
        with pytest.raises(ResourcesError):  # nor is a folder of ours that is theirs
            ray_folder([])
        return
    assert ray_folder([str(short)]) == f"{short}/reelbench-{os.geteuid()}/ray"


@pytest.mark.parametrize("what", ["long", "missing", "space", "relative", "not writable", "a file"])
def test_any_other_is_left_for_a_folder_of_this_user(
    monkeypatch: pytest.MonkeyPatch, short: Path, what: str
) -> None:
    (short / "file").touch()
    (short / "x x").mkdir()
    long = short / ("x" * MAX_FOLDER_BYTES)
    long.mkdir()
    folders = {"long": long, "missing": short / "no", "space": short / "x x", "a file": short / "file"}
    # /proc: not even root can write there.
    choose(monkeypatch, str(folders.get(what, "/proc" if what == "not writable" else "tmp")))
    found = ray_folder([str(short)])
    assert found == f"{short}/reelbench-{os.geteuid()}/ray"
    assert Path(found).parent.stat().st_mode & 0o777 == 0o700
    Path(found).mkdir(mode=0o777)  # as Ray does
    assert ray_folder([str(short)]) == found


def test_a_folder_that_another_could_write_is_not_taken(monkeypatch: pytest.MonkeyPatch, short: Path) -> None:
    choose(monkeypatch, "/proc")
    open_to_all, linked = short / "a", short / "b"
    for folder in (open_to_all, linked):
        folder.mkdir()
    (open_to_all / f"reelbench-{os.geteuid()}").mkdir()
    (open_to_all / f"reelbench-{os.geteuid()}").chmod(0o777)
    (linked / f"reelbench-{os.geteuid()}").symlink_to(short)
    with pytest.raises(ResourcesError, match="/proc") as caught:
        ray_folder([str(open_to_all), str(linked), "/proc", ""])
    assert "set RAY_TMPDIR" in str(caught.value.hint)
