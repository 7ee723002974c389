"""A folder measured against itself: no difference, under every protocol, whatever its clips are like.

Under each protocol I3D runs on real frames, which takes most of the file's twenty seconds.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchmetrics.functional.image.lpips as published
import torchvision
from PIL import Image

from reelbench.datasets.video import write_lossless
from reelbench.evaluation import evaluate
from reelbench.evaluation.result import as_json_data
from reelbench.metrics.clips.pairs import MAX_PSNR_DB
from reelbench.metrics.protocol import load_protocol, protocol_names

RESOLUTION = "real clips are brought to the model's resolution and cut off to bytes, generated ones are there"
NO_IDENTITY = {
    "lvdm": ({"fvd"}, RESOLUTION),
    "seer": (
        {"fvd", "psnr", "ssim", "lpips", "motion_alignment", "motion_correlation", "structure_kept"},
        "real clips are blended over their whole length and cut off to bytes, generated ones never",
    ),
    "tats": ({"fvd"}, RESOLUTION),
    "videogpt": ({"fvd"}, RESOLUTION),
}
"""Protocols that promise to treat the two sides differently: for which metrics, and why."""

AT_IDENTITY = {
    "fvd": 0.0,
    "psnr": MAX_PSNR_DB,
    "ssim": 1.0,
    "lpips": 0.0,
    "motion_alignment": 0.0,
    "motion_correlation": 1.0,
    "structure_kept": 1.0,
}


SET_METRICS = ["fvd", "kvd"]


def moving_noise(seed: int, num_frames: int, size: tuple[int, int]) -> np.ndarray:
    """uint8 [T, H, W, 3]; coarse blocks, so that the flow has something to follow."""
    height, width = size
    blocks = np.random.default_rng(seed).integers(
        0, 256, (height // 4 + 1, width // 4 + 1, 3), dtype=np.uint8
    )
    picture = blocks.repeat(4, axis=0).repeat(4, axis=1)[:height, :width]
    return np.stack([np.roll(picture, 2 * t, axis=1) for t in range(num_frames)])


def write_gif(path: Path, frames: np.ndarray, fps: float) -> None:
    first, *others = map(Image.fromarray, frames)
    first.save(path, save_all=True, append_images=others, duration=round(1000 / fps), loop=0)


def write_pictures(folder: Path, frames: np.ndarray) -> None:
    folder.mkdir()
    for index, frame in enumerate(frames):
        Image.fromarray(frame).save(folder / f"{index:04}.png")


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Several rates, lengths and sizes, a GIF and a folder of pictures; all of two seconds at least."""
    folder = tmp_path_factory.mktemp("clips")
    write_lossless(folder / "label.mkv", moving_noise(0, 16, (32, 32)), 8.0)
    write_lossless(folder / "cinema.mkv", moving_noise(1, 50, (48, 36)), 24.0)
    write_lossless(folder / "odd.mkv", moving_noise(2, 63, (35, 51)), 29.97)
    write_gif(folder / "animated.gif", moving_noise(3, 22, (40, 33)), 10.0)
    write_pictures(folder / "pictures", moving_noise(4, 19, (37, 64)))
    return folder


@pytest.fixture(scope="module")
def lpips(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The published heads on AlexNet's layers at random weights."""
    folder = tmp_path_factory.mktemp("lpips")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = torchvision.models.alexnet().features.state_dict()
    torch.save({f"features.{name}": value for name, value in layers.items()}, folder / "alexnet-random.pth")
    shutil.copy(Path(published.__file__).parent / "lpips_models" / "alex.pth", folder)
    return str(folder)


@pytest.fixture(scope="module")
def measured(
    clips: Path, weights: dict[str, str], lpips: str, tmp_path_factory: pytest.TempPathFactory
) -> dict[tuple[str, str], dict[str, Any]]:
    """The summary's rows by protocol and metric; of set metrics, which run a network, on two clips."""
    pair_metrics = [metric for metric in AT_IDENTITY if metric != "fvd"]
    results = [
        evaluate(
            clips,
            reference=clips,
            protocol=protocol_names(),
            metrics=metrics,
            weights={"i3d": weights["i3d"]} if metrics == SET_METRICS else {"lpips": lpips},
            output=tmp_path_factory.mktemp("out"),
            device="cpu",
            limit=limit,
        )
        for metrics, limit in ((pair_metrics, None), (SET_METRICS, 2))
    ]
    assert [result.num_failures for result in results] == [0, 0]
    rows = [row for result in results for row in result.summary.to_dict("records")]
    return {(row["protocol"], row["metric"]): row for row in rows if row["seed"] != row["seed"]}


@pytest.mark.parametrize("protocol", protocol_names())
def test_a_folder_is_at_no_distance_from_itself(
    measured: dict[tuple[str, str], dict[str, Any]], protocol: str
) -> None:
    values = {metric: measured[protocol, metric]["value"] for metric in AT_IDENTITY}
    differs, _ = NO_IDENTITY.get(protocol, (set(), ""))
    settings = load_protocol(protocol)
    goes_apart = settings.of_references().i3d != settings.i3d or settings.sampling.frames == "seer"
    assert goes_apart == ("fvd" in differs)
    for metric, value in AT_IDENTITY.items():
        if metric not in differs:
            assert values[metric] == pytest.approx(value, abs=1e-6), metric
    if "psnr" in differs:
        assert values["psnr"] < MAX_PSNR_DB / 2, "it has become an identity: take it from NO_IDENTITY"
    if "fvd" not in differs:
        assert measured[protocol, "kvd"]["value"] <= 0  # each clip beside itself is no independent pair


@pytest.mark.parametrize(("rate", "num_frames"), [(24.0, 48), (30.0, 70), (12.5, 30), (8.0, 20)])
def test_both_sides_are_read_by_the_rate_that_they_state(
    measure_pair: Callable[..., Any], rate: float, num_frames: int
) -> None:
    """By their rate they are equal; frame by frame only where the protocol's rate is theirs."""
    result = measure_pair(rate, num_frames)
    assert set(result.scores["value"]) == {MAX_PSNR_DB}
    digest = set(result.summary["protocol_digest"])
    frame_by_frame = measure_pair(rate, num_frames, generated_rate="stored")
    values = set(frame_by_frame.scores["value"])
    assert values == {MAX_PSNR_DB} if rate == 8.0 else max(values) < MAX_PSNR_DB / 2
    assert set(frame_by_frame.summary["protocol"]) == {"clean-frame-by-frame"}
    assert set(frame_by_frame.summary["protocol_digest"]).isdisjoint(digest)


def test_clips_too_short_at_their_rate_say_so_and_what_to_do(measure_pair: Callable[..., Any]) -> None:
    result = measure_pair(24.0, 16, metrics=["fvd", "psnr"])
    (noted,) = result.summary.loc[result.summary["metric"] == "psnr", "notes"].unique()
    assert "2 of 2 clips have fewer than 16 frames beside their reference" in noted  # measured on 6
    failures = {failure["cause"] for failure in as_json_data(result)["failures"]}
    causes = [text for text in failures if "gives 6 of the 16 frames asked for (stride 1 at 8 fps)" in text]
    for cause in causes:
        assert "(16 frames in 0.67 s)" in cause
        assert "--generated-rate stored" in cause
        assert "cut off" not in cause
    assert causes
    (note,) = (text for text in result.problems if "states 24 frames a second" in text)
    assert "16 frames take 2 s of a clip" in note
    assert "--generated-rate stored takes every frame" in note


def test_every_frame_of_a_wrong_label_is_taken_on_demand(measure_pair: Callable[..., Any]) -> None:
    """16 frames that state 24 a second and are meant at 8, beside a reference that states its 8."""
    result = measure_pair(24.0, 16, 8.0, generated_rate="stored")
    assert set(result.scores["value"]) == {MAX_PSNR_DB}
    assert result.num_failures == 0


def test_where_references_are_read_frame_by_frame_nothing_has_another_name(
    measure_pair: Callable[..., Any],
) -> None:
    for how in ("as-reference", "stored"):
        result = measure_pair(24.0, 16, 8.0, protocol="predicted", generated_rate=how)
        assert set(result.summary["protocol"]) == {"predicted"}
        assert set(result.scores["value"]) == {MAX_PSNR_DB}


@pytest.mark.parametrize("protocol", [name for name in protocol_names() if name != "seer"])
def test_a_shorter_copy_is_paired_with_the_frames_it_was_made_of(tmp_path: Path, protocol: str) -> None:
    """Also where a protocol draws the place that it measures, which differs with a clip's length."""
    for folder, num_frames in (("made", 16), ("real", 40)):
        (tmp_path / folder).mkdir()
        for seed, name in enumerate("ab"):
            frames = moving_noise(seed, 40, (24, 24))[:num_frames]
            write_lossless(tmp_path / folder / f"{name}.mkv", frames, 8.0)
    result = evaluate(
        tmp_path / "made",
        reference=tmp_path / "real",
        protocol=protocol,
        metrics="psnr",
        output=tmp_path / "out",
        device="cpu",
        workers=1,
    )
    assert set(result.scores["value"]) == {MAX_PSNR_DB}
    assert all("|start:first|" in text for text in result.summary["signature"])


@pytest.fixture
def measure_pair(tmp_path: Path) -> Callable[..., Any]:
    """PSNR of two clips against two of the same pictures, at the same rate or another one."""

    def run(rate: float, num_frames: int, real_rate: float | None = None, **settings: Any) -> Any:
        for folder, fps in (("made", rate), ("real", real_rate or rate)):
            (tmp_path / folder).mkdir(exist_ok=True)
            for seed, name in enumerate("ab"):
                frames = moving_noise(seed, num_frames, (24, 24))
                write_lossless(tmp_path / folder / f"{name}.mkv", frames, fps)
        return evaluate(
            tmp_path / "made",
            reference=tmp_path / "real",
            metrics=settings.pop("metrics", "psnr"),
            output=tmp_path / "out",
            device="cpu",
            workers=1,
            **settings,
        )

    return run


@pytest.mark.parametrize("protocol", ["clean", "predicted", "stylegan-v", "cd-fvd"])
@pytest.mark.parametrize("context_frames", [0, 3])
def test_pictures_of_a_stated_rate_and_given_frames_are_alike_on_both_sides(
    tmp_path: Path, protocol: str, context_frames: int
) -> None:
    for seed, name in enumerate("ab"):
        (tmp_path / "clips").mkdir(exist_ok=True)
        write_pictures(tmp_path / "clips" / name, moving_noise(seed, 60, (25, 31)))
    result = evaluate(
        tmp_path / "clips",
        reference=tmp_path / "clips",
        protocol=protocol,
        metrics="psnr",
        frame_rate=24.0,
        context_frames=context_frames,
        output=tmp_path / "out",
        device="cpu",
        workers=1,
    )
    assert set(result.scores["value"]) == {MAX_PSNR_DB}


def test_short_clips_are_alike_on_both_sides(tmp_path: Path, weights: dict[str, str]) -> None:
    """Of mixed lengths: metrics by frame read what there is of each, I3D leaves out short ones of both."""
    for seed, num_frames in enumerate((16, 10, 16, 3)):
        (tmp_path / "clips").mkdir(exist_ok=True)
        write_lossless(tmp_path / "clips" / f"{seed}.mkv", moving_noise(seed, num_frames, (32, 32)), 8.0)
    shutil.copytree(tmp_path / "clips", tmp_path / "copy")
    result = evaluate(
        tmp_path / "clips",
        reference=tmp_path / "copy",
        metrics=["clip_fid", "fvd", "psnr"],
        weights={"i3d": weights["i3d"], "clip": "sprites/clip"},
        output=tmp_path / "out",
        device="cpu",
        workers=1,
    )
    rows = result.summary[result.summary["seed"].isna()].set_index("metric")
    assert rows.loc["clip_fid", "value"] == pytest.approx(0.0, abs=1e-6)
    assert rows.loc["fvd", "value"] == pytest.approx(0.0, abs=1e-6)
    assert rows.loc["psnr", "value"] == MAX_PSNR_DB
    counts = rows.loc[["clip_fid", "fvd"], ["n", "n_reference"]].astype(int).values.tolist()
    assert counts == [[4, 4], [2, 2]]
    assert "45 frames of 4 generated clips, 45 frames of 4 reference" in rows.loc["clip_fid", "notes"]
    assert "2 of 4 reference clips have fewer than 16 frames" in rows.loc["clip_fid", "notes"]
    assert any("gives 10 of the 16 frames" in item["cause"] for item in as_json_data(result)["failures"])
