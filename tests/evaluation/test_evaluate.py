"""`evaluate`: from folders of videos to tables, the same whatever the way the work is done."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Never

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from reelbench.core.errors import EvaluationError, UnknownNameError, WeightsError
from reelbench.core.tables import PROVENANCE_COLUMNS
from reelbench.core.types import ClipRef
from reelbench.datasets.video import read_clip, seer_frames
from reelbench.evaluation import evaluate, evaluator, result_tables
from reelbench.stages import extraction


def moving_noise(seed: int, num_frames: int = 18, size: int = 32) -> np.ndarray:
    picture = np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)
    return np.stack([np.roll(picture, t, axis=1) for t in range(num_frames)])


@pytest.fixture
def measure(folders: Any, weights: dict[str, str], tmp_path: Path) -> Callable[..., Any]:
    """evaluate() on the folders, with changes."""

    def run(**changes: dict[str, Any]) -> Any:
        settings = {
            "generated": folders.generated,
            "reference": folders.real,
            "captions": folders.captions,
            "weights": weights,
            "output": tmp_path / "out",
            "workers": 1,
            "device": "cpu",
        } | changes
        return evaluate(settings.pop("generated"), **settings)

    return run


def row(result: Any, metric: str, **conditions: Any) -> Any:
    found = [
        item
        for item in pq.read_table(result.tables_dir / "summary.parquet").to_pylist()
        if item["metric"] == metric
        and item["seed"] is None
        and all(item[name] == value for name, value in conditions.items())
    ]
    assert len(found) == 1, (metric, conditions, len(found))
    return found[0]


def comparable(result: Any) -> Any:
    return {
        path.stem: [
            {key: value for key, value in item.items() if key not in PROVENANCE_COLUMNS}
            for item in pq.read_table(path).to_pylist()
        ]
        for path in sorted(result.tables_dir.glob("*.parquet"))
    }


def test_features_that_were_damaged_on_disk_are_made_again_by_the_same_command(
    measure: Callable[..., Any], tmp_path: Path
) -> None:
    before = measure()
    parts = sorted((tmp_path / "out" / "store" / "features").glob("*/*.parquet"))
    for part in parts:
        group = pq.read_metadata(part).row_group(0)
        columns = {group.column(i).path_in_schema: group.column(i) for i in range(group.num_columns)}
        values = columns["values"]  # a list of the keys never touches them
        data = bytearray(part.read_bytes())
        start = values.dictionary_page_offset or values.data_page_offset
        data[start + values.total_compressed_size // 2] ^= 255
        part.write_bytes(data)
    after = measure()
    assert after.num_failures == 0
    assert comparable(after) == comparable(before)
    aside = tmp_path / "out" / "store" / "quarantine"
    assert len(list(aside.glob("*.parquet"))) == len(parts)


def test_three_lines_give_every_metric_that_what_is_given_allows(measure: Callable[..., Any]) -> None:
    result = measure()
    assert result.num_failures == 0
    assert set(result.summary["metric"]) == {
        "fvd",
        "kvd",
        "clipsim",
        "frame_consistency_all_pairs",
        "frame_consistency_consecutive",
    }
    fvd = row(result, "fvd")
    assert (fvd["n"], fvd["n_reference"], fvd["coverage"]) == (6, 6, 1.0)
    assert fvd["protocol"] == "clean"
    assert fvd["signature"].startswith("fvd.1|n:6|nref:6|")
    assert len(result.scores) == 3 * 6
    assert "CLIPSIM" in str(result)
    assert (result.folder / "report.html").stat().st_size > 10_000


def test_only_what_is_given_is_measured_by_default(measure: Callable[..., Any]) -> None:
    result = measure(reference=None, captions=None)
    assert {name.split("_")[0] for name in result.summary["metric"]} == {"frame"}


TWO_WAYS = """
name: two-ways
version: "1"
i3d:
  resolution: 20
  reference_resize: [{size: resolution, quantise: truncate-signed}, {size: 224}]
"""
"""Reference clips go through 20 pixels, generated ones do not."""


@pytest.mark.parametrize("text", [None, TWO_WAYS], ids=["clean", "two-ways"])
def test_values_are_those_of_the_parts_put_together_by_hand(
    measure: Callable[..., Any], folders: Any, weights: dict[str, str], text: str | None
) -> None:
    """FVD of the evaluator against reading, I3D and the distance called one by one."""
    from reelbench.metrics.build import build_extractor
    from reelbench.metrics.protocol import load_protocol, parse_protocol
    from reelbench.metrics.sets.frechet import frechet_distance

    file = folders.root / "mine.yaml"
    if text is not None:
        file.write_text(text)
    protocol = load_protocol("clean" if text is None else file)
    ways = (
        protocol.of_references()
        if text is None
        else parse_protocol(
            {"name": "x", "version": "1", "i3d": {"resize": list(protocol.i3d.reference_resize or ())}}
        )
    )
    session = build_extractor("i3d", protocol, weights).load("cpu")
    of_references = build_extractor("i3d", ways, weights).load("cpu")
    real = [
        read_clip(ClipRef(folders.real / f"{name}.mkv"), **protocol.sampling.reading(name))
        for name in folders.names
    ]
    generated = [read_clip(ClipRef(folders.generated / f"{name}.mkv")) for name in folders.names]
    x, y = np.stack(session.extract(generated)), np.stack(of_references.extract(real))
    result = measure() if text is None else measure(protocol=file)
    assert row(result, "fvd")["value"] == frechet_distance(x, y)
    if text is not None:
        assert frechet_distance(x, y) != frechet_distance(x, np.stack(session.extract(real)))
        assert "|reference:bilinear-aa-squash-20-truncate-signed+" in row(result, "fvd")["signature"]
        (note,) = (note for note in result.problems if "i3d.resolution" in note)
        assert "real clips are brought to 20x20" in note
        assert "generated has 32x32" in note
        noted = result.summary[result.summary["notes"].str.contains("i3d.resolution")]
        assert set(noted["metric"]) <= {"fvd", "kvd"} < set(result.summary["metric"])
        assert "fvd" in set(noted["metric"])


def test_the_second_call_reads_no_clip_and_gives_the_same_tables(
    measure: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = comparable(measure())

    def refuse(*_: Any) -> Never:
        raise AssertionError("a clip was read again")

    monkeypatch.setattr(extraction, "read_inputs", refuse)
    assert comparable(measure()) == first


def test_any_number_of_workers_gives_identical_tables(measure: Callable[..., Any], tmp_path: Path) -> None:
    one = comparable(measure(workers=1, output=tmp_path / "one"))
    four = comparable(measure(workers=4, output=tmp_path / "four"))
    assert one == four


@pytest.mark.parametrize("flush", [1, 5])
def test_the_size_of_the_stores_parts_changes_nothing(
    measure: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flush: int
) -> None:
    expected = comparable(measure(output=tmp_path / "default"))
    monkeypatch.setattr(evaluator, "FLUSH_ITEMS", flush)
    monkeypatch.setattr(result_tables, "CLIPS_AT_ONCE", flush)
    assert comparable(measure(output=tmp_path / "other")) == expected


def test_an_interrupted_call_keeps_what_it_did(
    measure: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = extraction.read_inputs
    count: list[Any] = []

    def interrupted(inputs: Any, store: Any) -> Any:
        if len(count) == 4:
            raise KeyboardInterrupt
        count.append(inputs)
        return real(inputs, store)

    monkeypatch.setattr(extraction, "read_inputs", interrupted)
    with pytest.raises(KeyboardInterrupt):
        measure()
    again = []
    monkeypatch.setattr(extraction, "read_inputs", lambda *a: (again.append(a), real(*a))[1])
    result = measure()
    assert result.num_failures == 0
    # 6 captions, 6 generated and 6 real clips in all.
    assert len(again) == 18 - 4


def test_several_protocols_side_by_side_are_those_alone_and_each_file_is_opened_once(
    measure: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from reelbench.stages import inputs

    alone = {name: measure(protocol=name, output=tmp_path / name) for name in ("clean", "videogpt")}
    calls = []
    real = inputs.read_clips
    monkeypatch.setattr(inputs, "read_clips", lambda ref, *a: (calls.append(ref.path), real(ref, *a))[1])
    both = measure(protocol=["clean", "videogpt"], output=tmp_path / "both")
    assert len(calls) == len(set(calls)) == 12
    for name, result in alone.items():
        for metric in ("fvd", "kvd", "clipsim"):
            assert row(both, metric, protocol=name) == row(result, metric) | {"run": both.folder.name}
    values = {row(both, "fvd", protocol=name)["value"] for name in alone}
    assert len(values) == 2


def test_several_systems_are_compared_on_the_same_samples(measure: Callable[..., Any], folders: Any) -> None:
    result = measure(generated=[folders.generated, folders.other])
    assert row(result, "clipsim", method="generated")["n"] == 6
    comparisons = pq.read_table(result.tables_dir / "comparisons.parquet").to_pylist()
    assert {"fvd", "kvd", "clipsim"} <= {item["metric"] for item in comparisons}
    assert {(item["method_a"], item["method_b"]) for item in comparisons} == {("generated", "other")}
    assert all(0 < item["p_value"] <= 1 for item in comparisons)


def test_folders_of_frames_give_the_numbers_of_the_same_frames_as_video(
    measure: Callable[..., Any], folders: Any, tmp_path: Path
) -> None:
    from reelbench.datasets.video import read_lossless

    for name in folders.names:
        frames = read_lossless(folders.generated / f"{name}.mkv")
        (tmp_path / "frames" / name).mkdir(parents=True)
        for index, frame in enumerate(frames):
            Image.fromarray(frame).save(tmp_path / "frames" / name / f"frame{index}.png")
    video, pictures = measure(), measure(generated=tmp_path / "frames")
    for metric in ("fvd", "clipsim", "frame_consistency_all_pairs"):
        assert row(pictures, metric)["value"] == row(video, metric)["value"]


def test_a_damaged_clip_is_a_failure_and_the_rest_is_measured(
    measure: Callable[..., Any], folders: Any
) -> None:
    (folders.generated / "c.mkv").write_bytes(b"\0" * 100)
    result = measure()
    assert result.num_failures > 0
    fvd, clipsim = row(result, "fvd"), row(result, "clipsim")
    assert (fvd["n"], fvd["num_failures"], fvd["n_reference"]) == (5, 1, 6)
    assert clipsim["coverage"] == pytest.approx(5 / 6)
    clips = pq.read_table(result.tables_dir / "clips.parquet").to_pylist()
    (failed,) = [item for item in clips if item["status"] == "failed"]
    assert (failed["sample_id"], failed["error_type"]) == ("c", "VideoError")


def test_a_clip_that_only_the_captions_name_lowers_the_coverage(
    measure: Callable[..., Any], folders: Any
) -> None:
    (folders.generated / "b.mkv").unlink()
    result = measure()
    assert row(result, "clipsim")["coverage"] == pytest.approx(5 / 6)
    assert any("b" in problem for problem in result.problems)


def test_what_does_not_fit_together_stands_in_the_rows_and_in_the_report(
    measure: Callable[..., Any], folders: Any
) -> None:
    """As docs/evaluate.md promises: counted notes are not on the terminal only."""
    rows = [*(f"{name},a clip called {name}" for name in "abcde"), "a,a clip called a", "gone,x"]
    folders.captions.write_text("\n".join(["name,caption", *rows, ""]))
    result = measure(metrics=["clipsim", "temporal_flickering"])
    said = (
        "1 rows of captions.csv repeat another one and are left out",
        "1 listed clips are not there: gone",
        "1 clips have no caption: f",
    )
    report = (result.folder / "report.html").read_text()
    for note in said:
        assert note in result.problems
        assert all(
            note in row(result, metric)["notes"].splitlines() for metric in ("clipsim", "temporal_flickering")
        )
        assert note in report


def test_weights_are_named_beside_the_metrics_that_measure_with_them(measure: Callable[..., Any]) -> None:
    result = measure(weights={}, metrics=["clipsim", "fvd", "temporal_flickering", "psnr"], limit=2)
    small = {
        metric: row(result, metric)["notes"] or ""
        for metric in ("clipsim", "fvd", "temporal_flickering", "psnr")
    }
    assert "small models (clip)" in small["clipsim"]
    assert "small models (i3d)" in small["fvd"]
    assert "small models" not in small["temporal_flickering"] + small["psnr"]


def test_clips_of_the_same_content_are_counted(measure: Callable[..., Any], folders: Any) -> None:
    shutil.copy(folders.generated / "a.mkv", folders.generated / "b.mkv")
    result = measure()
    assert any("1 files repeat another one's content" in problem for problem in result.problems)
    assert row(result, "fvd")["n"] == 6


def test_short_clips_are_refused_and_on_demand_filled_up_and_marked(
    measure: Callable[..., Any], folders: Any
) -> None:
    for name in folders.names:
        folders.write(f"generated/{name}.mkv", moving_noise(ord(name), num_frames=7))
    refused = row(measure(metrics=["fvd"]), "fvd")
    assert refused["value"] is None
    assert refused["num_failures"] == 6
    marked = row(measure(metrics=["fvd"], allow_small=True, name="small"), "fvd")
    assert marked["value"] is not None
    assert marked["protocol"] == "clean-allow-small"
    assert "short:repeat-last" in marked["signature"]
    assert marked["protocol_digest"] != refused["protocol_digest"]


def test_one_clip_has_no_covariance(measure: Callable[..., Any], folders: Any) -> None:
    refused = row(measure(metrics=["fvd"], limit=1), "fvd")
    assert refused["value"] is None
    assert "2" in refused["notes"]
    marked = row(measure(metrics=["fvd"], limit=1, allow_small=True, name="small"), "fvd")
    assert marked["n"] == 1
    assert marked["value"] > 0


def test_different_sizes_and_rates_are_said(measure: Callable[..., Any], folders: Any) -> None:
    for name in folders.names:
        folders.write(f"generated/{name}.mkv", moving_noise(ord(name), size=48), fps=24.0)
    problems = "\n".join(measure().problems)
    assert "frame sizes differ: generated 48x48; the reference 32x32" in problems
    assert "states 24 frames a second" in problems


def test_context_frames_are_left_out_or_kept_as_the_protocol_says(
    measure: Callable[..., Any], folders: Any
) -> None:
    """Seer's protocol measures the given frames, the clean one does not."""
    without = measure(metrics=["fvd"], context_frames=2, name="c")
    assert row(without, "fvd")["value"] != row(measure(metrics=["fvd"], name="p"), "fvd")["value"]
    assert row(without, "fvd")["n"] == 6  # 18 frames: 16 are left
    seer = [
        row(measure(metrics=["fvd"], protocol="seer", context_frames=k, name=f"s{k}"), "fvd")["value"]
        for k in (0, 2)
    ]
    assert seer[0] == seer[1]


def test_seers_protocol_blends_the_references_and_no_generated_clip(
    measure: Callable[..., Any], folders: Any
) -> None:
    for index, name in enumerate(folders.names):
        folders.write(f"real/{name}.mkv", moving_noise(200 + index, num_frames=45))
    settings = {"metrics": ["psnr"], "context_frames": 1}
    both = measure(protocol=["seer", "clean"], name="both", **settings)
    for name in folders.names:
        frames = read_clip(ClipRef(folders.real / f"{name}.mkv"))
        folders.write(f"real/{name}.mkv", seer_frames(frames, 16))
    blended = row(measure(protocol="seer", name="blended", **settings), "psnr")
    of_originals = {name: row(both, "psnr", protocol=name)["value"] for name in ("seer", "clean")}
    assert blended["value"] == of_originals["seer"] != of_originals["clean"]
    assert "rate:seer-blend" in blended["signature"]
    # One frame is given: a real clip of one leaves nothing to predict, also where short ones are filled up.
    folders.write("real/a.mkv", moving_noise(200, num_frames=1))
    folders.write("real/b.mkv", moving_noise(201, num_frames=2))
    short = measure(protocol="seer", name="short", allow_small=True, **settings)
    assert (row(short, "psnr")["n"], row(short, "psnr")["num_failures"]) == (5, 1)


def test_small_world_models_are_named_beside_the_numbers(measure: Callable[..., Any]) -> None:
    result = measure(weights={}, metrics=["frame_consistency_all_pairs"], limit=2)
    assert (
        "compare with each other and with nothing published"
        in row(result, "frame_consistency_all_pairs")["notes"]
    )


def test_metrics_without_what_they_need_are_refused_before_anything_is_read(
    measure: Callable[..., Any], folders: Any
) -> None:
    with pytest.raises(EvaluationError, match="'fvd' compares with real clips"):
        measure(reference=None, metrics=["fvd"])
    with pytest.raises(EvaluationError, match="'clipsim' reads captions"):
        measure(captions=None, metrics=["clipsim"])
    with pytest.raises(UnknownNameError, match="fvd"):
        measure(metrics=["fdv"])
    with pytest.raises(EvaluationError, match="given twice"):
        measure(generated=[folders.generated, folders.generated])
    with pytest.raises(EvaluationError, match="given twice"):
        measure(generated=[folders.generated, folders.generated / ".." / folders.generated.name])
    with pytest.raises(EvaluationError, match="given twice"):
        measure(protocol=["clean", "clean"])


@pytest.mark.parametrize("name", ["my results", "../../x", "", "-x", "a" * 65, "store"])
def test_a_name_that_is_no_folders_is_refused_before_anything_is_read(
    measure: Callable[..., Any], tmp_path: Path, name: str
) -> None:
    with pytest.raises(EvaluationError, match="cannot be that of the results' folder") as error:
        measure(name=name)
    assert repr(name) in error.value.message
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"limit": 0}, "limit is 0; it must be at least 1"),
        ({"protocol": []}, "no protocol was given"),
        ({"output": ""}, "the name of the output folder is empty"),
        ({"context_frames": -1}, "context_frames is -1; it must be at least 0"),
        ({"workers": 0}, "workers is 0; it must be at least 1"),
        ({"frame_rate": 0.0}, "frame_rate is 0.0; it must be at least 0.001"),
    ],
)
def test_numbers_out_of_range_are_refused_as_on_the_command_line(
    measure: Callable[..., Any], changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(EvaluationError, match=said):
        measure(**changes)


def test_one_metric_may_be_a_string_and_none_is_given_twice(measure: Callable[..., Any]) -> None:
    assert set(measure(metrics="fvd", limit=2).summary["metric"]) == {"fvd"}
    with pytest.raises(EvaluationError, match="the metric 'fvd' was given twice"):
        measure(metrics=["fvd", "fvd"])


@pytest.mark.parametrize("device", ["gpu", "mps", "cuda:x", "cuda:99", ""])
def test_a_device_that_is_not_there_is_refused_before_anything_is_read(
    measure: Callable[..., Any], tmp_path: Path, device: str
) -> None:
    with pytest.raises(EvaluationError, match=f"device {device!r}") as error:
        measure(device=device)
    assert "cpu" in str(error.value)
    assert not (tmp_path / "out").exists()


def test_cuda_without_a_gpu_is_refused_also_when_nothing_is_to_be_made(
    measure: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"metrics": "frame_consistency_consecutive", "limit": 1}
    measure(**settings)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(EvaluationError, match=r"'cuda' is not there: torch .* finds no GPUs on this machine"):
        measure(device="cuda", **settings)


def test_weights_for_a_role_that_nothing_measures_with_are_refused(
    measure: Callable[..., Any], weights: dict[str, str]
) -> None:
    for role in ("pipeline", "zzz"):
        with pytest.raises(WeightsError, match=f"unknown role {role!r}") as error:
            measure(weights={**weights, role: "somewhere"})
        assert "run file" not in str(error.value)


def test_folders_of_one_name_do_not_replace_each_others_tables(
    measure: Callable[..., Any], folders: Any, tmp_path: Path
) -> None:
    """The second has a place of its own, the same each time, and says so; --name replaces."""
    settings = {"reference": None, "captions": None, "metrics": "frame_consistency_consecutive"}
    for side in ("A", "B"):
        shutil.copytree(folders.generated, tmp_path / side / "videos")
    first = measure(generated=tmp_path / "A" / "videos", **settings)
    kept = comparable(first)
    second = measure(generated=tmp_path / "B" / "videos", limit=2, **settings)
    assert comparable(first) == kept
    assert first.folder.name == "videos" != second.folder.name
    assert any(second.folder.name in problem for problem in second.problems)
    again = [
        measure(generated=tmp_path / "A" / ".." / "A" / "videos", **settings),
        measure(generated=tmp_path / "B" / "videos", **settings),
    ]
    assert [item.folder for item in again] == [first.folder, second.folder]
    assert not any("digest" in problem for problem in again[0].problems)
    shutil.rmtree(first.folder)
    assert measure(generated=tmp_path / "B" / "videos", **settings).folder == second.folder
    named = measure(generated=tmp_path / "A" / "videos", name=second.folder.name, **settings)
    assert named.folder == second.folder


def test_names_without_a_letter_of_ascii_have_places_of_their_own(
    measure: Callable[..., Any], folders: Any, tmp_path: Path
) -> None:
    settings = {"reference": None, "captions": None, "metrics": "frame_consistency_consecutive"}
    places = set()
    for name in ("視頻", "動画", "store"):
        shutil.copytree(folders.generated, tmp_path / name)
        places.add(measure(generated=tmp_path / name, limit=1, **settings).folder.name)
    assert len(places) == 3
    assert "store" not in places


def test_tables_of_unknown_folders_are_not_replaced(measure: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "out" / "generated-vs-real" / "tables").mkdir(parents=True)
    assert measure(metrics="fvd", limit=2).folder.name.startswith("generated-vs-real-")


def test_folders_of_frames_with_a_gap_are_named_and_measured_all_the_same(
    measure: Callable[..., Any], tmp_path: Path
) -> None:
    for name, numbers in {
        "gap": [*range(5), *range(8, 24)],
        "fifth": range(0, 90, 5),
        "whole": range(18),
    }.items():
        (tmp_path / "frames" / name).mkdir(parents=True)
        for frame, number in zip(moving_noise(1, 24), numbers, strict=False):
            Image.fromarray(frame).save(tmp_path / "frames" / name / f"frame{number:03d}.png")
    settings = {"reference": None, "captions": None, "metrics": "frame_consistency_consecutive"}
    result = measure(generated=tmp_path / "frames", **settings)
    (note,) = [problem for problem in result.problems if "gaps" in problem]
    assert note.startswith("frames: 1 folders")
    assert note.endswith(": gap (3 missing, the first is frame 5)")
    assert note in row(result, "frame_consistency_consecutive")["notes"]
    assert row(result, "frame_consistency_consecutive")["n"] == 3
    assert result.num_failures == 0


def test_messages_about_files_are_in_words(measure: Callable[..., Any], folders: Any, tmp_path: Path) -> None:
    for name, target in {"junk": None, "link": tmp_path / "nowhere.png"}.items():
        (tmp_path / "frames" / name).mkdir(parents=True)
        picture = tmp_path / "frames" / name / "f0.png"
        picture.write_bytes(b"no picture") if target is None else picture.symlink_to(target)
    (tmp_path / "frames" / "gone.mkv").symlink_to(tmp_path / "nowhere.mkv")
    shutil.copy(folders.generated / "a.mkv", tmp_path / "frames")
    settings = {"reference": None, "captions": None, "metrics": "frame_consistency_consecutive"}
    result = measure(generated=tmp_path / "frames", **settings)
    rows = pq.read_table(result.tables_dir / "clips.parquet").to_pylist()
    said = {item["sample_id"]: item["error_message"] for item in rows if item["status"] == "failed"}
    assert "no known format" in said["junk"]
    assert said["link"] == f"cannot read '{tmp_path}/frames/link/f0.png': No such file or directory"
    assert said["gone"] == f"cannot read '{tmp_path}/frames/gone.mkv': No such file or directory"


def test_a_place_that_cannot_be_written_names_the_option(measure: Callable[..., Any], folders: Any) -> None:
    with pytest.raises(EvaluationError, match="cannot create the store") as error:
        measure(output=folders.captions)
    assert error.value.hint == "choose another folder with --output"
