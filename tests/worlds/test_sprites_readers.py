"""The readers of the real data sets read the embedded world: it is written in their layouts."""

from __future__ import annotations

from pathlib import Path

import pytest

from reelbench.datasets.msrvtt import MsrVtt
from reelbench.datasets.video import read_clip
from reelbench.datasets.webvid import WebVid
from reelbench.metrics.protocol import load_protocol
from reelbench.worlds.sprites.scene import sample_scene
from reelbench.worlds.sprites.write import write_world


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sprites")
    write_world(folder, ("msrvtt", "webvid"), {"train": 3, "validate": 2, "test": 4}, 0)
    return folder


def test_msrvtt_reads_every_split_and_list(root: Path) -> None:
    for split, count in (("train", 3), ("validate", 2), ("test", 4)):
        data = MsrVtt(MsrVtt.Config(root=str(root / "msrvtt"), split=split))  # type: ignore[arg-type]
        assert len(data) == count
        assert data.missing() == []
    everything = MsrVtt(MsrVtt.Config(root=str(root / "msrvtt"), captions="all"))
    assert len(everything) == 4 * 20
    assert len(MsrVtt(MsrVtt.Config(root=str(root / "msrvtt"), list="1k-A"))) > 0


def test_webvid_reads_its_lists(root: Path) -> None:
    data = WebVid(WebVid.Config(root=str(root / "webvid"), list="2M-val"))
    assert len(data) > 0
    assert data.missing() == []


def test_a_reference_clip_is_long_enough_for_the_default_protocol(root: Path) -> None:
    reading = load_protocol("clean").sampling.reading("any")
    for data in (
        MsrVtt(MsrVtt.Config(root=str(root / "msrvtt"))),
        WebVid(WebVid.Config(root=str(root / "webvid"), list="2M-val")),
    ):
        for sample in data:
            assert sample.reference is not None
            assert read_clip(sample.reference, **reading).shape == (16, 64, 64, 3)


def test_prompts_are_captions_of_the_test_scenes(root: Path) -> None:
    words = {sample_scene(index, "test").main.colour for index in range(4)}
    prompts = " ".join(sample.prompt for sample in MsrVtt(MsrVtt.Config(root=str(root / "msrvtt"))))
    assert any(colour in prompts for colour in words)
