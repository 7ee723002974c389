"""Leases: one holder at a time, free with the death of its process, and across machines by their touches."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from reelbench.core.store import Store, leases
from reelbench.core.store.files import StoreFiles
from reelbench.core.store.leases import EXPIRES_S, Leases, are_free, sweep_leases

A, B, C = (letter * 64 for letter in "abc")

HOLDER = """
import sys
from pathlib import Path
from reelbench.core.store.files import StoreFiles
from reelbench.core.store.leases import Leases
leases = Leases(StoreFiles(Path(sys.argv[1]), False))
print(leases.take(sys.argv[2:]), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def files(tmp_path: Path) -> StoreFiles:
    return StoreFiles(tmp_path, read_only=False)


def lease_files(files: StoreFiles) -> list[str]:
    return sorted(path.name for path in (files.root / "leases").glob("??/*"))


def test_all_keys_are_taken_or_none(files: StoreFiles) -> None:
    with Leases(files) as mine, Leases(files) as theirs:
        assert mine.take([A, B])
        assert mine.take([A]), "what is held is held"
        assert not theirs.take([C, B])
        assert theirs.take([C]), "it was given back"
        assert not are_free(files, [A])
    assert are_free(files, [A, B, C])
    assert lease_files(files) == []


def test_a_killed_holder_holds_nothing(files: StoreFiles) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(files.root), A, B],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "True\n"
    with Leases(files) as mine:
        assert not mine.take([A])
        sweep_leases(files)
        assert lease_files(files) == [A, B], "what is held is not swept"
        holder.kill()
        holder.communicate()
        assert are_free(files, [A, B])
        assert mine.take([A])
        sweep_leases(files)
        assert lease_files(files) == [A]


def test_a_holder_on_another_machine_is_known_by_its_touches(
    files: StoreFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lock is not seen here, as on a file system that does not share locks."""
    path = files.path("leases", A)
    path.parent.mkdir(parents=True)
    path.write_text("0123abcd-other")
    assert not are_free(files, [A])
    with Leases(files) as mine:
        assert not mine.take([A])
    # By the file system's clock, wherever this machine's is.
    now = path.stat().st_mtime
    monkeypatch.setattr(leases, "file_system_time", lambda folder: now + EXPIRES_S + 1)
    assert are_free(files, [A])
    with Leases(files) as mine:
        assert mine.take([A])
        assert not path.read_text().startswith("0123abcd")


def test_a_holder_touches_what_it_holds(files: StoreFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "TOUCH_EVERY_S", 0.01)
    path = files.path("leases", A)
    with Leases(files) as mine:
        assert mine.take([A])
        os.utime(path, (1.0, 1.0))
        while path.stat().st_mtime == 1.0:
            pass


def test_where_nothing_can_be_written_the_work_goes_on(files: StoreFiles) -> None:
    (files.root / "leases").touch()
    with Leases(files) as mine:
        assert mine.take([A])
    assert are_free(files, [A])


def test_a_store_sweeps_temporary_files_and_leases(tmp_path: Path) -> None:
    from reelbench.datasets.video import default_codec

    store = Store(tmp_path, default_codec())
    path = store.files.path("leases", A)
    path.parent.mkdir(parents=True)
    path.touch()
    store.sweep()
    assert not path.exists()
