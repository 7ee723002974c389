"""What cannot fit together is refused while planning: once, and before anything is made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image

from reelbench.core.errors import FaultsError
from reelbench.core.run_file_loading import parse_run_file
from reelbench.stages.planning import run_faults

PROMPTS = {"v0": "a cat", "v1": "a dog"}


def faults(world: Any, **changes: Any) -> list[str]:
    return [str(fault) for fault in run_faults(parse_run_file(world.data | changes))]


def config(world: Any, **settings: Any) -> dict[str, Any]:
    return {"log": str(world.log), **settings}


class TestTheFramesThatAreMeasured:
    def test_more_than_the_method_makes_are_refused_with_the_numbers(self, world: Any) -> None:
        world.write(PROMPTS)
        methods = [world.method("Noise", config=config(world, num_frames=8))]
        (fault,) = faults(world, methods=methods, metrics=["fvd", "kvd"])
        assert "method 'noise' makes clips of 8 frames, and the protocol 'clean' measures 16 on" in fault
        assert "data set 'folder': fvd, kvd could measure none" in fault
        assert "set num_frames of the method to at least 16" in fault
        assert not world.generated()

    @pytest.mark.parametrize(
        ("num_frames", "changes"),
        [
            (16, {}),
            (8, {"metrics": ["clipsim"]}),
            (8, {"metrics": ["fvd", "clipsim"]}),  # the cells of FVD say why they are empty
            (8, {"metrics": ["fvd", "psnr"]}),  # measured on 8 frames, beside the reference's first 8
            (8, {"protocol": "filling"}),
        ],
    )
    def test_what_can_be_measured_is_not_refused(
        self, world: Any, num_frames: int, changes: dict[str, Any]
    ) -> None:
        world.write(PROMPTS)
        methods = [world.method("Noise", config=config(world, num_frames=num_frames))]
        if changes.get("protocol"):
            path = world.folder / "filling.yaml"
            path.write_text('{name: filling, version: "1", sampling: {short_clips: repeat-last}}')
            changes = {"protocol": str(path)}
        assert faults(world, **{"methods": methods, "metrics": ["fvd"], **changes}) == []

    def test_given_frames_that_are_dropped_do_not_count(self, world: Any) -> None:
        world.write(PROMPTS)
        dataset = world.data["datasets"][0]
        datasets = [{**dataset, "config": {**dataset["config"], "num_context_frames": 2}}]
        settings = {"datasets": datasets, "metrics": ["psnr"], "protocol": "predicted"}
        methods = [world.method("Given", config=config(world, num_frames=15))]
        (fault,) = faults(world, methods=methods, **settings)
        assert "15 frames, and the protocol 'predicted' measures 14 after the 2 given ones" in fault
        assert "at least 16" in fault
        methods = [world.method("Given", config=config(world, num_frames=16))]
        assert faults(world, methods=methods, **settings) == []

    def test_all_is_listed_at_once(self, world: Any) -> None:
        world.write(PROMPTS)
        methods = [
            world.method("Noise", config=config(world, num_frames=8)),
            world.method("Given"),
            {"name": "zs2", "config": {"weights": "./nowhere"}},
        ]
        found = faults(world, methods=methods, metrics=["fvd"])
        assert len(found) == 3
        with pytest.raises(FaultsError, match="mend 3 things"):
            world.run(methods=methods, metrics=["fvd"])


class TestFirstFrames:
    def test_a_data_set_that_gives_none_is_refused_for_a_prediction_method(self, world: Any) -> None:
        world.write(PROMPTS)
        methods = [{"name": "repeat-last-frame", "label": "floor"}, world.method("Noise")]
        (fault,) = faults(world, methods=methods, metrics=["clipsim"])
        assert (
            "method 'floor' needs at least 1 first frames of a clip, and data set 'folder' gives 0" in fault
        )
        assert "num_context_frames" in fault

    def test_one_is_too_few_for_constant_velocity_and_enough_for_the_other_floor(self, world: Any) -> None:
        world.write(PROMPTS)
        dataset = world.data["datasets"][0]
        datasets = [{**dataset, "config": {**dataset["config"], "num_context_frames": 1}}]
        methods = [{"name": "repeat-last-frame"}, {"name": "constant-velocity"}]
        (fault,) = faults(world, methods=methods, datasets=datasets, metrics=["psnr"], protocol="seer")
        assert "method 'constant-velocity' needs at least 2 first frames" in fault
        assert "data set 'folder' gives 1" in fault


class TestFramesOfTheReference:
    """Folders of frames are counted, video files are not opened."""

    @pytest.fixture
    def run(self, world: Any) -> Callable[..., Any]:
        def run(*lengths: int) -> list[str]:
            for index, length in enumerate(lengths):
                folder = world.folder / f"clip{index}"
                folder.mkdir()
                for frame in range(length):
                    Image.new("RGB", (32, 32)).save(folder / f"{frame:05}.png")
            (world.folder / "folders.py").write_text(FOLDERS)
            dataset = {"name": f"{world.folder}/folders.py:Folders", "config": {"root": str(world.folder)}}
            methods = [world.method("Shade", config=config(world, num_frames=10))]  # reads 1, 3, ..., 19
            return faults(world, datasets=[dataset | {"label": "f"}], methods=methods, metrics=["clipsim"])

        return run

    def test_all_too_short_are_refused(self, run: Callable[..., Any]) -> None:
        (fault,) = run(16, 19)
        assert "method 'shade' on data set 'f', which has no longer clip: the reference clip has 19" in fault
        assert "need 20" in fault
        assert "lower num_frames" in fault

    def test_some_too_short_fail_alone(self, run: Callable[..., Any]) -> None:
        assert run(16, 20) == []

    def test_files_are_not_opened(self, world: Any) -> None:
        world.write(PROMPTS, num_frames=4)
        assert faults(world, methods=[world.method("Shade")], metrics=["clipsim"]) == []


FOLDERS = """
from pathlib import Path
from reelbench.core.contracts import Dataset, FrozenConfig
from reelbench.core.types import ClipRef, Sample


class Folders(Dataset):
    class Config(FrozenConfig):
        root: str

    name, split, task = "folders", "test", "editing"

    def __len__(self):
        return len(list(iter(self)))

    def __iter__(self):
        for folder in sorted(Path(self.config.root).glob("clip*")):
            yield Sample(folder.name, "a cat", folder.name, ClipRef(folder))

    def fingerprint(self):
        return self.config.root
"""
