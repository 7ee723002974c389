"""Text-video prediction on data sets that are not as they should be: each fault is one clip's, told by what
is wrong with it, and all other clips are made and measured."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from reelbench.core.errors import ReelbenchError
from reelbench.core.registry import get
from reelbench.worlds.sprites.write import write_video, write_world

NUM_CLIPS = 9
FLOORS = ("repeat-last-frame", "constant-velocity")
PROTOCOLS = ("seer", "predicted")
"""One blends the whole clip and fills short ones up, the other reads real frames."""

DATASETS: dict[str, dict[str, Any]] = {
    "ssv2": {"split": "train"},
    "bridge": {"split": "train"},
    "epic-kitchens-100": {"split": "validation", "fps": 8.0},
}
FOLDERS = {"ssv2": "ssv2", "bridge": "bridge", "epic-kitchens-100": "epic-kitchens"}


@pytest.fixture(scope="module")
def sprites(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Sprites in the three layouts, NUM_CLIPS clips or a few more in the split that is read."""
    root = tmp_path_factory.mktemp("sprites")
    written: dict[str, Path] = {}
    for folder, train, test in (("ssv2", NUM_CLIPS, 1), ("bridge", 0, 3), ("epic-kitchens", 1, NUM_CLIPS)):
        counts = {"train": train, "validate": 0, "test": test}
        written |= write_world(root, (folder,), counts, show_progress=False)
    return {name: written[folder] for name, folder in FOLDERS.items()}


@dataclass
class Copy:
    """A data set of its own to damage."""

    name: str
    root: Path

    def config(self, **changes: Any) -> dict[str, Any]:
        own = {"root": str(self.root), "num_context_frames": 2, "order": "id"}
        return {**own, **DATASETS[self.name], **changes}

    def samples(self, **changes: Any) -> list[Any]:
        plugin = get("datasets", self.name)
        return list(plugin(plugin.Config.model_validate(self.config(**changes))))[:NUM_CLIPS]


@pytest.fixture
def copy_of(sprites: dict[str, Path], tmp_path: Path) -> Callable[[str], Copy]:
    def copy(name: str) -> Copy:
        shutil.copytree(sprites[name], tmp_path / "copies" / name)
        return Copy(name, tmp_path / "copies" / name)

    return copy


def run(world: Any, data: Copy, protocol: str, given: int = 2, **changes: Any) -> Any:
    entry = {"name": data.name, "config": data.config(num_context_frames=given)}
    settings = {
        "methods": [{"name": name} for name in FLOORS],
        "datasets": [entry],
        "limit": NUM_CLIPS,
        "metrics": ["fvd", "psnr"],
        "protocol": protocol,
    }
    return world.run(**settings | changes)


def generated(tables: Any, method: str) -> dict[str, Any]:
    return {
        row["sample_id"]: row
        for row in tables["clips"]
        if (row["side"], row["method"]) == ("generated", method)
    }


def assert_told_and_the_rest_measured(tables: Any, faults: dict[str, tuple[str, ...]]) -> None:
    """Each fault's clip failed on both sides with these words; all others are in every number."""
    num_sound = NUM_CLIPS - len(faults)
    references = {row["sample_id"]: row for row in tables["clips"] if row["side"] == "reference"}
    for method in FLOORS:
        clips = generated(tables, method)
        assert len(clips) == NUM_CLIPS
        for id, words in faults.items():
            for row in (clips[id], references[id]):
                assert row["status"] == "failed", (id, row["side"])
                for word in words:
                    assert word in row["error_message"], (id, row["side"], row["error_message"])
            told = clips[id]["error_message"]
            assert "->" in told, told
        sound = [row for id, row in clips.items() if id not in faults]
        assert [row["status"] for row in sound] == ["done"] * num_sound, [r["error_message"] for r in sound]
        for metric in ("fvd", "psnr"):
            (row,) = (
                row
                for row in tables["summary"]
                if (row["metric"], row["method"], row["seed"]) == (metric, method, None)
            )
            assert row["n"] == num_sound
            assert row["coverage"] == pytest.approx(num_sound / NUM_CLIPS)
            assert np.isfinite(row["value"])
        (fvd,) = (
            row
            for row in tables["summary"]
            if (row["metric"], row["method"], row["seed"]) == ("fvd", method, None)
        )
        assert fvd["n_reference"] == num_sound


def short(folder_or_file: Path, num_frames: int) -> None:
    """Only the first frames are left."""
    if folder_or_file.suffix == ".webm":
        write_video(folder_or_file, np.full((num_frames, 64, 64, 3), 90, np.uint8))
    else:
        for picture in sorted(folder_or_file.iterdir())[num_frames:]:
            picture.unlink()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_something_something(protocol: str, world: Any, copy_of: Callable[[str], Copy]) -> None:
    data = copy_of("ssv2")
    ids = [sample.id for sample in data.samples()]
    path = {sample.id: sample.reference.path for sample in data.samples()}
    short(path[ids[0]], 2)
    path[ids[1]].unlink()
    path[ids[2]].write_bytes(path[ids[2]].read_bytes()[:300])
    path[ids[3]].write_bytes(np.random.default_rng(0).bytes(5000))
    path[ids[4]].write_bytes(b"")
    path[ids[5]].write_bytes(path[ids[5]].read_bytes()[:-900])
    tables, result, _ = run(world, data, protocol)
    assert result.num_failures > 0
    faults: dict[str, tuple[str, ...]] = {
        ids[0]: (f"{ids[0]}.webm", "gives 2 frames", "none is left to predict"),
        ids[1]: (f"{ids[1]}.webm",),
        ids[2]: (f"{ids[2]}.webm",),
        ids[3]: (f"{ids[3]}.webm' is not a readable video",),
        ids[4]: (f"{ids[4]}.webm' is empty (0 bytes)",),
        ids[5]: (f"{ids[5]}.webm",),
    }
    assert_told_and_the_rest_measured(tables, faults)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_bridge(protocol: str, world: Any, copy_of: Callable[[str], Copy]) -> None:
    data = copy_of("bridge")
    ids = [sample.id for sample in data.samples()]
    folder = {sample.id: sample.reference.path for sample in data.samples()}
    short(folder[ids[0]], 2)
    short(folder[ids[1]], 0)
    shutil.rmtree(folder[ids[2]])
    (folder[ids[3]] / "img_00007.jpg").unlink()
    cut = folder[ids[4]] / "img_00005.jpg"
    cut.write_bytes(cut.read_bytes()[:400])
    Image.new("RGB", (48, 64)).save(folder[ids[5]] / "img_00004.jpg")
    tables, _, _ = run(world, data, protocol)
    faults: dict[str, tuple[str, ...]] = {
        ids[0]: (ids[0], "gives 2 frames", "none is left to predict"),
        ids[1]: (ids[1], "holds no picture"),
        ids[2]: (ids[2], "No such file or directory"),
        ids[3]: (ids[3], "lacks frame 7"),
        ids[4]: ("img_00005.jpg", "cannot be read as a picture"),
        ids[5]: ("img_00004.jpg' is 48 x 64, the first frame of its folder 64 x 64",),
    }
    assert_told_and_the_rest_measured(tables, faults)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_epic_kitchens(protocol: str, world: Any, copy_of: Callable[[str], Copy]) -> None:
    data = copy_of("epic-kitchens-100")
    path = data.root / "epic-kitchens-100-annotations" / "EPIC_100_validation.csv"
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    ids = [row["narration_id"] for row in rows]
    # The first action ends after two frames, the fourth behind the end of its video's folder.
    rows[0]["stop_frame"] = str(int(rows[0]["start_frame"]) + 1)
    last = int(rows[3]["stop_frame"])
    rows[3]["stop_frame"] = str(last + 3)
    rows[8]["video_id"] = "P02_77"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    video = data.root / "EPIC-KITCHENS" / "P02" / "rgb_frames" / "P02_01"
    hole = int(rows[1]["start_frame"]) + 4
    (video / f"frame_{hole:010d}.jpg").unlink()
    tables, _, _ = run(world, data, protocol)
    faults: dict[str, tuple[str, ...]] = {
        ids[0]: ("P02_01", "gives 2 frames", "none is left to predict"),
        ids[1]: ("P02_01", f"lacks frame {hole};"),
        ids[3]: ("P02_01", f"lacks frames {last + 1} to {last + 3};"),
        ids[8]: ("P02_77",),
    }
    assert_told_and_the_rest_measured(tables, faults)


@pytest.mark.parametrize("name", DATASETS)
def test_a_clip_that_is_put_in_its_place_is_made_by_the_next_run(
    name: str, world: Any, copy_of: Callable[[str], Copy]
) -> None:
    data = copy_of(name)
    place = data.samples()[0].reference.path
    away = place.with_name("away")
    place.rename(away)
    tables, _, _ = run(world, data, "predicted", metrics=["psnr"], limit=5)
    failed = [row for row in generated(tables, FLOORS[0]).values() if row["status"] == "failed"]
    assert 0 < len(failed) < 5
    assert all(place.name in row["error_message"] for row in failed)
    away.rename(place)
    tables, result, _ = run(world, data, "predicted", metrics=["psnr"], limit=5)
    assert result.num_failures == 0


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_short_clip_with_something_to_predict_is_too_short_for_exact_frames_only(
    protocol: str, world: Any, copy_of: Callable[[str], Copy]
) -> None:
    data = copy_of("ssv2")
    sample = data.samples()[0]
    short(sample.reference.path, 3)
    tables, _, _ = run(world, data, protocol)
    words = (f"{sample.id}.webm", "gives 3 of the 16 frames")
    assert_told_and_the_rest_measured(tables, {sample.id: words} if protocol == "predicted" else {})


class TestTheGivenFrames:
    @pytest.mark.parametrize("given", [16, 20])
    def test_as_many_as_are_measured_are_refused_before_the_run(
        self, given: int, world: Any, copy_of: Callable[[str], Copy]
    ) -> None:
        with pytest.raises(ReelbenchError, match=rf"gives {given} to the method") as caught:
            run(world, copy_of("ssv2"), "seer", given=given)
        assert "num_context_frames" in str(caught.value)

    def test_as_many_as_the_clip_has_are_a_failure_of_that_clip(
        self, world: Any, copy_of: Callable[[str], Copy]
    ) -> None:
        data = copy_of("ssv2")
        sample = data.samples()[0]
        short(sample.reference.path, 12)
        methods = [{"name": name, "config": {"num_frames": 26}} for name in FLOORS]
        tables, _, _ = run(world, data, "predicted", given=12, methods=methods, limit=4, metrics=["psnr"])
        told = generated(tables, FLOORS[0])[sample.id]["error_message"]
        assert "gives 12 frames, and the first 12 are for the method: none is left to predict" in told

    def test_as_many_as_the_method_makes_are_refused_before_the_run(
        self, world: Any, copy_of: Callable[[str], Copy]
    ) -> None:
        methods = [{"name": FLOORS[0], "config": {"num_frames": 2}}]
        with pytest.raises(ReelbenchError, match="makes clips of 2 frames") as caught:
            run(world, copy_of("ssv2"), "predicted", methods=methods, limit=2, metrics=["psnr"])
        assert "measures 14 after the 2 given ones" in str(caught.value)

    def test_of_another_size_than_the_models_own_are_brought_to_it(
        self, world: Any, copy_of: Callable[[str], Copy]
    ) -> None:
        """Shrunk so that they cover the model's frames, the rest cut off on both sides."""
        from reelbench.core.store import Store
        from reelbench.datasets.video import default_codec, read_clip
        from reelbench.methods.frames import fit_frames
        from reelbench.tests.methods.tiny_cogvideox import cogvideox_folder

        data = copy_of("ssv2")
        sample = data.samples()[0]
        wide = np.random.default_rng(0).integers(0, 256, (20, 64, 96, 3), dtype=np.uint8)
        write_video(sample.reference.path, wide)
        config = {"base": cogvideox_folder(), "trained": None, "num_steps": 1, "guidance_scale": 1.0}
        methods = [{"name": "fca", "config": config}, {"name": FLOORS[0]}]
        tables, result, _ = run(world, data, "predicted", methods=methods, limit=2, metrics=["psnr"])
        assert result.num_failures == 0
        store = Store(world.folder / "out" / "store", default_codec())
        for id, ref in ((s.id, s.reference) for s in data.samples()[:2]):
            record = store.clips.record(generated(tables, "fca")[id]["clip_key"])
            clip = store.clips.load(record)
            given = read_clip(ref, 2)
            fitted = fit_frames(given, 32, 32).round().numpy().transpose(0, 2, 3, 1)
            assert clip.shape == (16, 32, 32, 3)
            np.testing.assert_array_equal(clip[:2], fitted)
            floor = store.clips.load(store.clips.record(generated(tables, FLOORS[0])[id]["clip_key"]))
            assert floor.shape[1:3] == given.shape[1:3]
