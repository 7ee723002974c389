"""How much opening a data set of 10,000 rows costs over merely parsing its annotation file.

    python benchmarks/open_datasets.py

Writes annotation files of MSR-VTT's and WebVid's size (videos are empty files), then times, in one process,
reading the samples against the parser alone. What counts is the ratio; seconds depend on the machine.
"""

from __future__ import annotations

import csv
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from reelbench.datasets.msrvtt import MsrVtt
from reelbench.datasets.webvid import WebVid

NUM_ROWS = 10_000
NUM_CAPTIONS = 20
NUM_RUNS = 5


def write_msrvtt(root: Path) -> Path:
    """An MSR-VTT test split of 10,000 clips with 20 captions each."""
    videos = [
        {
            "video_id": f"video{i}",
            "id": i,
            "split": "test",
            "category": 0,
            "url": "",
            "start time": 0,
            "end time": 9,
        }
        for i in range(NUM_ROWS)
    ]
    sentences = [
        {"video_id": f"video{i}", "caption": f"a clip number {i} seen by {k}", "sen_id": i * NUM_CAPTIONS + k}
        for i in range(NUM_ROWS)
        for k in range(NUM_CAPTIONS)
    ]
    (root / "TestVideo").mkdir()
    path = root / "test_videodatainfo.json"
    path.write_text(json.dumps({"videos": videos, "sentences": sentences}))
    return path


def write_webvid(root: Path) -> Path:
    """A WebVid list of 10,000 rows."""
    for i in range(NUM_ROWS):  # empty files: the reader wants to find some of the list's videos
        page = root / "videos" / f"{i // 50:06d}_{i:06d}"
        page.mkdir(parents=True)
        (page / f"{i}.mp4").touch()
    path = root / "results_2M_val.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["videoid", "contentUrl", "duration", "page_dir", "name"])
        writer.writerows(
            [i, "", "PT00H00M09S", f"{i // 50:06d}_{i:06d}", f"a clip number {i}"] for i in range(NUM_ROWS)
        )
    return path


def seconds(work: Callable[[], object]) -> float:
    """Median wall time of a few calls."""
    times = []
    for _ in range(NUM_RUNS):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name in ("msrvtt", "webvid"):
            (Path(folder) / name).mkdir()
        info = write_msrvtt(Path(folder) / "msrvtt")
        listing = write_webvid(Path(folder) / "webvid")
        parse_json = seconds(lambda: json.loads(info.read_text()))
        open_msrvtt = seconds(lambda: list(MsrVtt(MsrVtt.Config(root=str(info.parent)))))
        parse_csv = seconds(lambda: list(csv.DictReader(listing.open(newline=""))))
        open_webvid = seconds(lambda: list(WebVid(WebVid.Config(root=str(listing.parent), subset=None))))
    print(f"{'data set':<10}{'rows':>8}{'open, s':>10}{'parse, s':>10}{'ratio':>8}")
    for name, ours, bare in (("msrvtt", open_msrvtt, parse_json), ("webvid", open_webvid, parse_csv)):
        print(f"{name:<10}{NUM_ROWS:>8}{ours:>10.3f}{bare:>10.3f}{ours / bare:>8.1f}")


if __name__ == "__main__":
    main()
