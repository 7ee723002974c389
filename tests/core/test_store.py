"""The store: written whole, read with a check, damaged records moved aside, failures never served."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Never

import numpy as np
import pyarrow.parquet as pq
import pytest

from reelbench.core.atomic_write import atomic_path
from reelbench.core.errors import ClipRefusedError, StoreError
from reelbench.core.hashing import digest
from reelbench.core.held_files import this_boot
from reelbench.core.store import ClipCodec, Store, check_clip

KEY = digest("clip")
FIELDS = {"method_key": digest("method"), "sample_id": "video1#2", "prompt": "a red circle", "seed": 7}


def test_a_clip_comes_back_bit_for_bit(store: Store, frames: np.ndarray) -> None:
    assert store.clips.record(KEY) is None
    store.clips.put(KEY, frames, 8.0, **FIELDS, sampling_s=1.5)
    record = store.clips.record(KEY)
    assert record.status == "done"
    assert (record.num_frames, record.height, record.width) == (16, 8, 8)
    assert record.sampling_s == 1.5
    assert (store.clips.load(record) == frames).all()


def test_the_record_is_written_last(
    store: Store, frames: np.ndarray, codec: ClipCodec, tmp_path: Path
) -> None:
    def fail(path: Path, frames: np.ndarray, fps: float) -> Never:
        raise OSError(errno.ENOSPC, "No space left on device")

    full = Store(tmp_path / "full", replace(codec, write_preview=fail))
    with pytest.raises(StoreError, match="the disk is full"):
        full.clips.put(KEY, frames, 8.0, **FIELDS)
    assert full.clips.path(KEY).exists()
    assert full.clips.record(KEY) is None


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (np.full((16, 8, 8, 3), np.nan, dtype=np.float32), "NaN"),
        (np.zeros((16, 8, 8, 3), dtype=np.uint8), "black"),
        (np.ones((16, 8, 8, 3), dtype=np.float32), "uint8"),
        (np.ones((16, 8, 8), dtype=np.uint8), "uint8"),
        (np.ones((0, 8, 8, 3), dtype=np.uint8), "uint8"),
    ],
)
def test_what_is_no_clip_is_refused_at_the_door(store: Store, bad: np.ndarray, why: str) -> None:
    with pytest.raises(ClipRefusedError, match=why):
        store.clips.put(KEY, bad, 8.0, **FIELDS)
    assert store.clips.record(KEY) is None


def test_a_short_clip_is_refused(frames: np.ndarray) -> None:
    with pytest.raises(ClipRefusedError, match="15 frames, 16 were asked for"):
        check_clip(frames[:15], num_frames=16)


@pytest.mark.parametrize(
    "damage", [b"", b"{", b"\xff\xfe\x00", b'{"key": 1}', json.dumps({"status": "done"}).encode()]
)
def test_a_damaged_record_counts_as_missing_and_is_kept_aside(
    store: Store, frames: np.ndarray, damage: bytes
) -> None:
    store.clips.put(KEY, frames, 8.0, **FIELDS)
    (store.clips.folder(KEY) / "record.json").write_bytes(damage)
    assert store.clips.record(KEY) is None
    assert len(list((store.root / "quarantine").glob("*.reason.txt"))) == 1
    store.clips.put(KEY, frames, 8.0, **FIELDS)
    assert store.clips.record(KEY).status == "done"


def test_a_record_of_another_key_is_not_served(store: Store, frames: np.ndarray) -> None:
    other = digest("other")
    store.clips.put(other, frames, 8.0, **FIELDS)
    store.clips.folder(KEY).parent.mkdir(parents=True, exist_ok=True)
    store.clips.folder(other).rename(store.clips.folder(KEY))
    assert store.clips.record(KEY) is None


def test_a_clip_that_was_changed_on_disk_is_found_out(
    store: Store, frames: np.ndarray, codec: ClipCodec
) -> None:
    record = store.clips.put(KEY, frames, 8.0, **FIELDS)
    codec.write_lossless(store.clips.path(KEY), 255 - frames, 8.0)
    with pytest.raises(StoreError, match="digest differs"):
        store.clips.load(record)
    assert store.clips.record(KEY) is None  # the next run makes it again


def test_a_clip_file_that_vanished_is_found_out(store: Store, frames: np.ndarray) -> None:
    store.clips.put(KEY, frames, 8.0, **FIELDS)
    store.clips.path(KEY).unlink()
    assert store.clips.record(KEY) is None


def test_a_failure_is_recorded_never_served_as_success_and_replaced_by_one(
    store: Store, frames: np.ndarray
) -> None:
    store.clips.put_failure(KEY, ValueError("no"), **FIELDS)
    record = store.clips.record(KEY)
    assert (record.status, record.error.type, record.error.message) == ("failed", "ValueError", "no")
    store.clips.put(KEY, frames, 8.0, **FIELDS)
    assert store.clips.record(KEY).status == "done"
    store.clips.put_failure(KEY, ValueError("late"), **FIELDS)
    assert store.clips.record(KEY).status == "done"


@pytest.mark.parametrize("key", ["", "../" * 10, "A" * 64, "0" * 63, "g" * 64])
def test_only_keys_become_paths(store: Store, key: str) -> None:
    with pytest.raises(StoreError, match="not a key"):
        store.clips.path(key)


def test_features_of_several_shards_are_found_by_key(store: Store) -> None:
    rows = {digest(i): np.full((2, 3), i, dtype=np.float32) for i in range(6)}
    keys = list(rows)
    store.features.put("clip_image", {key: rows[key] for key in keys[:3]})
    store.features.put("clip_image", {key: rows[key] for key in keys[2:]})
    assert store.features.keys("clip_image") == set(keys)
    assert store.features.keys("i3d") == set()
    found = store.features.load("clip_image", [*keys, digest("absent")])
    assert set(found) == set(keys)
    assert all((found[key] == rows[key]).all() and found[key].dtype == np.float32 for key in keys)


def test_storing_the_same_features_again_adds_no_file(store: Store) -> None:
    rows = {digest(1): np.ones(3, dtype=np.float32)}
    store.features.put("i3d", rows)
    store.features.put("i3d", rows)
    assert len(list((store.root / "features" / "i3d").iterdir())) == 1


def test_a_damaged_feature_part_is_moved_aside_and_the_rest_is_served(store: Store) -> None:
    store.features.put("i3d", {digest(1): np.ones(3, dtype=np.float32)})
    store.features.put("i3d", {digest(2): np.ones(3, dtype=np.float32)})
    victim = next((store.root / "features" / "i3d").iterdir())
    victim.write_bytes(victim.read_bytes()[:40])
    fresh = Store(store.root, store._codec)
    assert len(fresh.features.keys("i3d")) == 1
    assert len(list((store.root / "quarantine").glob("*.parquet"))) == 1


def damaged(data: bytes, how: int) -> bytes:
    """The bytes of a file: cut off at a place, or with a few of them changed, by a seed."""
    generator = np.random.default_rng(how)
    if how % 4 == 0:
        return data[: generator.integers(len(data))]
    changed = bytearray(data)
    for place in generator.integers(len(data), size=1 + how % 3):
        changed[place] ^= int(generator.integers(1, 256))
    return bytes(changed)


@pytest.mark.parametrize("checksums", [True, False], ids=["with checksums", "written before there were any"])
def test_a_feature_part_damaged_anywhere_is_made_again_and_never_gives_wrong_values(
    store: Store, checksums: bool
) -> None:
    generator = np.random.default_rng(0)
    rows = {digest(i): generator.normal(size=(4, 8)).astype(np.float32) for i in range(12)}
    store.features.put("clip_image", rows)
    (part,) = (store.root / "features" / "clip_image").iterdir()
    if not checksums:
        pq.write_table(pq.read_table(part), part, compression="zstd")
    whole = part.read_bytes()
    num_refused = 0
    for how in range(160):
        part.write_bytes(damaged(whole, how))
        fresh = Store(store.root, store._codec)
        held = fresh.features.keys("clip_image")
        found = fresh.features.load("clip_image", rows)
        assert set(found) == held  # what counts as done can be loaded
        assert held in (set(), set(rows))
        assert all((found[key] == rows[key]).all() for key in held)
        num_refused += not held
        assert part.exists() == bool(held)
    aside = list((store.root / "quarantine").glob("*.reason.txt"))
    assert len(aside) == num_refused > 80
    assert all("damaged feature part: " in reason.read_text() for reason in aside)
    store.features.put("clip_image", rows)
    assert Store(store.root, store._codec).features.keys("clip_image") == set(rows)


def test_a_part_that_is_damaged_after_it_was_listed_is_missed_without_an_error(store: Store) -> None:
    rows = {digest(1): np.ones(3, dtype=np.float32)}
    store.features.put("i3d", rows)
    assert store.features.keys("i3d") == set(rows)
    (part,) = (store.root / "features" / "i3d").iterdir()
    part.write_bytes(part.read_bytes()[:-20])
    assert store.features.load("i3d", rows) == {}
    assert store.features.keys("i3d") == set()


def test_nan_features_are_refused(store: Store) -> None:
    with pytest.raises(StoreError, match="NaN"):
        store.features.put("i3d", {digest(1): np.array([np.nan], dtype=np.float32)})


def test_timings_add_up(store: Store) -> None:
    assert store.timing(KEY) is None
    store.put_timing(KEY, 2.0, 100)
    store.put_timing(KEY, 4.0, 300)
    assert store.timing(KEY) == {"count": 2, "seconds": 6.0, "bytes": 400}


def abandoned(folder: Path, boot: str | None = None) -> Path:
    """A temporary file as a killed writer leaves it, on this machine or on another."""
    kept = folder / "killed.mkv"
    with atomic_path(folder / "clip.mkv") as temporary:
        temporary.write_text("half")
        name = temporary.name if boot is None else temporary.name.replace(this_boot(), boot)
        kept.hardlink_to(temporary)
    (folder / "clip.mkv").unlink()
    return kept.replace(folder / name)


def aged(path: Path, age_s: float) -> Path:
    """As if it had been written that long ago, or by a clock that was so far ahead."""
    os.utime(path, (time.time() - age_s, time.time() - age_s))
    return path


YEARS_S = 10 * 365 * 86400.0


@pytest.mark.parametrize("age_s", [0.0, 7200.0, YEARS_S, -YEARS_S])
def test_what_is_being_written_is_never_swept_and_what_a_killed_writer_left_always(
    store: Store, age_s: float
) -> None:
    folder = store.clips.folder(KEY)
    with atomic_path(folder / "record.json") as live:
        live.write_text("half")
        aged(live, age_s)
        dead = aged(abandoned(folder), age_s)
        assert store.files.sweep() == 1
        assert live.exists()
        assert not dead.exists()
    assert (folder / "record.json").read_text() == "half"


@pytest.mark.parametrize("boot", ["0ddba11e", "17"], ids=["another machine", "an earlier version"])
def test_what_others_left_is_swept_when_it_is_a_day_from_the_file_systems_clock(
    store: Store, boot: str
) -> None:
    folder = store.clips.folder(KEY)
    dead = abandoned(folder, boot)
    for age_s, is_swept in ((7200.0, 0), (-7200.0, 0), (YEARS_S, 1), (-YEARS_S, 1)):
        if not dead.exists():
            dead = abandoned(folder, boot)
        aged(dead, age_s)
        assert store.files.sweep() == is_swept


def test_a_clock_that_is_wrong_here_sweeps_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = abandoned(store.clips.folder(KEY), "0ddba11e")
    real = time.time
    for wrong_s in (7200.0, YEARS_S, -YEARS_S):
        monkeypatch.setattr(time, "time", lambda wrong_s=wrong_s: real() + wrong_s)
        assert store.files.sweep() == 0
    assert theirs.exists()


def test_a_killed_process_leaves_a_file_that_is_swept_at_once(store: Store) -> None:
    path = store.root / "cache" / "note.json"
    code = (
        "import sys, pathlib; from reelbench.core.atomic_write import atomic_path\n"
        "with atomic_path(pathlib.Path(sys.argv[1])):\n    print('holds', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"holds\n"
        assert store.files.sweep() == 0
        writer.kill()
        writer.wait()
        assert store.files.sweep() == 1


def test_files_of_others_in_the_folder_of_a_store_are_not_swept(store: Store) -> None:
    mine = abandoned(store.clips.folder(KEY))
    (store.root / "notes").mkdir()
    theirs = [
        aged(abandoned(store.root / "notes"), YEARS_S),
        aged(abandoned(store.root), YEARS_S),
        store.clips.folder(KEY) / ".hidden.tmp.txt",
    ]
    theirs[-1].write_text("")
    aged(theirs[-1], YEARS_S)
    target = store.root / "notes" / "target"
    target.write_text("")
    mine.with_name(f".a.{this_boot()}-00000000.tmp.txt").symlink_to(target)
    assert store.files.sweep() == 1
    assert all(path.exists() for path in theirs)
    assert target.exists()


def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path: Path, codec: ClipCodec) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot create the store"):
        Store(tmp_path / "file" / "store", codec)
