"""Protocols that blend the reference as Seer does: what is measured and given, which clips are too short."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from reelbench.core.errors import ProtocolError
from reelbench.core.store import Store
from reelbench.core.types import ClipRef, Sample
from reelbench.datasets.video import default_codec, read_lossless, seer_frames, write_lossless
from reelbench.metrics.protocol import Protocol, load_protocol
from reelbench.stages.measuring import Measuring
from reelbench.stages.results import RunResult
from reelbench.stages.work import ShardResult

PROMPTS = {"v0": "a", "v1": "b", "v2": "c"}


def run(
    world: Any,
    protocol: Path | str = "seer",
    given: int = 2,
    num_frames: int = 16,
    metrics: Sequence[str] = ("fvd", "psnr"),
) -> tuple[dict[str, Any], RunResult, list[ShardResult]]:
    (data,) = world.data["datasets"]
    data = data | {"config": data["config"] | {"num_context_frames": given}}
    method = world.method("Given", config={"log": str(world.log), "num_frames": num_frames})
    return world.run(methods=[method], datasets=[data], metrics=list(metrics), protocol=str(protocol))


def rows(tables: dict[str, Any], side: str) -> dict[str, dict[str, Any]]:
    return {row["sample_id"]: row for row in tables["clips"] if row["side"] == side}


def clip_of(world: Any, tables: dict[str, Any], name: str) -> np.ndarray:
    store = Store(world.folder / "out" / "store", default_codec())
    return read_lossless(store.clips.path(rows(tables, "generated")[name]["clip_key"]))


def values(tables: dict[str, Any]) -> dict[str, float]:
    """The run's own values."""
    found = [row for row in tables["summary"] if row["seed"] is None and row["metric"] in ("fvd", "psnr")]
    return {row["metric"]: row["value"] for row in found}


def reference_video(world: Any, name: str) -> Path:
    return world.folder / "data" / f"{name}.mkv"


def shorten(world: Any, name: str, num_frames: int) -> None:
    path = reference_video(world, name)
    write_lossless(path, read_lossless(path)[:num_frames], 8.0)


def changed(path: Path, name: str, **sampling: Any) -> Path:
    """A shipped protocol with another sampling, as a file."""
    data = load_protocol(name).model_dump(mode="json") | {"name": "mine"}
    path.write_text(yaml.safe_dump(data | {"sampling": data["sampling"] | sampling}))
    return path


def test_a_method_is_given_the_first_frames_of_the_blended_clip(world: Any) -> None:
    world.write(PROMPTS, num_frames=37)
    tables, result, _ = run(world, metrics=["psnr"])
    assert result.num_failures == 0
    blended = seer_frames(read_lossless(reference_video(world, "v1")), 16)
    clip = clip_of(world, tables, "v1")
    np.testing.assert_array_equal(clip[:2], blended[:2])
    assert not np.array_equal(clip[:2], read_lossless(reference_video(world, "v1"))[:2])


def test_what_is_measured_is_what_blended_clips_would_give(world: Any) -> None:
    world.write(PROMPTS, num_frames=37)
    blended = changed(world.folder / "blended.yaml", "seer", blend_side=None)
    of_originals, _, _ = run(world, blended)
    exact, _, _ = run(world, changed(world.folder / "exact.yaml", "seer", frames="exact", blend_side=None))
    as_seer, _, _ = run(world)
    assert values(as_seer)["psnr"] == values(of_originals)["psnr"]
    assert values(as_seer)["fvd"] != values(of_originals)["fvd"]
    for name in PROMPTS:
        path = reference_video(world, name)
        write_lossless(path, seer_frames(read_lossless(path), 16), 8.0)
    of_blends, _, _ = run(world, blended)
    assert set(values(of_blends)) == {"fvd", "psnr"}
    assert values(of_originals) == values(of_blends)
    assert values(of_originals)["psnr"] != values(exact)["psnr"]
    assert values(of_originals)["fvd"] != values(exact)["fvd"]


def test_where_given_frames_are_left_out_the_clip_is_blended_to_as_many_more(world: Any) -> None:
    world.write(PROMPTS, num_frames=37)
    protocol = changed(world.folder / "drop.yaml", "seer", context_frames="drop")
    tables, result, _ = run(world, protocol, num_frames=18, metrics=["psnr"])
    assert result.num_failures == 0
    blended = seer_frames(read_lossless(reference_video(world, "v0")), 18)
    clip = clip_of(world, tables, "v0")
    np.testing.assert_array_equal(clip[:2], blended[:2])
    errors = (blended[2:] / 255 - clip[2:] / 255) ** 2
    psnr = {row["sample_id"]: row["value"] for row in tables["scores"] if row["metric"] == "psnr"}
    assert psnr["v0"] == pytest.approx(-10 * np.log10(errors.mean(axis=(1, 2, 3))).mean(), abs=1e-3)


@pytest.mark.parametrize("short", ["refuse", "repeat-last"])
def test_a_short_clip_ends_in_grey_and_one_with_nothing_to_predict_fails(world: Any, short: str) -> None:
    world.write(PROMPTS)
    shorten(world, "v1", 3)
    shorten(world, "v2", 2)
    tables, _, _ = run(world, changed(world.folder / "seer.yaml", "seer", short_clips=short))
    np.testing.assert_array_equal(
        clip_of(world, tables, "v1")[:2], read_lossless(reference_video(world, "v1"))[:2]
    )
    for side in ("generated", "reference"):
        found = rows(tables, side)
        assert [found[name]["status"] for name in PROMPTS] == ["done", "done", "failed"]
        assert "v2.mkv" in found["v2"]["error_message"]
        assert "gives 2 frames, and the first 2 are for the method" in found["v2"]["error_message"]


@pytest.mark.parametrize("context", ["keep", "drop"])
@pytest.mark.parametrize("short", ["refuse", "repeat-last"])
def test_nothing_to_predict_is_a_failure_also_where_frames_are_exact(
    world: Any, context: str, short: str
) -> None:
    world.write(PROMPTS)
    shorten(world, "v1", 3)
    shorten(world, "v2", 2)
    protocol = changed(
        world.folder / "exact.yaml", "predicted", context_frames=context, short_clips=short, num_frames=9
    )
    tables, _, _ = run(world, protocol)
    references, generated = rows(tables, "reference"), rows(tables, "generated")
    expected = {"refuse": "failed", "repeat-last": "done"}[short]
    assert [references[name]["status"] for name in PROMPTS] == ["done", expected, "failed"]
    assert [generated[name]["status"] for name in PROMPTS][::2] == ["done", "failed"]
    for found in (references, generated):
        assert "none is left to predict" in found["v2"]["error_message"]


def test_a_protocol_that_measures_given_frames_only_is_refused(world: Any) -> None:
    world.write(PROMPTS)
    with pytest.raises(ProtocolError, match="first 16 frames, and the sample 'v0' gives 16 to the method"):
        run(world, given=16, num_frames=20)


def of(protocol: Protocol) -> Measuring:
    return Measuring(protocol, (), {})


def sample(blend_stride: int = 1, given: int = 1) -> Sample:
    ref = ClipRef(Path("P01_01"), first_frame=1, last_frame=300, blend_stride=blend_stride)
    return Sample("x", "take plate", "x", ref, num_context_frames=given)


def test_long_actions_of_epic_kitchens_enter_with_their_stride_and_are_other_content() -> None:
    seer = of(load_protocol("seer"))
    assert seer.reading(sample(2)) == {
        **{"num_frames": 16, "stride": 2, "fps": None, "start": "first", "frames": "seer"},
        "num_given": 1,
    }
    assert seer.reference_content(sample(2), "file") != seer.reference_content(sample(1), "file")


def test_readings_of_exact_frames_are_what_they_were() -> None:
    """Keys are made of them: stored clips and features stay valid."""
    expected = {"num_frames": 18, "stride": None, "fps": 8.0, "start": "first"}
    clean = of(load_protocol("clean"))
    filling = of(Protocol(name="t", version="1", sampling={"short_clips": "repeat-last"}))
    assert filling.reading(sample(given=2)) == expected
    assert clean.reading(sample(blend_stride=2, given=2)) == expected
    assert clean.reference_content(sample(2), "file") == clean.reference_content(sample(1), "file")
    assert clean.reference_reading(sample(given=2)).num_given == 2


def test_reference_clips_of_a_run_are_resized_their_own_way(world: Any) -> None:
    """A clip that repeats its reference is at no distance from it, unless the protocol resizes real clips
    otherwise."""
    world.write(PROMPTS, num_frames=16)
    coarse = [{"size": 9, "quantise": "truncate-signed"}, {"size": 224}]
    found = {}
    for name, steps in (("alike", None), ("apart", coarse), ("again", coarse)):
        data = load_protocol("predicted").model_dump(mode="json") | {"name": name}
        data["sampling"] |= {"context_frames": "keep", "num_frames": 10}
        data["i3d"] |= {"reference_resize": steps}
        path = world.folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump(data))
        tables, result, shards = run(world, path, given=9, num_frames=10, metrics=["fvd"])
        assert result.num_failures == 0
        found[name] = values(tables)["fvd"], shards
    assert found["alike"][0] != found["apart"][0] == found["again"][0]
    assert not found["again"][1], "features of reference clips were made twice"
