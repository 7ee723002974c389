"""The extraction engine: what is read once, what a failure takes with it, and what changes no bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reelbench.core import registry
from reelbench.core.errors import MetricError, VideoError
from reelbench.core.store import Store
from reelbench.core.types import ClipRef
from reelbench.datasets.video import Reading, default_codec, write_lossless
from reelbench.metrics.build import build_extractor
from reelbench.metrics.protocol import load_protocol
from reelbench.stages import inputs as stage_inputs
from reelbench.stages.extraction import ExtractItem, ExtractorSpec, Wanted, extract
from reelbench.stages.inputs import Cut, VideoInput, read_inputs
from reelbench.stages.work import PluginSpec, WorkerContext

PLUGINS = '''
import numpy as np
from reelbench.core.contracts import Extractor, ExtractorSession, FrozenConfig


class Mean(Extractor, ExtractorSession):
    """Mean of each frame; knows how large its calls were. Refuses black clips, gives NaN for white ones."""

    class Config(FrozenConfig):
        broken: bool = False

    name, version, modality = "mean", "1", "video"
    calls = []

    def resources(self):
        raise NotImplementedError

    def load(self, device):
        if self.config.broken:
            raise RuntimeError("no such weights")
        return self

    def extract(self, inputs):
        type(self).calls.append(len(inputs))
        for frames in inputs:
            if not frames.any():
                raise ValueError("black")
        return [
            np.full(len(x), np.nan if (x == 255).all() else x.mean(), dtype=np.float32) for x in inputs
        ]


class Difference(Mean):
    """Mean absolute difference of a pair, frame by frame."""

    name, modality = "difference", "pair"

    def extract(self, inputs):
        return [
            np.abs(a.astype(np.float32) - b).mean(axis=(1, 2, 3)) for a, b in inputs
        ]
'''

ALL = Reading()


def reading(num_frames: int) -> Reading:
    return Reading(num_frames=num_frames)


@pytest.fixture
def plugin(tmp_path: Path) -> Callable[..., Any]:
    path = tmp_path / "plugins.py"
    path.write_text(PLUGINS)

    def made(name: str, **config: object) -> ExtractorSpec:
        cls = registry.get("extractors", f"{path}:{name}")
        return ExtractorSpec(
            PluginSpec.of("extractors", f"{path}:{name}", cls(cls.Config(**config))), f"{name}{config}"
        )

    return made


@pytest.fixture
def context(tmp_path: Path) -> Callable[..., Any]:
    return lambda device="cpu", threads=1: WorkerContext(
        Store(tmp_path / "store", default_codec()), device, threads
    )


@pytest.fixture
def clips(tmp_path: Path) -> list[Path]:
    """Six clips of noise, of growing length from 10 frames."""
    paths = []
    for index in range(6):
        frames = np.random.default_rng(index).integers(0, 256, (10 + index, 24, 32, 3), dtype=np.uint8)
        paths.append(tmp_path / f"{index}.mkv")
        write_lossless(paths[-1], frames, 8.0)
    return paths


def item(
    path: Path, spec: ExtractorSpec, key: str = "key", cut: Cut = Cut(), how: Reading = ALL
) -> ExtractItem:
    wanted = Wanted(spec.name, spec.session_key, key, (0,), cut)
    return ExtractItem(path.stem, (VideoInput(ClipRef(path), how),), (wanted,))


def test_features_come_in_the_order_of_the_items_whatever_the_threads(
    clips: list[Path], plugin: Callable[..., Any], context: Callable[..., Any]
) -> None:
    spec = plugin("Mean")
    items = [item(path, spec, f"key{index}") for index, path in enumerate(clips)]
    results = {threads: list(extract(items, [spec], context(threads=threads))) for threads in (1, 2, 5)}
    for threads, found in results.items():
        assert [extracted.item.name for extracted in found] == [path.stem for path in clips], threads
        for one, other in zip(found, results[1], strict=True):
            assert not one.failures
            assert [v.tobytes() for v in one.features.values()] == [
                v.tobytes() for v in other.features.values()
            ]


def test_real_networks_give_the_same_bits_for_any_number_of_threads_and_any_neighbours(
    clips: list[Path], weights: dict[str, str], context: Callable[..., Any]
) -> None:
    protocol = load_protocol("clean").model_copy(
        update={"sampling": load_protocol("clean").sampling.model_copy(update={"num_frames": 10})}
    )
    specs = []
    for name in ("i3d", "clip_image"):
        plugin = build_extractor(name, protocol, weights)
        specs.append(ExtractorSpec(PluginSpec.of("extractors", name, plugin), name))
    items = [
        ExtractItem(
            path.stem,
            (VideoInput(ClipRef(path), ALL),),
            (
                Wanted("i3d", "i3d", f"i{path.stem}", (0,), Cut(num_frames=10)),
                Wanted("clip_image", "clip_image", f"c{path.stem}"),
            ),
        )
        for path in clips
    ]

    def bits(items: list[ExtractItem], threads: int) -> dict[str, bytes]:
        found: dict[Any, Any] = {}
        for extracted in extract(items, specs, context(threads=threads)):
            assert not extracted.failures
            found |= {key: values.tobytes() for (_, key), values in extracted.features.items()}
        return found

    alone: dict[Any, Any] = {}
    for single in items:
        alone |= bits([single], 1)
    assert bits(items, 1) == alone
    assert bits(items[::-1], 4) == alone


def test_a_file_is_decoded_once_for_all_its_readings(
    clips: list[Path],
    plugin: Callable[..., Any],
    context: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = []
    real = stage_inputs.read_clips
    monkeypatch.setattr(
        stage_inputs, "read_clips", lambda ref, *rest: (calls.append(ref), real(ref, *rest))[1]
    )
    spec = plugin("Mean")
    inputs = tuple(VideoInput(ClipRef(clips[0]), reading(n)) for n in (3, 5, 9))
    wanted = tuple(Wanted(spec.name, spec.session_key, f"k{i}", (i,)) for i in range(3))
    (extracted,) = extract([ExtractItem("x", inputs, wanted)], [spec], context())
    assert [len(values) for values in extracted.features.values()] == [3, 5, 9]
    assert calls == [ClipRef(clips[0])]


def test_a_clip_that_cannot_be_read_fails_alone(
    clips: list[Path], plugin: Callable[..., Any], context: Callable[..., Any], tmp_path: Path
) -> None:
    spec = plugin("Mean")
    (tmp_path / "bad.mkv").write_bytes(b"not a video")
    items = [item(clips[0], spec, "a"), item(tmp_path / "bad.mkv", spec, "b"), item(clips[1], spec, "c")]
    found = list(extract(items, [spec], context()))
    assert [sorted(extracted.failures) for extracted in found] == [[], ["b"], []]
    assert found[1].failures["b"].type == "VideoError"


def test_one_reading_too_long_for_the_clip_leaves_the_others(
    clips: list[Path], plugin: Callable[..., Any], context: Callable[..., Any]
) -> None:
    spec = plugin("Mean")
    inputs = (VideoInput(ClipRef(clips[0]), reading(99)), VideoInput(ClipRef(clips[0]), reading(4)))
    wanted = tuple(Wanted(spec.name, spec.session_key, f"k{i}", (i,)) for i in range(2))
    (extracted,) = extract([ExtractItem("x", inputs, wanted)], [spec], context())
    assert list(extracted.failures) == ["k0"]
    assert [key for _, key in extracted.features] == ["k1"]


def test_weights_that_cannot_be_loaded_fail_their_own_features(
    clips: list[Path], plugin: Callable[..., Any], context: Callable[..., Any]
) -> None:
    good, broken = plugin("Mean"), plugin("Mean", broken=True)
    wanted = (
        Wanted(good.name, good.session_key, "good"),
        Wanted(broken.name, broken.session_key, "broken"),
    )
    (extracted,) = extract(
        [ExtractItem("x", (VideoInput(ClipRef(clips[0]), ALL),), wanted)], [good, broken], context()
    )
    assert [key for _, key in extracted.features] == ["good"]
    message = extracted.failures["broken"].message
    assert message.startswith("no such weights (")
    assert "plugins.py, line " in message


def test_features_that_are_not_finite_are_failures(
    tmp_path: Path, plugin: Callable[..., Any], context: Callable[..., Any]
) -> None:
    write_lossless(tmp_path / "white.mkv", np.full((4, 16, 16, 3), 255, np.uint8), 8.0)
    spec = plugin("Mean")
    (extracted,) = extract([item(tmp_path / "white.mkv", spec)], [spec], context())
    assert "NaN" in extracted.failures["key"].message
    assert not extracted.features


def test_pairs_get_both_clips_cut_alike(
    clips: list[Path], plugin: Callable[..., Any], context: Callable[..., Any]
) -> None:
    spec = plugin("Difference")
    inputs = tuple(VideoInput(ClipRef(path), ALL) for path in clips[:2])
    cut = Cut(skip=2, num_frames=6)
    wanted = (Wanted(spec.name, spec.session_key, "p", (0, 1), cut),)
    (extracted,) = extract([ExtractItem("x", inputs, wanted)], [spec], context())
    a, b = (frames[2:8].astype(np.float32) for frames in read_inputs(inputs, None))
    np.testing.assert_allclose(
        extracted.features[spec.name, "p"], np.abs(a - b).mean(axis=(1, 2, 3)), rtol=1e-6
    )


def test_a_device_with_batches_gets_them_and_a_bad_clip_fails_alone(
    clips: list[Path], plugin: Callable[..., Any], context: Callable[..., Any], tmp_path: Path
) -> None:
    write_lossless(tmp_path / "black.mkv", np.zeros((4, 16, 16, 3), np.uint8), 8.0)
    spec = plugin("Mean")
    paths = [*clips[:3], tmp_path / "black.mkv", *clips[3:]]
    items = [item(path, spec, path.stem) for path in paths]
    worker = context("accelerator", 2)
    found = list(extract(items, [spec], worker))
    assert [sorted(extracted.failures) for extracted in found] == [[], [], [], ["black"], [], [], []]
    session = worker.extractor_session(spec.session_key, dict)
    assert type(session).calls[0] == len(paths)
    alone = {
        key: values
        for single in items
        for extracted in extract([single], [spec], context())
        for (_, key), values in extracted.features.items()
    }
    together = {key: values for extracted in found for (_, key), values in extracted.features.items()}
    assert {key: values.tobytes() for key, values in together.items()} == {
        key: values.tobytes() for key, values in alone.items()
    }


def test_what_is_held_is_not_wanted_and_its_inputs_are_not_read(
    clips: list[Path], plugin: Callable[..., Any]
) -> None:
    spec = plugin("Mean")
    inputs = (VideoInput(ClipRef(clips[0]), ALL), VideoInput(ClipRef(clips[1]), ALL))
    wanted = (
        Wanted(spec.name, spec.session_key, "first", (0,)),
        Wanted(spec.name, spec.session_key, "second", (1,)),
    )
    whole = ExtractItem("x", inputs, wanted)
    rest = whole.without({spec.name: {"first"}})
    assert rest.inputs == (inputs[1],)
    assert [(want.key, want.inputs) for want in rest.wanted] == [("second", (0,))]
    assert whole.without({spec.name: {"first", "second"}}) is None


def test_a_cut_leaves_out_the_given_frames_and_takes_as_many_as_are_measured() -> None:
    frames = np.arange(10, dtype=np.uint8).reshape(10, 1, 1, 1)
    assert Cut(skip=2, num_frames=3).of(frames).ravel().tolist() == [2, 3, 4]
    assert Cut(skip=4).of(frames).ravel().tolist() == [4, 5, 6, 7, 8, 9]
    with pytest.raises(MetricError, match="8 frames after the 2 given ones, the protocol measures 9"):
        Cut(skip=2, num_frames=9).of(frames)
    with pytest.raises(MetricError, match="of which the first 10 are the given ones"):
        Cut(skip=10).of(frames)
    assert Cut(num_frames=12, fill=True).of(frames).ravel().tolist() == [*range(10), 9, 9]


def test_a_short_video_is_read_whole_where_that_is_allowed(clips: list[Path]) -> None:
    ref = ClipRef(clips[0])
    refused, whole = read_inputs(
        [VideoInput(ref, reading(99)), VideoInput(ref, reading(99), may_be_short=True)], None
    )
    assert isinstance(refused, VideoError)
    assert len(whole) == 10
