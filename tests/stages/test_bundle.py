"""A bundle holds what its numbers follow from: what was changed in it is found and named."""

from __future__ import annotations

import json
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reelbench.core import bundles
from reelbench.core.bundle_writing import BundleWriter
from reelbench.core.bundles import NoBundleError
from reelbench.core.errors import NewerVersionError, StoreError
from reelbench.core.hashing import digest_array
from reelbench.core.run_folders import Results, find_results
from reelbench.core.tables import read_table, to_table
from reelbench.datasets.video import write_lossless
from reelbench.evaluation import evaluate
from reelbench.stages.bundle.checks import Verified, verify_bundle
from reelbench.stages.bundle.contents import write_bundle
from reelbench.stages.comparing.measured import Measured

SECRET = "hf_" + "a1B2" * 8


def moving_noise(seed: int, speed: int) -> np.ndarray:
    picture = np.random.default_rng(seed).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    return np.stack([np.roll(picture, speed * t, axis=1) for t in range(18)])


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory, weights: dict[str, str]) -> Results:
    """Two systems of four clips, one of them lacking a clip, under two protocols."""
    root = tmp_path_factory.mktemp("bundle")
    for number, folder in enumerate(("one", "two", "real")):
        (root / folder).mkdir()
        for index, name in enumerate("abcd"):
            if (folder, name) != ("two", "d"):
                write_lossless(
                    root / folder / f"{name}.mkv", moving_noise(100 * number + index, 1 + number), 8.0
                )
    captions = "".join(f"{name},=HYPERLINK({name}) <b> in /etc/{name}\n" for name in "abcd")
    (root / "captions.csv").write_text("name,caption\n" + captions)
    found = evaluate(
        [root / "one", root / "two"],
        reference=root / "real",
        captions=root / "captions.csv",
        protocol=["clean", "stylegan-v"],
        metrics=["fvd", "kvd", "clipsim", "frame_consistency_consecutive"],
        weights=weights,
        output=root / "evaluations",
        workers=1,
        device="cpu",
    )
    return Results(found.folder, found.tables_dir)


@pytest.fixture(scope="module")
def bundle(results: Results, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("written") / "x.zip"
    assert write_bundle(results, path, features=True).has_features
    return path


@pytest.fixture
def unpacked(bundle: Path, tmp_path: Path) -> Path:
    with zipfile.ZipFile(bundle) as archive:
        archive.extractall(tmp_path / "unpacked")
    return tmp_path / "unpacked"


def sealed(folder: Path) -> Path:
    """The folder as a bundle whose manifest fits what was changed in it."""
    head = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    path = folder.parent / "changed.zip"
    writer = BundleWriter(path)
    for file in sorted(folder.rglob("*")):
        if file.is_file() and file.name != "manifest.json":
            writer.add(file.relative_to(folder).as_posix(), file)
    writer.write({key: value for key, value in head.items() if key != "members"})
    return path


def change_rows(folder: Path, table: str, change: Callable[[list[dict[str, Any]]], None]) -> None:
    path = folder / "tables" / f"{table}.parquet"
    rows = pq.read_table(path).to_pylist()
    change(rows)
    pq.write_table(to_table(table, rows), path)


def found(path: Path) -> list[str]:
    """What does not agree, a line each."""
    return [f"{item.kind}: {item.where}: {item.what}" for item in verify_bundle(path).agreement.findings]


def tables_that_agree(verified: Verified) -> set[str]:
    return {
        table for (_, table), count in verified.agreement.counts.items() if count.exact and not count.differ
    }


def test_every_number_follows_from_a_bundle(bundle: Path) -> None:
    verified = verify_bundle(bundle)
    assert verified.is_sound, verified.agreement.findings
    assert tables_that_agree(verified) >= {"scores", "summary", "comparisons"}
    assert not verified.agreement.not_computed
    metrics = {metric for metric, _ in verified.agreement.counts}
    assert metrics == {"fvd", "kvd", "clipsim", "frame_consistency_consecutive"}
    assert any("clean" in text for text in verified.agreement.checked)


def test_the_same_results_give_the_same_bytes(
    results: Results, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(results.folder.parent)  # nor does the working directory matter
    write_bundle(results, tmp_path / "again.zip", features=True)
    assert (tmp_path / "again.zip").read_bytes() == bundle.read_bytes()


def test_no_place_of_the_machine_and_no_secret_is_in_it(
    results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_TOKEN", "word-of-six-hundred")
    (results.folder / "run.json").write_text(json.dumps({"reelbench": f"0.1.0 {SECRET} word-of-six-hundred"}))
    path = tmp_path / "x.zip"
    write_bundle(results, path, features=False)
    (results.folder / "run.json").unlink()
    with zipfile.ZipFile(path) as archive:
        archive.extractall(tmp_path / "x")
    texts = b"".join(
        file.read_bytes()
        for file in (tmp_path / "x").rglob("*")
        if file.is_file() and file.suffix != ".parquet"
    )
    cells = [pq.read_table(file).to_pylist() for file in (tmp_path / "x").rglob("*.parquet")]
    for place in (str(results.folder.parent.parent), SECRET, "word-of-six-hundred"):
        assert place.encode() not in texts
        assert place not in json.dumps(cells)
    assert "in /etc/a" in json.dumps(cells), "captions are data"


def test_without_features_what_follows_from_the_scores_is_computed(results: Results, tmp_path: Path) -> None:
    written = write_bundle(results, tmp_path / "x.zip", features=False)
    assert any("without the features" in note for note in written.notes)
    verified = verify_bundle(tmp_path / "x.zip")
    assert verified.is_sound, verified.agreement.findings
    result = verified.agreement
    assert result.counts["clipsim", "summary"].exact == 8
    assert result.counts["clipsim", "comparisons"].exact == 2
    assert result.counts["clipsim", "keys of scores"].exact
    assert result.counts["fvd", "Holm's correction"].exact == 2
    assert result.counts["fvd", "signatures"].exact == 8
    assert ("fvd", "summary") not in result.counts
    assert result.not_computed["fvd", "all of it"] == "it holds no features"


def test_one_changed_score_is_named(unpacked: Path) -> None:
    def change(rows: list[dict[str, Any]]) -> None:
        row = next(row for row in rows if row["metric"] == "clipsim" and row["sample_id"] == "c")
        row["value"] += 1e-3

    change_rows(unpacked, "scores", change)
    # A manifest that fits, so that the digests do not tell.
    (finding,) = found(sealed(unpacked))
    assert finding.startswith("scores: clipsim, one,")
    assert "c, seed 0: value: recorded" in finding
    # And as it is: the file, and the very score.
    assert len(told := found(unpacked)) == 2
    assert "tables/scores.parquet: was changed: " in told[0]


def test_one_changed_score_is_found_without_features(unpacked: Path) -> None:
    for file in (unpacked / "features").iterdir():
        file.unlink()

    def change(rows: list[dict[str, Any]]) -> None:
        next(row for row in rows if row["metric"] == "clipsim")["value"] += 1e-3

    change_rows(unpacked, "scores", change)
    told = found(sealed(unpacked))
    assert any(line.startswith("summary: clipsim, one") and "value" in line for line in told)
    assert any(line.startswith("comparisons: clipsim, one, two") for line in told)


@pytest.mark.parametrize(
    "column", ["value", "standard_error", "low", "n", "signature", "score_key", "coverage"]
)
def test_one_changed_cell_of_the_summary_is_named(unpacked: Path, column: str) -> None:
    def change(rows: list[dict[str, Any]]) -> None:
        row = next(
            row
            for row in rows
            if row["metric"] == "clipsim" and row["method"] == "two" and row["seed"] is None
        )
        row[column] = (
            row[column].replace("clipsim", "other") + "0" if isinstance(row[column], str) else row[column] * 2
        )

    change_rows(unpacked, "summary", change)
    told = found(sealed(unpacked))
    assert told
    assert all(line.startswith("summary: clipsim, two") and f"{column}: recorded" in line for line in told)


def test_changed_p_values_and_rows_that_are_gone_are_named(unpacked: Path) -> None:
    def change(rows: list[dict[str, Any]]) -> None:
        row = next(row for row in rows if row["metric"] == "fvd")
        row["p_value"] /= 3
        rows.remove(next(row for row in rows if row["metric"] == "kvd"))

    change_rows(unpacked, "comparisons", change)
    told = found(sealed(unpacked))
    assert any(line.startswith("comparisons: fvd, one, two") and "p_value: recorded" in line for line in told)
    assert any(
        line.startswith("comparisons: kvd, one, two") and "missing in its table" in line for line in told
    )


def test_one_changed_feature_is_named_by_its_clip(unpacked: Path) -> None:
    file = next(file for file in (unpacked / "features").iterdir() if "clip_image" in file.name)
    rows = pq.read_table(file)
    key, values = rows["feature_key"].to_pylist(), rows["values"].to_pylist()
    table = pq.read_table(unpacked / "tables" / "features.parquet").to_pylist()
    clip = next(
        r for r in table if r["extractor"] == "clip_image" and r["method"] == "two" and r["sample_id"] == "b"
    )
    at = key.index(clip["feature_key"])
    array = np.frombuffer(values[at], "<f4").copy()
    array[3] += 0.5
    values[at] = array.tobytes()
    changed = rows.set_column(rows.schema.names.index("values"), "values", pa.array(values, pa.binary()))
    pq.write_table(changed, file)
    told = found(sealed(unpacked))
    assert "feature: clip_image, generated, two, real, b: does not match its digest" in told
    # With a digest that fits as well, the scores of that clip still do not follow.
    digests = rows["digest"].to_pylist()
    digests[at] = digest_array(array.reshape(rows["shape"].to_pylist()[at]))
    pq.write_table(changed.set_column(rows.schema.names.index("digest"), "digest", pa.array(digests)), file)
    told = found(sealed(unpacked))
    assert any(line.startswith("scores: clipsim, two, real, b") for line in told)
    assert not any("one, real" in line for line in told if line.startswith("scores"))


def test_one_changed_setting_of_a_protocol_is_named(unpacked: Path) -> None:
    path = next((unpacked / "protocols").glob("clean-*.json"))
    card = json.loads(path.read_text())
    card["frechet"]["ddof"] = 0
    path.write_text(json.dumps(card))
    (finding,) = found(sealed(unpacked))
    assert finding.startswith("protocol: clean: its card's settings have the digest")
    assert "frechet.ddof: 0, not 1" in finding


def test_a_caption_that_was_changed_is_named(unpacked: Path) -> None:
    lines = (unpacked / "samples.jsonl").read_text(encoding="utf-8").splitlines()
    (unpacked / "samples.jsonl").write_text("\n".join([lines[0].replace("HYPERLINK", "LINK"), *lines[1:]]))
    assert found(sealed(unpacked)) == [
        "sample: real, a: samples.jsonl and the table `clips` differ in caption"
    ]


def test_damaged_missing_and_extra_members_are_named(unpacked: Path, tmp_path: Path) -> None:
    (unpacked / "weights.json").write_text("{}")
    (unpacked / "environment.json").unlink()
    (unpacked / "notes.txt").write_text("mine")
    told = "\n".join(found(unpacked))
    assert "weights.json: was changed: " in told
    assert "environment.json: is missing" in told
    assert "notes.txt: is not in the manifest" in told
    with zipfile.ZipFile(tmp_path / "y.zip", "w") as archive:
        for file in unpacked.rglob("*"):
            if file.is_file():
                archive.write(file, file.relative_to(unpacked).as_posix())
    assert set(told.splitlines()) == set(found(tmp_path / "y.zip"))


def test_plug_ins_named_by_a_bundle_are_never_imported(unpacked: Path, tmp_path: Path) -> None:
    """What follows from their scores is computed all the same, and the code is not looked for."""
    evil = tmp_path / "evil.py"
    evil.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Metric: pass\n")

    def rename(rows: list[dict[str, Any]]) -> None:
        for row in rows:
            if row["metric"] == "clipsim":
                row["metric"] = "mine"

    for table in ("scores", "summary", "comparisons"):
        change_rows(unpacked, table, rename)
    run_file = json.loads((unpacked / "run_file.json").read_text())
    run_file["metrics"] = [f"{evil}:Metric" if name == "clipsim" else name for name in run_file["metrics"]]
    (unpacked / "run_file.json").write_text(json.dumps(run_file))
    change_rows(unpacked, "runs", lambda rows: rows[0].update(run_file=json.dumps(run_file)))
    verified = verify_bundle(sealed(unpacked))
    assert verified.is_sound, verified.agreement.findings
    assert "not installed here" in verified.agreement.not_computed["mine", "values of clips"]
    assert verified.agreement.counts["mine", "summary"].exact == 8
    assert not (tmp_path / "ran").exists()


def test_a_file_that_is_there_is_replaced_only_when_asked(results: Results, tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    path.write_text("mine")
    with pytest.raises(StoreError, match="is there already"):
        write_bundle(results, path)
    assert path.read_text() == "mine"
    write_bundle(results, path, force=True)
    assert bundles.is_bundle(path)


def test_features_that_are_asked_for_must_be_there(results: Results, tmp_path: Path) -> None:
    (tmp_path / "store" / "features").mkdir(parents=True)
    with pytest.raises(StoreError, match="not in the store any more"):
        write_bundle(results, tmp_path / "x.zip", features=True, store=tmp_path / "store")
    written = write_bundle(results, tmp_path / "x.zip", store=tmp_path / "store")
    assert not written.has_features


def test_a_bundle_stands_for_its_results(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    found = find_results(bundle)
    assert len(read_table(found.tables, "summary")) == 32
    clips = read_table(found.tables, "clips").to_pylist()
    assert {row["path"] for row in clips} == {None}, "no file of this machine is named by a stranger"
    assert find_results(bundle) == found
    assert Measured(found).record is not None
    with pytest.raises(NoBundleError):
        find_results(archive_of(tmp_path / "x.zip", "README.md"))


def gone(name: str) -> Callable[[Path], None]:
    return lambda folder: next(folder.glob(name)).unlink()


def holding(name: str, text: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_text(text)  # type: ignore[return-value]


def with_entry(name: str, key: str, value: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / name
        path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))

    return change


def with_cells(table: str, column: str, value: Any, method: str = "two") -> Callable[[Path], None]:
    def change(rows: list[dict[str, Any]]) -> None:
        for row in rows:
            if row.get("method", method) == method:
                row[column] = value

    return lambda folder: change_rows(folder, table, change)


@pytest.mark.parametrize(
    ("change", "where", "what"),
    [
        (gone("run_file.json"), "run_file.json", "is missing"),
        (gone("weights.json"), "weights.json", "is missing"),
        (gone("environment.json"), "environment.json", "is missing"),
        (gone("samples.jsonl"), "samples.jsonl", "is missing"),
        (gone("protocols/clean-*.json"), "protocols/clean-", "is missing"),
        (gone("tables/runs.parquet"), "tables/runs.parquet", "is missing"),
        (gone("tables/summary.parquet"), "tables/summary.parquet", "is missing"),
        (holding("tables/summary.parquet", "x"), "tables/summary.parquet", "no readable Parquet file"),
        (holding("run_file.json", "null"), "run_file.json", "holds null in place of an object"),
        (holding("weights.json", "null"), "weights.json", "holds null in place of an object"),
        (holding("environment.json", "[]"), "environment.json", "holds [] in place of an object"),
        (holding("run.json", "null"), "run.json", "holds null in place of an object"),
        (holding("samples.jsonl", "1\n"), "samples.jsonl", "its line 1 is no object"),
        (with_entry("environment.json", "hardware", "H100"), "environment.json", "hardware: it says 'H100'"),
        (with_entry("environment.json", "libraries", {}), "environment.json", "libraries: it says {}"),
        (holding("run.json", '{"num_clips": 70}'), "run.json", "num_clips: it says 70"),
        (with_cells("runs", "num_clips", 70), "runs", "num_clips: 70, and the table `clips` has 7"),
        (with_cells("summary", "method_name", "x"), "two", "method_name: the summary says 'x', the run file"),
        (with_cells("summary", "hardware", "H100"), "two", "hardware: the summary says 'H100'"),
        (with_cells("summary", "conditioning", "text"), "two", "conditioning: summary and scores say 'text'"),
    ],
)
def test_what_is_gone_of_another_type_or_contradicts_is_one_named_fault(
    unpacked: Path, change: Callable[[Path], None], where: str, what: str
) -> None:
    change(unpacked)
    told = found(sealed(unpacked))
    assert any(f": {where}" in line and what in line for line in told), told


def test_a_method_that_was_dropped_is_one_fault(unpacked: Path) -> None:
    change_rows(unpacked, "summary", lambda rows: rows.__setitem__(slice(None), of_one(rows)))
    (finding,) = found(sealed(unpacked))
    assert finding == "fact: two: is in the table `clips`, and the summary has no row of this method"
    for table in ("clips", "scores", "curves", "features"):
        change_rows(unpacked, table, lambda rows: rows.__setitem__(slice(None), of_one(rows)))
    change_rows(unpacked, "comparisons", list.clear)
    told = found(sealed(unpacked))
    assert "fact: two: is in the run file, and the summary has no row of this method" in told
    assert len(told) < 5


def of_one(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for row in rows if row["method"] != "two"]


def test_settings_of_a_method_are_those_of_the_run_file_and_of_its_record(unpacked: Path) -> None:
    run_file = json.loads((unpacked / "run_file.json").read_text())
    next(entry for entry in run_file["methods"] if entry.get("label") == "two")["config"] = {"steps": 50}
    (unpacked / "run_file.json").write_text(json.dumps(run_file))
    change_rows(unpacked, "runs", lambda rows: rows[0].update(run_file=json.dumps(run_file)))
    with_cells("summary", "method_config", '{"steps":5}')(unpacked)
    told = found(sealed(unpacked))
    assert "fact: two: method_config, steps: the summary says 5, the run file 50" in told


def test_what_the_results_never_had_is_not_checked(results: Results, tmp_path: Path) -> None:
    (tmp_path / "few").mkdir()
    for name in ("summary", "scores"):
        (tmp_path / "few" / f"{name}.parquet").write_bytes((results.tables / f"{name}.parquet").read_bytes())
    write_bundle(find_results(tmp_path / "few"), tmp_path / "x.zip")
    verified = verify_bundle(tmp_path / "x.zip")
    assert verified.is_sound, verified.agreement.findings
    assert "tables/clips.parquet: absent from the results that were packed" in verified.agreement.not_checked
    assert verified.agreement.is_partial


@pytest.mark.parametrize("num_values", [0, 1])
def test_what_hangs_on_code_that_is_not_here_is_not_computed(tmp_path: Path, num_values: int) -> None:
    """A plug-in's metric alone knows how few clips are too few for it."""
    (tmp_path / "clips").mkdir()
    for number in range(num_values):
        write_lossless(tmp_path / "clips" / f"{number}.mkv", moving_noise(number, 1), 8.0)
    (tmp_path / "clips" / "broken.mkv").write_bytes(b"x")
    tiny = Path(__file__).parents[1] / "plugins" / "tiny.py"
    of_tiny = evaluate(
        tmp_path / "clips", metrics=f"{tiny}:Steadiness", output=tmp_path / "out", workers=1, device="cpu"
    )
    write_bundle(Results(of_tiny.folder, of_tiny.tables_dir), tmp_path / "x.zip", features=True)
    verified = verify_bundle(tmp_path / "x.zip")
    assert verified.is_sound, verified.agreement.findings
    assert "not installed here" in verified.agreement.not_computed["steadiness", "values that are not there"]
    assert verified.agreement.counts["steadiness", "summary"].exact


# -- hostile files --------------------------------------------------------------------------------


def archive_of(path: Path, *names: str, attributes: int = 0) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            entry = zipfile.ZipInfo("x")
            entry.filename = name
            entry.external_attr = attributes
            archive.writestr(entry, b"{}")
    return path


@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "/etc/evil",
        "a/../../evil",
        "C:\\evil",
        "..\\evil",
        "a//b",
        "a/b/c/d/e",
        ".hidden",
        "nul\0x",
        "é",
        " ",
    ],
)
def test_names_that_lead_elsewhere_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(NoBundleError, match="has a name that no member of a bundle has"):
        verify_bundle(archive_of(tmp_path / "x.zip", "manifest.json", name))
    assert [path.name for path in tmp_path.iterdir()] == ["x.zip"]


def test_links_and_doubles_are_refused(tmp_path: Path) -> None:
    link = (stat.S_IFLNK | 0o777) << 16
    with pytest.raises(NoBundleError, match="is a link"):
        verify_bundle(archive_of(tmp_path / "x.zip", "tables", attributes=link))
    with pytest.warns(UserWarning, match="Duplicate"), pytest.raises(NoBundleError, match="is there twice"):
        verify_bundle(archive_of(tmp_path / "y.zip", "README.md", "README.md"))
    with pytest.raises(NoBundleError, match="is there twice"):
        verify_bundle(archive_of(tmp_path / "z.zip", "readme.md", "README.md"))


def test_bombs_are_stopped_by_what_they_declare_and_by_what_comes_out(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("README.md", bytes(1 << 22))
    monkeypatch.setattr(bundles, "MAX_TOTAL_BYTES", 1 << 20)
    with pytest.raises(NoBundleError, match="larger than a bundle can be"):
        verify_bundle(tmp_path / "x.zip")
    monkeypatch.undo()
    # Declares ten bytes in its directory and holds four million.
    data = bytearray((tmp_path / "x.zip").read_bytes())
    at = data.rfind(b"PK\1\2")
    data[at + 24 : at + 28] = struct.pack("<I", 10)
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        manifest = {
            "format": "reelbench-bundle",
            "format_version": 1,
            "members": {"a": {"sha256": "0" * 64, "bytes": 10}},
        }
        archive.writestr("manifest.json", json.dumps(manifest))
        archive.writestr("a", bytes(1 << 22))
    told = found(tmp_path / "x.zip")
    assert any("member: a: was changed: it has 4194304 bytes, the manifest says 10" in line for line in told)
    monkeypatch.setattr(bundles, "MAX_MEMBERS", 3)
    with pytest.raises(NoBundleError, match="members, a bundle at most 3"):
        verify_bundle(bundle)
    monkeypatch.setattr(bundles, "_MAX_DIRECTORY_BYTES", 100)
    with pytest.raises(NoBundleError, match="the directory of"):
        verify_bundle(bundle)


@pytest.mark.parametrize("length", [0, 1, 21, 100, 0.5, 0.99])
def test_what_is_no_whole_zip_is_said_to_be_none(bundle: Path, tmp_path: Path, length: float) -> None:
    data = bundle.read_bytes()
    (tmp_path / "x.zip").write_bytes(data[: length if isinstance(length, int) else int(len(data) * length)])
    with pytest.raises(NoBundleError, match="no whole zip file"):
        verify_bundle(tmp_path / "x.zip")


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"format": "x"}', '{"format": "reelbench-bundle"}', "[" * 100_000]
)
def test_a_manifest_of_something_else_is_no_bundle(tmp_path: Path, text: str) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("manifest.json", text)
    with pytest.raises(NoBundleError):
        verify_bundle(tmp_path / "x.zip")


def test_a_bundle_of_a_newer_version_is_not_judged(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("manifest.json", json.dumps({"format": "reelbench-bundle", "format_version": 2}))
    with pytest.raises(NewerVersionError, match="newer Reelbench"):
        verify_bundle(tmp_path / "x.zip")


def test_rows_that_no_run_writes_are_findings(unpacked: Path) -> None:
    def wreck(rows: list[dict[str, Any]]) -> None:
        for row in rows:
            row["seed"] = row["source"] = row["method"] = None

    change_rows(unpacked, "scores", wreck)
    change_rows(unpacked, "clips", wreck)
    assert found(sealed(unpacked))


def test_a_table_that_unfolds_is_not_read(unpacked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A word of a dictionary is written once, and may stand in a million rows."""
    from reelbench.stages.bundle import reading

    rows = pq.read_table(unpacked / "tables" / "scores.parquet").to_pylist()
    rows = [{**rows[0], "source": "x" * 10_000, "sample_id": str(n)} for n in range(500)]
    pq.write_table(to_table("scores", rows), unpacked / "tables" / "scores.parquet")
    monkeypatch.setattr(reading, "MAX_COLUMN_BYTES", 1_000_000)
    told = found(sealed(unpacked))
    assert any("tables/scores.parquet" in line and "too long together" in line for line in told)


def test_links_in_an_unpacked_bundle_are_not_followed(unpacked: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("x")
    (unpacked / "weights.json").unlink()
    (unpacked / "weights.json").symlink_to(secret)
    with pytest.raises(NoBundleError, match="is a link"):
        verify_bundle(unpacked)
