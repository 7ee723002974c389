"""Two versions of Reelbench on one store: neither destroys what the other wrote."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from reelbench.core.errors import NewerVersionError
from reelbench.core.file_digests import FileDigests
from reelbench.core.hashing import digest
from reelbench.core.store import Store
from reelbench.core.tables import Tables, read_table, write_table

KEY = digest("work")
FIELDS: dict[str, Any] = {"method_key": digest("method"), "prompt": "a red circle", "seed": 7}
NEWER = {
    "schema_version": 2,
    "state": {"of": "another kind"},
    "provenance": {"reelbench": "0.9.0"},
    "reelbench": "0.9.0",
}
SAYS = r"written by Reelbench 0\.9\.0 \(schema version 2; .* knows 1\)"


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def planted(path: Path, data: object = NEWER) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data))
    return path


def reread(store: Store) -> Store:
    return Store(store.root, store._codec)


def test_unknown_fields_of_the_same_schema_are_read_and_kept(store: Store, frames: np.ndarray) -> None:
    store.clips.put(KEY, frames, 8.0, sample_id="one", **FIELDS)
    store.artifacts.put(KEY, b"weights", source="video1", **FIELDS)
    store.put_failure(KEY, ValueError("no"))
    for path in store.root.rglob("*.json"):
        planted(path, json.loads(path.read_text()) | {"invented": [1, {"later": None}]})
    store = reread(store)
    clip, tuning, failure = store.clips.done(KEY), store.artifacts.done(KEY), store.failure(KEY)
    assert clip is not None
    assert tuning is not None
    assert failure is not None
    assert (store.clips.load(clip) == frames).all()
    assert store.artifacts.load(tuning) == b"weights"
    assert failure.message == "no"
    for record in (clip, tuning, failure):
        assert json.loads(record.model_dump_json())["invented"] == [1, {"later": None}]
    assert not (store.root / "quarantine").exists()


def test_a_newer_record_of_a_clip_is_there_and_neither_read_nor_replaced(
    store: Store, frames: np.ndarray
) -> None:
    planted(store.clips.folder(KEY) / "record.json")
    store.clips.path(KEY).write_bytes(b"theirs")
    before = contents(store.root)
    record = store.clips.record(KEY)
    assert record is not None
    assert (record.status, record.content_digest) == ("failed", None)
    assert record.error is not None
    assert record.error.type == "NewerVersionError"
    assert store.clips.done(KEY) is None
    with pytest.raises(NewerVersionError, match=SAYS):
        store.clips.put(KEY, frames, 8.0, sample_id="one", **FIELDS)
    store.clips.put_failure(KEY, ValueError("no"), sample_id="one", **FIELDS)
    store.files.sweep()
    assert contents(store.root) == before
    (note,) = store.files.notes()
    assert "0.9.0" in note
    assert "upgrade Reelbench, or name another `store`" in note


def test_a_newer_record_of_a_tuning_is_left_alone_with_its_checkpoint(store: Store) -> None:
    folder = planted(store.artifacts.folder(KEY) / "record.json").parent
    for name in ("artifact.safetensors", "checkpoint.pt", "elapsed.json"):
        (folder / name).write_bytes(b"theirs")
    before = contents(store.root)
    assert store.artifacts.done(KEY) is None
    assert store.artifacts.elapsed_s(KEY) == 0.0
    with pytest.raises(NewerVersionError, match=SAYS):
        store.artifacts.put(KEY, b"ours", source="video1", **FIELDS)
    store.artifacts.put_failure(KEY, ValueError("no"), source="video1", **FIELDS)
    assert contents(store.root) == before


def test_a_newer_failure_is_told_and_not_replaced(store: Store) -> None:
    path = planted(store.files.path("failures", KEY, ".json"))
    before = contents(store.root)
    failure = store.failure(KEY)
    assert failure is not None
    assert "0.9.0" in failure.message
    store.put_failure(KEY, ValueError("no"))
    assert contents(store.root) == before
    assert path in store.files.left_alone


@pytest.mark.parametrize("same_columns", [True, False])
def test_features_of_a_newer_part_are_made_again_beside_it(store: Store, same_columns: bool) -> None:
    rows = {digest(i): np.full((2, 3), i, dtype=np.float32) for i in range(3)}
    store.features.put("i3d", rows)
    (part,) = store.features.part_files()
    table = pq.read_table(part)
    if not same_columns:
        table = table.rename_columns(["key", "form", "numbers", "sum"])
    newer = {"reelbench.schema_version": "2", "reelbench.version": "0.9.0"}
    pq.write_table(table.replace_schema_metadata(newer), part)
    before = contents(store.root)
    store = reread(store)
    assert store.features.keys("i3d") == set()
    assert "0.9.0" in store.files.notes()[0]
    for _ in range(2):  # the second time nothing more is written
        store.features.put("i3d", rows)
        store = reread(store)
        assert store.features.keys("i3d") == set(rows)
        assert len(store.features.part_files()) == 2
    assert contents(store.root).items() >= before.items()
    assert not (store.root / "quarantine").exists()


def test_a_store_of_a_newer_format_is_refused_in_one_line(store: Store) -> None:
    planted(store.root / "format.json")
    for read_only in (True, False):
        with pytest.raises(NewerVersionError, match=SAYS) as refused:
            Store(store.root, store._codec, read_only=read_only)
        assert "\n" not in refused.value.message
    assert contents(store.root)[store.root / "format.json"] == json.dumps(NEWER).encode()


def test_the_mark_of_a_store_says_which_version_made_it_and_a_damaged_one_is_made_again(store: Store) -> None:
    mark = store.root / "format.json"
    assert json.loads(mark.read_text())["schema_version"] == 1
    for damage in (b"", b"{", b"\xff\xfe", b"[1]"):
        mark.write_bytes(damage)
        assert json.loads((reread(store).root / "format.json").read_text())["schema_version"] == 1


@pytest.mark.parametrize("version", ["1", "0", "", "x", True, None, [2], 1.5, "9" * 10_000])
def test_only_a_number_above_ours_is_a_newer_schema(store: Store, version: object) -> None:
    planted(store.clips.folder(KEY) / "record.json", {"schema_version": version})
    record = store.clips.record(KEY)
    assert (record is not None) == (version == "9" * 10_000)


def test_newer_tables_are_neither_read_nor_replaced(tmp_path: Path) -> None:
    Tables().write(tmp_path)
    path = tmp_path / "runs.parquet"
    pq.write_table(pq.read_table(path).replace_schema_metadata({"reelbench.schema_version": "99"}), path)
    before = path.read_bytes()
    calls: list[Callable[[], object]] = [
        lambda: read_table(tmp_path, "runs"),
        lambda: write_table(tmp_path, "runs", []),
    ]
    for call in calls:
        with pytest.raises(NewerVersionError, match="upgrade Reelbench, or give another folder"):
            call()
    assert path.read_bytes() == before


def test_what_another_version_remembers_in_a_cache_is_kept(tmp_path: Path) -> None:
    cache, file = tmp_path / "videos_digests.json", tmp_path / "a.mp4"
    file.write_bytes(b"video")
    planted(cache, {"b.mp4|1|2": "old", "c.mp4": {"digest": "of another kind"}})
    digests = FileDigests(cache)
    digests.digest(file)
    digests.save()
    kept = json.loads(cache.read_text())
    assert kept["c.mp4"] == {"digest": "of another kind"}
    assert kept["b.mp4|1|2"] == "old"
    assert len(kept) == 3


def test_what_may_not_be_read_is_left_alone_and_said(
    store: Store, frames: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.clips.put(KEY, frames, 8.0, sample_id="one", **FIELDS)
    store.features.put("i3d", {KEY: np.ones(3, dtype=np.float32)})
    before, real = contents(store.root), Path.read_text

    def denied(path: Path, *arguments: Any, **options: Any) -> Any:
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as patched:  # root may read all, so no mode of a file can stand for it
        patched.setattr(
            Path, "read_text", lambda self, *a, **k: denied(self) if KEY in str(self) else real(self, *a, **k)
        )
        patched.setattr(pq, "ParquetFile", denied)
        patched.setattr(pq, "read_schema", denied)
        record = store.clips.record(KEY)
        assert record is not None
        assert record.error is not None
        assert "Permission denied" in record.error.message
        assert store.features.keys("i3d") == set()
        assert "give this user the right to read" in store.files.notes()[0]
    assert contents(store.root) == before
