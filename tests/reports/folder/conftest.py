"""A run with hostile texts, of real tiny videos, and its folder, made once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reelbench.core.hashing import digest
from reelbench.core.tables import write_table
from reelbench.datasets.video import write_preview
from reelbench.reports.folder.build import write_report_folder

METHODS = ("alpha", "beta", "gam|ma <i>&")
HOSTILE = (
    "</script><script>alert(1)</script>",
    "<!-- <img src=x onerror=alert(1)> ]]>",
    "line\u2028separator and \u2029 and 'quotes' \"both\" \\ back",
    "x" * 10_000,
    "\u202eright to left\u202c שלום עולם",
    "an emoji 🎬 and a lone surrogate-like \\ud800",
    "",
    "__proto__ constructor toString",
)
NUM_FRAMES, FPS = 16, 8.0


def write_videos(folder: Path, num: int = 3) -> list[Path]:
    """Previews in which a square moves, each at its own pace, in folders as the store's."""
    paths = [folder / str(index) / "preview.mp4" for index in range(num)]
    for index, path in enumerate(paths):
        path.parent.mkdir()
        path.with_name("record.json").touch()
        frames = np.full((NUM_FRAMES, 32, 32, 3), 40 + 60 * index, np.uint8)
        for t in range(NUM_FRAMES):
            x = t * (1 + index) % 24
            frames[t, 8:16, x : x + 8] = 250
        write_preview(path, frames, FPS, scale=1)
    return paths


def write_run(
    results: Path,
    videos: list[Path],
    prompts: list[str],
    methods: tuple[str, ...] = METHODS,
    datasets: tuple[str, ...] = ("words", "verbs"),
) -> Path:
    """The tables of a run: every method on every prompt, which are of each data set in turn.

    The first clip of every fifth prompt failed; `clipsim` is the prompt's number less 10 times the method's.
    """
    clips: list[dict[str, Any]] = []
    scores: list[dict[str, Any]] = []
    protocol = {"protocol": "clean", "protocol_digest": digest("clean")}
    for index, prompt in enumerate(prompts):
        sample = {
            "run": "<b>demo</b>", "dataset": datasets[index % len(datasets)], "split": "test",
            "sample_id": f"../video{index:04}", "source": f"video{index:04}", "prompt": prompt,
        }  # fmt: skip
        for number, method in enumerate([None, *methods]):
            failed = number == 1 and index % 5 == 4
            video = str(videos[(index + number) % len(videos)])
            row = {**sample, "side": "generated" if method else "reference", "method": method}
            row |= {"seed": 0 if method else None, "clip_key": digest([index, number])}
            if failed:
                error = f"every pixel of {Path('/home/anna/x.mkv')} is <b>black</b>"
                row |= {"status": "failed", "error_type": "ClipRefusedError", "error_message": error}
            else:
                row |= {"status": "done", "num_frames": NUM_FRAMES, "fps": FPS, "width": 32, "height": 32}
                row |= {"content_digest": digest([index, number, "content"])}
                row |= {"path": video, "preview": video}
            clips.append(row)
            if method and not failed:
                scores.append(
                    {**{name: sample[name] for name in ("run", "dataset", "split", "sample_id", "source")},
                     **protocol, "method": method, "seed": 0, "conditioning": "text", "metric": "clipsim",
                     "value": float(index - 10 * number)}
                )  # fmt: skip
    summary = [
        {"run": "<b>demo</b>", "metric": "clipsim", "label": "CLIPSIM <s>", "higher_is_better": True,
         "level": "clip", "method": method, "method_name": method, "dataset": dataset, "split": "test",
         "conditioning": "text", "num_seeds": 1, "value": 0.5, "n": 4, "num_failures": 0, "coverage": 1.0,
         "unit": "", "notes": "few <clips>", **protocol}
        for method in methods
        for dataset in datasets
    ]  # fmt: skip
    run = {
        "run": "<b>demo</b>", "run_key": digest("run"), **protocol, "hardware": "2 cores",
        "run_file": json.dumps({"name": "demo", "methods": [{"name": name} for name in methods]}),
    }  # fmt: skip
    tables = {
        "runs": [run], "clips": clips, "features": [], "scores": scores, "summary": summary,
        "comparisons": [], "curves": [],
    }  # fmt: skip
    for name, rows in tables.items():
        write_table(results / "tables", name, rows)
    return results / "tables"


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three previews."""
    return write_videos(tmp_path_factory.mktemp("videos"))


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory, videos: list[Path]) -> Path:
    """The page of 48 prompts, the first ones hostile; it lies in a folder of a hostile name."""
    results = tmp_path_factory.mktemp("results") / "a #1 & 100% <é>"
    prompts = [*HOSTILE, *(f"a {('red', 'blue')[n % 2]} circle, take {n}" for n in range(40))]
    return write_report_folder(write_run(results, videos, prompts), results)
