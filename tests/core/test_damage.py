"""Every kind of file of a store under every kind of damage: it is made again, and no wrong value is given."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reelbench.core.errors import StoreError
from reelbench.core.hashing import digest
from reelbench.core.store import Store
from reelbench.core.types import Features

CLIP, TUNING, FAILED = digest("clip"), digest("tuning"), digest("failed")
FIELDS: dict[str, Any] = {"method_key": digest("method"), "prompt": "a red circle", "seed": 7}
ROWS = {digest(i): np.random.default_rng(i).normal(size=(4, 8)).astype(np.float32) for i in range(4)}
OTHERS = {digest("other"): np.ones((4, 8), np.float32)}


def fill(store: Store, frames: np.ndarray) -> None:
    """What a run does: make what is not there, and only that."""
    record = store.clips.done(CLIP)
    if record is not None:
        try:
            store.clips.load(record)
        except StoreError:
            record = None
    if record is None:
        store.clips.put(CLIP, frames, 8.0, sample_id="one", **FIELDS)
    tuning = store.artifacts.done(TUNING)
    if tuning is not None:
        try:
            store.artifacts.load(tuning)
        except StoreError:
            tuning = None
    if tuning is None:
        store.artifacts.checkpoint_path(TUNING)
        store.artifacts.note_elapsed(TUNING, 1.0)
        store.artifacts.put(TUNING, b"weights" * 100, source="video1", **FIELDS)
    for rows in (ROWS, OTHERS):
        held = store.features.load("i3d", rows)
        store.features.put("i3d", {key: row for key, row in rows.items() if key not in held})
    if store.failure(FAILED) is None:
        store.put_failure(FAILED, ValueError("too short"))
    store.put_timing(TUNING, 1.0, 100)
    digests = store.digests("videos")
    digests.digest(Path(__file__))
    digests.save()


def assert_whole(store: Store, frames: np.ndarray) -> None:
    clip, tuning = store.clips.done(CLIP), store.artifacts.done(TUNING)
    assert clip is not None
    assert tuning is not None
    assert (store.clips.load(clip) == frames).all()
    assert store.artifacts.load(tuning) == b"weights" * 100
    found: dict[str, Features] = store.features.load("i3d", {**ROWS, **OTHERS})
    assert all((found[key] == row).all() for key, row in (ROWS | OTHERS).items())
    failure = store.failure(FAILED)
    assert failure is not None
    assert failure.message == "too short"
    assert store.timing(TUNING) is not None
    assert len(store.digests("videos").known_files()) == 1


def the_part(store: Store) -> Path:
    return next(path for path in store.features.part_files() if len(pq.read_table(path)) == len(ROWS))


FILES: dict[str, Callable[[Store], Path]] = {
    "clip": lambda store: store.clips.path(CLIP),
    "clip's record": lambda store: store.clips.folder(CLIP) / "record.json",
    "artifact": lambda store: store.artifacts.path(TUNING),
    "tuning's record": lambda store: store.artifacts.folder(TUNING) / "record.json",
    "features": the_part,
    "failure": lambda store: store.files.path("failures", FAILED, ".json"),
    "timing": lambda store: store.root / "cache" / "timings" / f"{TUNING}.json",
    "digests": lambda store: store.root / "cache" / "videos_digests.json",
    "mark": lambda store: store.root / "format.json",
}


def flipped(at: float) -> Callable[[Path], object]:
    def flip(path: Path) -> None:
        data = bytearray(path.read_bytes())
        data[int(at * (len(data) - 1))] ^= 0xFF
        path.write_bytes(data)

    return flip


def replaced_by_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "inside").write_text("something")


def replaced_by_a_link(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.parent / "nowhere")


def folder_replaced_by_a_file(path: Path) -> None:
    shutil.rmtree(path.parent)
    path.parent.write_text("no folder")


def doubled(path: Path) -> None:
    path.write_bytes(path.read_bytes() * 2)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "without its end": lambda path: path.write_bytes(path.read_bytes()[:-3]),
    "first byte": flipped(0.0),
    "last byte": flipped(1.0),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "other bytes": lambda path: path.write_bytes(b"\xff\xd8 not what it was \x00"),
    "twice": doubled,
    "deep": lambda path: path.write_bytes(b"[" * 100_000),
    "gone": Path.unlink,
    "a folder": replaced_by_a_folder,
    "a dangling link": replaced_by_a_link,
}


@pytest.mark.parametrize("how", DAMAGE)
@pytest.mark.parametrize("what", FILES)
def test_whatever_is_damaged_is_made_again(store: Store, frames: np.ndarray, what: str, how: str) -> None:
    fill(store, frames)
    DAMAGE[how](FILES[what](store))
    fill(Store(store.root, store._codec), frames)
    assert_whole(Store(store.root, store._codec), frames)


@pytest.mark.parametrize("what", [name for name in FILES if name != "mark"])
def test_a_file_in_the_place_of_a_folder_is_moved_aside(store: Store, frames: np.ndarray, what: str) -> None:
    fill(store, frames)
    folder_replaced_by_a_file(FILES[what](store))
    fill(Store(store.root, store._codec), frames)
    assert_whole(Store(store.root, store._codec), frames)


def columns(part: pa.Table, **changed: object) -> pa.Table:
    for name, values in changed.items():
        part = part.set_column(part.schema.get_field_index(name), name, pa.array(values))
    return part


NUM = len(ROWS)
PARTS: dict[str, Callable[[pa.Table], pa.Table]] = {
    "no column": lambda part: part.drop_columns(["digest"]),
    "no row": lambda part: part.slice(0, 0),
    "fewer rows": lambda part: part.slice(1),
    "a row twice": lambda part: pa.concat_tables([part, part.slice(0, 1)]),
    "other order": lambda part: part.take(list(range(NUM - 1, -1, -1))),
    "null keys": lambda part: columns(part, feature_key=[None] * NUM),
    "null values": lambda part: columns(part, values=[None] * NUM),
    "null digests": lambda part: columns(part, digest=pa.nulls(NUM, pa.string())),
    "numbers for keys": lambda part: columns(part, feature_key=list(range(NUM))),
    "text for values": lambda part: columns(part, values=["x"] * NUM),
    "another shape": lambda part: columns(part, shape=[[8, 4]] * NUM),
    "a huge shape": lambda part: columns(part, shape=[[2**40, 2**40]] * NUM),
    "a negative shape": lambda part: columns(part, shape=[[-1, -1]] * NUM),
    "no shape": lambda part: columns(part, shape=[None] * NUM),
    "nan": lambda part: columns(part, values=[np.full((4, 8), np.nan, np.float32).tobytes()] * NUM),
    "another digest": lambda part: columns(part, digest=[digest("x")] * NUM),
    "another table": lambda part: pa.table({"a": [1]}),
}


@pytest.mark.parametrize("how", PARTS)
def test_a_sound_table_that_is_not_the_part_costs_its_features_alone(
    store: Store, frames: np.ndarray, how: str
) -> None:
    fill(store, frames)
    part = the_part(store)
    pq.write_table(PARTS[how](pq.read_table(part)), part)
    fresh = Store(store.root, store._codec)
    assert fresh.features.keys("i3d") == set(OTHERS)
    (reason,) = (store.root / "quarantine").glob("*.reason.txt")
    assert f"{part}\ndamaged feature part: " in reason.read_text()
    fill(fresh, frames)
    assert_whole(Store(store.root, store._codec), frames)
