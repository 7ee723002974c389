"""From the original release of BridgeData to Seer's layout, which `bridge` reads.

    python -m reelbench.datasets.bridge_conversion RAW OUT [--view images0] [--seed 0]

The original release (as the authors' own converter describes it, bridge_data_v2 @ 69f5bcf [C]):

    .../<environment>/<task>/<date and time>/raw/traj_group0/traj0/
        images0/im_0.jpg, im_1.jpg, ...     one folder for each camera
        obs_dict.pkl, policy_out.pkl        states and actions: pickles, which run code when they are loaded.
                                            They are not needed and not opened.

with a folder of a number alone ("00") between task and date in most parts. The task is the nearest folder
above the date that is not a number alone. Folders with "lmdb" in their name are passed over, as the authors
do.

What is written:

    OUT/rawframes/<task>/<n>/img_00001.jpg ...    the pictures byte for byte, counted from 1
    OUT/bridge_conversion.json                    the trajectory that each clip is, and what was left out
    OUT/path_id_bridgedata.txt                    the clips, shuffled by the seed; written last

Not known of Seer's own conversion [?]: its cameras, trajectories and their order. Here n counts the sound
trajectories of a task in the natural order of their paths, of one camera, so Seer's path list does not fit
the clips that are written here, and numbers on them are on another split.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.atomic_write import write_text_atomic
from ..core.errors import DatasetError, ReelbenchError
from .bridge import PATH_LIST
from .lists.annotation import plain_name
from .sample_list import natural_rank, shuffled_rank

RECORD = "bridge_conversion.json"
_DATED = re.compile(r"\d{4}-\d{2}-\d{2}_\d{2}-\d{2}-\d{2}")
_PICTURE = re.compile(r"im_(\d+)\.jpe?g", re.IGNORECASE)
_VERSION = 1


@dataclass(frozen=True)
class Conversion:
    """What a conversion gave.

    Attributes:
        clips: the trajectory of each clip "<task>/<n>", relative to the release.
        left_out: why a trajectory is no clip, by its path.
    """

    clips: dict[str, str]
    left_out: dict[str, str]


def convert_bridge(
    raw: Path, out: Path, view: str = "images0", seed: int = 0, show_progress: bool = False
) -> Conversion:
    """Copy one camera's pictures of every trajectory to Seer's layout.

    Killed and started again, it resumes with the clips that are not there yet.

    Args:
        raw: the release, or any folder of it above the dated ones.
        out: folder to write to.
        view: the camera's folder.
        seed: of the order of the path list, whose first 80% are the training split.

    Raises:
        DatasetError: no trajectory is there, or `out` holds a conversion of something else.
    """
    from rich.progress import track

    plain_name(view, "view", "bridge_conversion")
    found = _clips(raw, view)
    record = {
        "version": _VERSION,
        "view": view,
        "seed": seed,
        "clips": found.clips,
        "left_out": found.left_out,
    }
    out.mkdir(parents=True, exist_ok=True)
    _begin(out / RECORD, record)
    for id in track(found.clips, "copying clips", disable=not show_progress):
        folder = out / "rawframes" / id
        if not folder.is_dir():
            _copy(_numbered(raw / found.clips[id] / view).values(), folder)
    ids = sorted(found.clips, key=lambda id: shuffled_rank(seed, id))
    write_text_atomic(out / PATH_LIST, json.dumps(ids))
    return found


def _clips(raw: Path, view: str) -> Conversion:
    """The clips of a release, and what is left out of it."""
    if not raw.is_dir():
        raise DatasetError(
            f"the folder {str(raw)!r} does not exist", "give the folder of the unpacked release"
        )
    raw = raw.resolve()
    by_task: dict[str, list[str]] = {}
    left_out = {}
    for dated, trajectory in _trajectories(raw):
        name = str(trajectory.relative_to(raw))
        fault = _fault(trajectory / view)
        if fault is None:
            by_task.setdefault(_task(dated), []).append(name)
        else:
            left_out[name] = fault
    if not by_task:
        some = "".join(f"; {name}: {fault}" for name, fault in list(left_out.items())[:3])
        raise DatasetError(
            f"no trajectory with pictures in {str(raw)!r}; expected folders such as "
            f"toykitchen1/put_pot_in_sink/2021-06-01_12-00-00/raw/traj_group0/traj0/{view}{some}",
            "give a folder of the release above the dated ones, or another --view",
        )
    clips = {}
    for task in sorted(by_task, key=natural_rank):
        for number, name in enumerate(sorted(by_task[task], key=natural_rank)):
            clips[f"{task}/{number}"] = name
    return Conversion(clips, left_out)


def _trajectories(raw: Path) -> Iterator[tuple[Path, Path]]:
    """(dated folder, trajectory), in no order."""
    for folder, names, _ in os.walk(raw):
        here = Path(folder)
        if _DATED.fullmatch(here.name):
            names.clear()
            for trajectory in here.glob("raw/traj_group*/traj*"):
                if trajectory.is_dir():
                    yield here, trajectory
        names[:] = [name for name in names if "lmdb" not in name]


def _task(dated: Path) -> str:
    """The task of a dated folder: the nearest name above it that is not a number alone."""
    name = next((parent.name for parent in dated.parents if not parent.name.isdigit()), "")
    return plain_name(name, "task", str(dated))


def _fault(folder: Path) -> str | None:
    """Why a folder of pictures is no clip; None where it is one."""
    if not folder.is_dir():
        return f"no folder {folder.name}"
    numbers = list(_numbered(folder))
    if len(numbers) < 2:
        return f"{len(numbers)} pictures: one is given and at least one predicted"
    missing = sorted(set(range(numbers[-1] + 1)) - set(numbers))
    if missing:
        return f"im_{missing[0]}.jpg is missing ({len(missing)} of {numbers[-1] + 1})"
    return None


def _numbered(folder: Path) -> dict[int, Path]:
    """The pictures of a folder by their numbers, in order."""
    matches = ((_PICTURE.fullmatch(path.name), path) for path in folder.iterdir())
    return dict(sorted((int(match[1]), path) for match, path in matches if match))


def _begin(path: Path, record: dict[str, Any]) -> None:
    """Note what is converted; refuse a folder in which something else was."""
    text = json.dumps(record, indent=1)
    try:
        before = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        write_text_atomic(path, text)
        return
    if before != text:
        raise DatasetError(
            f"{path} is of another conversion (another release, camera, seed, or trajectories that have been "
            "added since): clips would get the numbers of others",
            "convert to an empty folder",
        )


def _copy(pictures: Iterable[Path], folder: Path) -> None:
    """The pictures as img_00001.jpg and so on, all or none."""
    temporary = folder.with_name(folder.name + ".part")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    for number, picture in enumerate(pictures, 1):
        shutil.copyfile(picture, temporary / f"img_{number:05d}.jpg")
    temporary.replace(folder)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m reelbench.datasets.bridge_conversion",
        description="Convert the original release of BridgeData to the layout that `bridge` reads.",
    )
    parser.add_argument("raw", type=Path, help="folder of the release")
    parser.add_argument("out", type=Path, help="folder to write to")
    parser.add_argument("--view", default="images0", help="camera (default: images0)")
    parser.add_argument("--seed", type=int, default=0, help="of the order of the path list (default: 0)")
    given = parser.parse_args(arguments)
    try:
        done = convert_bridge(given.raw, given.out, given.view, given.seed, show_progress=True)
    except ReelbenchError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    tasks = {id.split("/")[0] for id in done.clips}
    print(f"{len(done.clips)} clips of {len(tasks)} tasks in {given.out}")
    if done.left_out:
        print(f"{len(done.left_out)} trajectories are left out; {RECORD} says why")
    return 0


if __name__ == "__main__":
    sys.exit(main())
