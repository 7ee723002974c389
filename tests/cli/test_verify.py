"""`reelbench verify`: damage to whatever is stored, and changed sources, are found and made up for."""

from __future__ import annotations

import json
import os
import re
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from reelbench.cli.main import app
from reelbench.core.hashing import digest
from reelbench.core.store import Store, Verification, record_results
from reelbench.core.store.verification import SAME_TIME
from reelbench.core.tables import ClipRow, Tables
from reelbench.datasets.video import default_codec, write_lossless
from reelbench.evaluation import evaluate

CLIP, TUNING, FAILED = digest("clip"), digest("tuning"), digest("failed")
FIELDS: dict[str, Any] = {"method_key": digest("method"), "prompt": "a red circle", "seed": 7}


def frames(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)


def verify(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["verify", *map(str, arguments)], catch_exceptions=False)


def findings(*arguments: object) -> dict[str, str]:
    """What is found, by kind: the reason."""
    result = verify(*arguments, "--json")
    found = {item["kind"]: item["reason"] for item in json.loads(result.stdout)["findings"]}
    assert result.exit_code == (1 if found else 0), result.output
    return found


def flip(path: Path, at: float = 0.5) -> None:
    """Change a byte and leave size and time as they were, as failing disks do."""
    stat, data = path.stat(), bytearray(path.read_bytes())
    data[int(len(data) * at)] ^= 0xFF
    path.write_bytes(data)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A clip, a tuning, features and a failure."""
    store = Store(tmp_path / "store", default_codec())
    store.clips.put(CLIP, frames(0), 8.0, sample_id="one", **FIELDS)
    store.artifacts.put(TUNING, b"weights" * 100, source="video1", **FIELDS)
    features = {digest(index): np.random.default_rng(index).normal(size=(4, 8)) for index in range(3)}
    store.features.put("i3d", features)
    store.put_failure(FAILED, ValueError("too short"))
    return store


def test_what_is_as_it_was_written_is_said_to_be(store: Store) -> None:
    result = verify(store.root)
    assert result.exit_code == 0, result.output
    assert "1 clips, 3 features, 1 tunings checked" in result.output
    assert "all is as it was written" in result.output


def test_what_a_newer_version_wrote_is_not_said_to_be_sound(store: Store) -> None:
    path = store.clips.folder(CLIP) / "record.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**record, "schema_version": 99}), encoding="utf-8")
    result = verify(store.root)
    assert result.exit_code == 0, result.output
    assert "note: 1 of the files in" in result.output
    assert "(schema version 99;" in result.output
    assert "all that was checked is as it was written" in result.output


def part(store: Store) -> Path:
    (path,) = store.features.part_files()
    return path


@pytest.mark.parametrize(
    ("kind", "path", "words"),
    [
        ("clip", lambda store: store.clips.path(CLIP), "clip.mkv"),
        ("clip", lambda store: store.clips.folder(CLIP) / "record.json", "malformed|unreadable"),
        ("tuning", lambda store: store.artifacts.path(TUNING), "digest"),
        ("tuning", lambda store: store.artifacts.folder(TUNING) / "record.json", "malformed|unreadable"),
        ("features", part, "damaged feature part"),
        ("failure", lambda store: store.files.path("failures", FAILED, ".json"), "unreadable failure"),
    ],
)
@pytest.mark.parametrize("how", ["flipped", "cut", "emptied"])
def test_damage_is_found_and_set_aside(
    store: Store, kind: str, path: Callable[[Store], Path], words: str, how: str
) -> None:
    damaged = path(store)
    if how == "flipped":
        flip(damaged, {".json": 0.02, ".parquet": 0.25}.get(damaged.suffix, 0.5))
    else:
        damaged.write_bytes(damaged.read_bytes()[: 40 if how == "cut" else 0])
    before = sorted(store.root.rglob("*"))
    found = findings(store.root)
    assert list(found) == [kind]
    assert re.search(words, found[kind])
    assert sorted(store.root.rglob("*")) == before  # looking changes nothing
    assert "--quarantine" in verify(store.root).output
    assert list(findings(store.root, "--quarantine")) == [kind]
    assert findings(store.root) == {}
    assert any((store.root / "quarantine").iterdir())


@pytest.mark.parametrize("how", ["gone", "cut"])
def test_a_preview_is_written_anew(store: Store, how: str) -> None:
    path = store.clips.preview_path(CLIP)
    data = path.read_bytes()
    path.unlink() if how == "gone" else path.write_bytes(data[:100])
    assert list(findings(store.root)) == ["preview"]
    findings(store.root, "--quarantine")
    assert path.read_bytes() == data
    assert findings(store.root) == {}


@pytest.fixture
def measured(tmp_path: Path) -> Path:
    """An evaluation of three clips, in the folder "out"."""
    folder = tmp_path / "made"
    folder.mkdir()
    for index, name in enumerate("abc"):
        write_lossless(folder / f"{name}.mkv", frames(index), 8.0)
    evaluate(folder, output=tmp_path / "out", metrics="temporal_flickering")
    return tmp_path / "out"


def test_a_clip_that_is_damaged_after_it_was_measured_is_noticed(measured: Path) -> None:
    assert findings(measured) == {}

    def scores() -> list[float]:
        again = evaluate(measured.parent / "made", output=measured, metrics="temporal_flickering")
        return list(again.scores["value"])

    clip, before = measured.parent / "made" / "b.mkv", scores()
    flip(clip)
    assert findings(measured) == {"video": SAME_TIME}
    assert "places again, then `reelbench verify" in verify(measured).output
    assert "reelbench evaluate" in verify(measured).output
    assert scores() == before  # nothing else would notice: digests are remembered by size and time
    findings(measured, "--quarantine")
    assert scores() != before
    assert findings(measured) == {}


@pytest.mark.parametrize("how", ["cut", "replaced"])
def test_sources_that_changed_since_are_named(measured: Path, how: str) -> None:
    clip = measured.parent / "made" / "b.mkv"
    if how == "cut":
        clip.write_bytes(clip.read_bytes()[:500])
    else:
        write_lossless(clip, frames(9), 8.0)
    (results,) = (path.parent for path in measured.glob("*/inputs.json"))
    for place in (measured, results, measured / "store"):
        assert findings(place) == {"video": "changed since it was read"}
    assert "b.mkv" in verify(measured).output


def test_sources_that_were_only_touched_are_sound_and_those_that_tables_name_must_be_there(
    measured: Path,
) -> None:
    os.utime(measured.parent / "made" / "a.mkv")
    assert findings(measured) == {}
    shutil.rmtree(measured.parent / "made")
    result = verify(measured / "store")
    assert result.exit_code == 0
    assert "3 source files are no longer where they were read" in result.output
    result = verify(measured)
    assert result.exit_code == 1
    assert result.output.count("is not there: copy it to its place again") == 3
    assert "no longer where" not in result.output


def test_damaged_tables_are_found(measured: Path) -> None:
    (table,) = measured.glob("*/tables/scores.parquet")
    table.write_bytes(table.read_bytes()[:-300])
    assert list(findings(measured)) == ["table"]


def test_nothing_to_verify_is_an_error_with_words(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "missing.yaml", tmp_path / "missing"):
        result = verify(place)
        assert result.exit_code == 2
        assert "error:" in result.output
        assert "->" in result.output


def test_a_run_file_stands_for_its_store_and_its_tables(store: Store, tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "configs" / "demo.yaml").read_text(encoding="utf-8")
    run_file = tmp_path / "run.yaml"
    run_file.write_text(re.sub(r"(?m)^(output|store):.*$", "", text) + f"\noutput: {tmp_path}\n")
    assert findings(run_file) == {}
    flip(store.clips.path(CLIP))
    tables = tmp_path / "demo" / "tables"
    tables.mkdir(parents=True)
    (tables / "clips.parquet").write_bytes(b"PAR1")
    assert set(findings(run_file)) == {"clip", "table"}
    assert f"reelbench run {run_file}" in verify(run_file).output.replace("\n", "")


def test_changed_values_in_tables_and_reports_are_found(measured: Path) -> None:
    (results,) = (path.parent for path in measured.glob("*/inputs.json"))
    path = results / "tables" / "scores.parquet"
    table, written = pq.read_table(path), path.read_bytes()
    changed = pc.add(table["value"], 0.25)
    pq.write_table(table.set_column(table.schema.get_field_index("value"), "value", changed), path)
    assert "is not what was written" in findings(measured)["table"]
    path.write_bytes(written)
    (results / "report.html").write_text("better")
    assert "is not what was written" in findings(measured)["report"]
    (results / "digests.json").unlink()  # as versions before this one left it
    result = verify(measured)
    assert result.exit_code == 0
    assert "not recorded" in result.output
    path.unlink()
    assert "is not there" in findings(measured)["table"]


@pytest.mark.parametrize(
    ("pattern", "kind"),
    [
        ("*/tables/summary.parquet", "table"),
        ("*/tables", "table"),
        ("*/report.html", "report"),
        ("store/features/*/*.parquet", "features"),
        ("store/features", "features"),
    ],
)
def test_what_is_missing_is_named_with_what_makes_it_again(measured: Path, pattern: str, kind: str) -> None:
    (path,) = measured.glob(pattern)
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    found = findings(measured)
    assert list(found) == [kind]
    assert "reelbench evaluate" in found[kind]


@pytest.mark.parametrize("how", ["record", "folder"])
@pytest.mark.parametrize("kind", ["clip", "tuning"])
def test_clips_and_tunings_that_a_runs_tables_name_must_be_there(
    store: Store, tmp_path: Path, kind: str, how: str
) -> None:
    run_file = tmp_path / "run.yaml"
    text = (Path(__file__).parents[2] / "configs" / "demo.yaml").read_text(encoding="utf-8")
    run_file.write_text(re.sub(r"(?m)^(output|store):.*$", "", text) + f"\noutput: {tmp_path}\n")
    row = ClipRow(
        run="demo", side="generated", dataset="d", split="", sample_id="one", source="one",
        clip_key=CLIP, tune_key=TUNING, status="done",
    )  # fmt: skip
    Tables(clips=[row]).write(tmp_path / "demo" / "tables")
    record_results(tmp_path / "demo")
    assert findings(run_file) == {}
    folder = store.clips.folder(CLIP) if kind == "clip" else store.artifacts.folder(TUNING)
    (folder / "record.json").unlink() if how == "record" else shutil.rmtree(folder)
    assert "is not there" in findings(run_file)[kind]
    if how == "record":  # the store alone shows it, too
        assert "is not there beside" in findings(store.root)[kind]


def test_features_are_counted_right_from_several_threads(store: Store) -> None:
    for index in range(40):
        store.features.put("clip", {digest(["part", index]): np.ones((2, 4), np.float32)})
    verification = Verification(store)
    barrier = threading.Barrier(8)
    checked = store.features.check

    def slow(path: Path) -> set[str]:
        keys = checked(path)
        if len(keys) == 1:
            barrier.wait(10)  # all have begun before any is counted
        return keys

    store.features.check = slow  # type: ignore[method-assign]
    parts = [path for path in store.features.part_files() if path.parent.name == "clip"]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(verification._part, parts))
    assert verification.checked["features"] == 40


@pytest.mark.parametrize("text", ["[" * 100_000, "{}", '{"key": "' + "x" * 5000 + '"}', "[1]"])
def test_damaged_records_are_told_in_a_short_line(store: Store, text: str) -> None:
    (store.clips.folder(CLIP) / "record.json").write_text(text)
    store.files.path("failures", FAILED, ".json").write_text(text)
    found = findings(store.root)
    for kind in ("clip", "failure"):
        assert len(found[kind]) < 250
        assert "\n" not in found[kind]
        assert "input" not in found[kind].lower().replace("input should be", "")


def test_a_stored_clip_is_not_to_be_copied_again(store: Store) -> None:
    path = store.clips.path(CLIP)
    path.write_bytes(path.read_bytes()[:-200])
    assert "copy it again" not in findings(store.root)["clip"]
