"""How fast the report's folder opens with thousands of clips, and how smoothly it scrolls.

    python benchmarks/page_speed.py [--prompts 300] [--methods 9] [--folder FOLDER]

Writes the tables of a synthetic run (prompts x methods, a reference for each prompt, three clip metrics, some
failures), builds its folder twice, and opens it from disk in a headless Chromium.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from reelbench.core.hashing import digest
from reelbench.core.tables import write_table
from reelbench.datasets.video import write_preview
from reelbench.reports.folder.build import write_report_folder

METRICS = {
    "clipsim": ("CLIPSIM", True, "clip"),
    "frame_consistency_consecutive": ("Frame consistency (consecutive)", True, "clip"),
    "motion_magnitude": ("Motion magnitude", None, "clip"),
    "fvd": ("FVD", False, "set"),
    "sampling_s": ("Sampling", False, "cost"),
    "trainable_parameters": ("Trained", False, "cost"),
}
THINGS = ("a red circle", "a blue square", "a small green star", "two white dots", "a triangle in the rain")
MOTIONS = ("moves to the left", "turns slowly", "falls", "rises while it grows", "stands still")
PROTOCOL = digest("synthetic")
NUM_VIDEOS = 40


def write_synthetic_run(results: Path, num_prompts: int, num_methods: int) -> Path:
    """The tables of a run with real tiny videos, some of which many clips share; their folder."""
    random = np.random.default_rng(0)
    store = results.parent / "store"
    for index in range(NUM_VIDEOS):
        frames = np.full((16, 64, 64, 3), random.integers(20, 230, 3), np.uint8)
        for t in range(16):
            x = int((t * (1 + index % 4)) % 44)
            frames[t, 22:42, x : x + 20] = 255 - frames[0, 0, 0]
        write_preview(store / f"{index}.mp4", frames, 8.0)
    methods = [f"method-{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"[:num_methods]]
    measured = {"protocol": "clean", "protocol_digest": PROTOCOL}
    shared: dict[str, Any] = {"run": "synthetic", "dataset": "words", "split": "test"}
    clips, scores, summary = [], [], []
    for prompt in range(num_prompts):
        sample = {**shared, "sample_id": f"video{prompt:05}", "source": f"video{prompt:05}"}
        sample["prompt"] = f"{THINGS[prompt % 5]} {MOTIONS[prompt // 5 % 5]}, take {prompt}"
        for number, method in enumerate([None, *methods]):
            is_failed = method is not None and (prompt * 7 + number) % 97 == 0
            video = str(store / f"{random.integers(NUM_VIDEOS)}.mp4")
            clips.append(
                {
                    **sample,
                    "side": "generated" if method else "reference",
                    "method": method,
                    "seed": 0 if method else None,
                    "clip_key": digest([prompt, method]),
                    "status": "failed" if is_failed else "done",
                    "error_type": "ClipRefusedError" if is_failed else None,
                    "error_message": "every pixel of the clip is black" if is_failed else None,
                    "content_digest": None if is_failed else digest([prompt, method, "content"]),
                    **({} if is_failed else {"num_frames": 16, "height": 64, "width": 64, "fps": 8.0}),
                    "sampling_s": 0.5 + number,
                    "path": None if is_failed else video,
                    "preview": None if is_failed else video,
                }
            )
            if method is None or is_failed:
                continue
            for metric, (_, _, level) in METRICS.items():
                if level == "clip":
                    scores.append(
                        {**shared, "metric": metric, **measured, "method": method,
                         "conditioning": "text", "sample_id": sample["sample_id"],
                         "source": sample["source"], "seed": 0,
                         "value": float(random.normal(0.7 + 0.02 * number, 0.06)), "score_key": None}
                    )  # fmt: skip
    for number, method in enumerate(methods):
        for metric, (label, higher, level) in METRICS.items():
            value = {"set": 200.0 - 15 * number, "cost": 0.5 + number}.get(level, 0.7 + 0.02 * number)
            summary.append(
                {**shared, "metric": metric, "label": label, "unit": "", "higher_is_better": higher,
                 "level": level, "method": method, "method_name": method,
                 "method_version": "1", "method_config": "{}", "conditioning": "text", "num_seeds": 1,
                 "value": value, "standard_error": value / 50, "low": value * 0.96, "high": value * 1.04,
                 "n": num_prompts, "num_sources": num_prompts, "num_failures": 0, "coverage": 1.0,
                 "hardware": "none", **({} if level == "cost" else measured)}
            )  # fmt: skip
    curves = [
        {**shared, "metric": "fvd", "label": "FVD", **measured, "method": method,
         "seed": 0, "n": n, "n_reference": n, "value": 200 - 15 * number + 4000 / n,
         "spread": 600 / n, "num_subsets": max(1, num_prompts // n), "extrapolated": 200.0 - 15 * number}
        for number, method in enumerate(methods)
        for n in (16, 32, 64, 128, 256)
    ]  # fmt: skip
    run = {
        "run": "synthetic", "run_key": digest("run"), "protocol": "clean", "protocol_digest": PROTOCOL,
        "run_file": json.dumps({"name": "synthetic", "methods": [{"name": name} for name in methods]}),
        "weights": json.dumps({"sprites/clip": digest("clip")}), "num_clips": len(clips), "num_failures": 0,
        "reelbench_version": "0", "library_versions": json.dumps({"torch": "2"}), "hardware": "none",
    }  # fmt: skip
    tables = {
        "runs": [run], "clips": clips, "features": [], "scores": scores, "summary": summary,
        "comparisons": [], "curves": curves,
    }  # fmt: skip
    for name, rows in tables.items():
        write_table(results / "tables", name, rows)
    return results / "tables"


def measure(index: Path, chromium: str) -> dict[str, Any]:
    """What a browser says of the page."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(index.as_uri(), wait_until="load")
        page.wait_for_function("performance.getEntriesByType('paint').length > 0")
        found: dict[str, Any] = page.evaluate(
            """() => {
              const [navigation] = performance.getEntriesByType('navigation');
              const paint = performance.getEntriesByName('first-contentful-paint')[0];
              const [first_paint_ms, loaded_ms] = [paint.startTime, navigation.loadEventEnd].map(Math.round);
              return { first_paint_ms, loaded_ms };
            }"""
        )
        found |= page.evaluate(
            """async () => {
              document.getElementById('browse').scrollIntoView();
              await new Promise((go) => setTimeout(go, 1500));
              const idle = [];
              for (let step = 0; step < 30; step += 1) {
                const start = performance.now();
                await new Promise(requestAnimationFrame);
                idle.push(performance.now() - start);
              }
              idle.sort((a, b) => a - b);
              const frames = [];
              let rows = 0, before = performance.now();
              for (let step = 0; step < 120; step += 1) {
                window.scrollBy(0, 400);
                await new Promise(requestAnimationFrame);
                frames.push(performance.now() - before);
                before = performance.now();
                rows = Math.max(rows, document.querySelectorAll('.entry').length);
              }
              frames.sort((a, b) => a - b);
              return {
                playing_frame_median_ms: Math.round(idle[15]),
                scroll_frame_median_ms: Math.round(frames[60]), scroll_frame_p95_ms: Math.round(frames[114]),
                most_rows_in_document: rows,
              };
            }"""
        )
        found |= page.evaluate(
            """() => {
              const sort = document.getElementById('sort'), start = performance.now();
              sort.value = 'clipsim';
              sort.dispatchEvent(new Event('change'));
              return { sort_ms: Math.round(performance.now() - start) };
            }"""
        )
        browser.close()
    return found


def main() -> None:
    """Measure, and print a line for each number."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--prompts", type=int, default=300)
    parser.add_argument("--methods", type=int, default=9)
    parser.add_argument("--folder", type=Path, help="where the run is written, and kept")
    given = parser.parse_args()
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with tempfile.TemporaryDirectory() as temporary:
        results = (given.folder or Path(temporary)).absolute() / "synthetic"
        tables = write_synthetic_run(results, given.prompts, given.methods)
        for name in ("build_s", "build_again_s"):
            begun = time.perf_counter()
            index = write_report_folder(tables, results)
            print(f"{name} {time.perf_counter() - begun:.2f}")
        files = [path for path in index.parent.iterdir() if path.is_file()]
        print(f"page_mb {sum(path.stat().st_size for path in files) / 1e6:.2f}")
        print(f"clips {len(list((index.parent / 'clips').glob('*.mp4')))}")
        if chromium is None:
            print("no Chromium on this machine")
            return
        for name, value in measure(index, chromium).items():
            print(f"{name} {value}")


if __name__ == "__main__":
    main()
