"""From the original release of BridgeData to Seer's layout: every picture, in order, once, and no pickle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from reelbench.core.errors import DatasetError
from reelbench.datasets import bridge_conversion
from reelbench.datasets.bridge import PATH_LIST, Bridge
from reelbench.datasets.bridge_conversion import RECORD, convert_bridge, main

DATE = "2021-06-01_12-00-00"


def write_trajectory(folder: Path, num_frames: int, view: str = "images0") -> None:
    """Pictures whose content is their path: copies can be told apart without decoding them."""
    (folder / view).mkdir(parents=True)
    for number in range(num_frames):
        path = folder / view / f"im_{number}.jpg"
        path.write_text(f"{folder.parent.name}/{folder.name}/{view}/{number}")
    (folder / "obs_dict.pkl").write_bytes(b"cos\nsystem\n(S'false'\ntR.")  # would run a command if loaded


def make_release(root: Path) -> Path:
    """Two tasks of v1 and one with a numbered folder, as in v2."""
    pots = root / "bridge_data_v1/berkeley/toykitchen1/put_pot_in_sink_distractors" / DATE / "raw"
    write_trajectory(pots / "traj_group0" / "traj0", 3)
    write_trajectory(pots / "traj_group0" / "traj10", 4)
    write_trajectory(pots / "traj_group0" / "traj2", 12)
    lids = root / "bridge_data_v1/berkeley/toysink1/take_lid_off" / DATE / "raw"
    write_trajectory(lids / "traj_group0" / "traj0", 2)
    numbered = root / "rss/toykitchen2/set_table/00" / DATE / "raw"
    write_trajectory(numbered / "traj_group0" / "traj0", 2)
    return root


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return make_release(tmp_path / "raw")


def test_clips_are_numbered_in_each_task_in_the_natural_order_of_their_trajectories(
    raw: Path, tmp_path: Path
) -> None:
    done = convert_bridge(raw, tmp_path / "out")
    assert list(done.clips) == [
        "put_pot_in_sink_distractors/0",
        "put_pot_in_sink_distractors/1",
        "put_pot_in_sink_distractors/2",
        "set_table/0",
        "take_lid_off/0",
    ]
    assert [Path(path).name for path in list(done.clips.values())[:3]] == ["traj0", "traj2", "traj10"]
    assert done.left_out == {}


def test_pictures_are_copied_byte_for_byte_in_numeric_order_from_1(raw: Path, tmp_path: Path) -> None:
    convert_bridge(raw, tmp_path / "out")
    folder = tmp_path / "out/rawframes/put_pot_in_sink_distractors/1"
    pictures = sorted(folder.iterdir())
    assert [path.name for path in pictures] == [f"img_{number:05d}.jpg" for number in range(1, 13)]
    assert [path.read_text() for path in pictures] == [f"traj_group0/traj2/images0/{i}" for i in range(12)]


def test_the_data_set_reads_what_was_written(raw: Path, tmp_path: Path) -> None:
    convert_bridge(raw, tmp_path / "out")
    parts = [Bridge(Bridge.Config(root=str(tmp_path / "out"), split=split)) for split in ("train", "val")]
    assert [len(part) for part in parts] == [4, 1]
    assert parts[0].missing() == parts[1].missing() == []
    prompts = {sample.prompt for part in parts for sample in part}
    assert prompts == {"put pot in sink", "take lid off", "set table"}


def test_the_path_list_is_shuffled_by_the_seed_and_the_record_tells_where_clips_come_from(
    raw: Path, tmp_path: Path
) -> None:
    done = convert_bridge(raw, tmp_path / "out")
    listed = json.loads((tmp_path / "out" / PATH_LIST).read_text())
    assert sorted(listed) == sorted(done.clips)
    record = json.loads((tmp_path / "out" / RECORD).read_text())
    assert record["clips"] == done.clips
    assert (raw / record["clips"]["set_table/0"] / "images0").is_dir()
    orders = set()
    for seed in range(5):
        convert_bridge(raw, tmp_path / str(seed), seed=seed)
        orders.add((tmp_path / str(seed) / PATH_LIST).read_text())
    assert len(orders) > 1


def test_broken_trajectories_are_left_out_with_the_reason_and_take_no_number(
    raw: Path, tmp_path: Path
) -> None:
    pots = next(raw.rglob("traj10")).parent
    (pots / "traj0" / "images0" / "im_1.jpg").unlink()
    write_trajectory(pots / "traj11", 1)
    write_trajectory(pots / "traj12", 3, view="images1")
    done = convert_bridge(raw, tmp_path / "out")
    assert [Path(path).name for id, path in done.clips.items() if "pot" in id] == ["traj2", "traj10"]
    assert {Path(path).name: why for path, why in done.left_out.items()} == {
        "traj0": "im_1.jpg is missing (1 of 3)",
        "traj11": "1 pictures: one is given and at least one predicted",
        "traj12": "no folder images0",
    }
    assert list(convert_bridge(raw, tmp_path / "other", view="images1").clips) == [
        "put_pot_in_sink_distractors/0"
    ]


def test_lmdb_folders_are_passed_over(raw: Path, tmp_path: Path) -> None:
    write_trajectory(raw / "rss/toykitchen2/wipe_lmdb" / DATE / "raw/traj_group0/traj0", 3)
    write_trajectory(raw / "rss/toykitchen2/wipe" / f"{DATE}_lmdb" / "raw/traj_group0/traj0", 3)
    assert not any("wipe" in id for id in convert_bridge(raw, tmp_path / "out").clips)


def test_the_folder_of_one_task_is_a_release_too(raw: Path, tmp_path: Path) -> None:
    done = convert_bridge(raw / "rss/toykitchen2/set_table/00", tmp_path / "out")
    assert list(done.clips) == ["set_table/0"]


def test_killed_in_the_middle_it_goes_on_where_it_stopped(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied: list[Path] = []
    copy = bridge_conversion._copy

    def copy_two(pictures: Any, folder: Path) -> None:
        if len(copied) == 2:
            folder.with_name(folder.name + ".part").mkdir(parents=True)
            raise KeyboardInterrupt
        copied.append(folder)
        copy(pictures, folder)

    monkeypatch.setattr(bridge_conversion, "_copy", copy_two)
    with pytest.raises(KeyboardInterrupt):
        convert_bridge(raw, tmp_path / "out")
    assert not (tmp_path / "out" / PATH_LIST).exists()
    before = {path: path.stat().st_mtime_ns for folder in copied for path in folder.iterdir()}
    monkeypatch.undo()
    convert_bridge(raw, tmp_path / "out")
    assert before == {path: path.stat().st_mtime_ns for path in before}
    files = [path for path in (tmp_path / "out/rawframes").rglob("*.jpg") if ".part" not in str(path)]
    assert len(files) == 3 + 4 + 12 + 2 + 2
    assert (tmp_path / "out" / PATH_LIST).exists()


def test_another_conversion_into_the_same_folder_is_refused(raw: Path, tmp_path: Path) -> None:
    convert_bridge(raw, tmp_path / "out")
    with pytest.raises(DatasetError, match="is of another conversion"):
        convert_bridge(raw, tmp_path / "out", seed=1)
    write_trajectory(next(raw.rglob("traj10")).parent / "traj1", 3)
    with pytest.raises(DatasetError, match="trajectories that have been added since"):
        convert_bridge(raw, tmp_path / "out")


def test_what_is_no_release_is_refused(raw: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="does not exist"):
        convert_bridge(tmp_path / "nowhere", tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match=r"no trajectory with pictures .*traj_group0/traj0/images0"):
        convert_bridge(tmp_path / "empty", tmp_path / "out")
    with pytest.raises(DatasetError, match=r"images7.*: no folder images7"):
        convert_bridge(raw, tmp_path / "out", view="images7")
    with pytest.raises(DatasetError, match=r"view '\.\./x' is not a plain name"):
        convert_bridge(raw, tmp_path / "out", view="../x")
    assert not (tmp_path / "out").exists()


def test_the_command(raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_trajectory(next(raw.rglob("traj10")).parent / "traj11", 1)
    assert main([str(raw), str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert "5 clips of 3 tasks" in said
    assert "1 trajectories are left out" in said
    assert main([str(tmp_path / "nowhere"), str(tmp_path / "out2")]) == 2
    assert "error: the folder" in capsys.readouterr().err
