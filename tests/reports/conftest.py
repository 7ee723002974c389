"""Synthetic tables of a run, in the real schema, with real tiny videos behind the clips."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reelbench.core.hashing import digest
from reelbench.core.tables import write_table
from reelbench.datasets.video import write_lossless, write_preview

HOSTILE_PROMPT = "<script>alert('x')</script> a red|blue *circle* & a \"square\""
PROTOCOL = "fvd-demo-16x64"
PROTOCOL_DIGEST = digest(PROTOCOL)
METHODS = {
    "ddim-frames": "text",
    "text2video-zero": "text",
    "zs2": "text",
    "tune-a-video": "text + reference video",
}
_METRICS = {
    # metric: label, unit, higher is better, level, first value, step, standard error
    "fvd": ("FVD", "", False, "set", 298.1324, -21.5, 5.2719),
    "clipsim": ("CLIPSIM", "", True, "clip", 0.294512, 0.011, 0.001234),
    "sampling_s": ("Sampling", "s/clip", False, "cost", 0.51, 0.4, 0.0123),
}


def _summary_row(**values: Any) -> dict[str, Any]:
    """A summary row with everything that a table needs; `values` override it."""
    row: dict[str, Any] = {
        "run": "demo", "metric": "fvd", "label": "FVD", "unit": "", "higher_is_better": False, "level": "set",
        "protocol": PROTOCOL, "protocol_digest": PROTOCOL_DIGEST, "method": "zs2", "method_name": "zs2",
        "method_version": "1", "method_config": "{}", "dataset": "sprites", "split": "test",
        "conditioning": "text", "seed": None, "num_seeds": 1, "value": 298.1324, "standard_error": 5.2719,
        "low": 287.8, "high": 308.5, "interval": "jackknife over sources", "n": 16, "num_sources": 8,
        "num_failures": 0, "coverage": 1.0, "n_reference": 16, "signature": "i3d:1 fvd:1",
        "hardware": "2 CPU cores", "notes": None, "score_key": "5" * 64, "bias_corrected": None,
        "warn_below_n": None, "references": None,
    }  # fmt: skip
    unknown = set(values) - set(row)
    assert not unknown, unknown
    return row | values


def _comparison_row(**values: Any) -> dict[str, Any]:
    """A row of the comparisons of `_full_summary`; `values` override it."""
    row: dict[str, Any] = {
        "run": "demo", "metric": "fvd", "protocol": PROTOCOL, "protocol_digest": PROTOCOL_DIGEST,
        "dataset": "sprites", "split": "test", "conditioning": "text", "method_a": "text2video-zero",
        "method_b": "zs2", "level": "set", "difference": 21.5, "standard_error": 6.0,
        "p_value": 0.012, "p_holm": 0.036, "family": "6 comparisons", "min_detectable": 18.0,
        "num_pairs": 16, "num_sources": 8, "test": "swap", "notes": None,
    }  # fmt: skip
    unknown = set(values) - {*row, "low", "high"}
    assert not unknown, unknown
    row |= values
    return {"low": row["difference"] - 12.5, "high": row["difference"] + 12.5} | row


def _full_comparisons() -> list[dict[str, Any]]:
    """Of three methods ZS² has the best CLIPSIM, and an FVD that is not told from the next one's."""
    clipsim = {"metric": "clipsim", "level": "clip", "test": "sign-flip", "standard_error": 0.004}
    return [
        _comparison_row(**clipsim, difference=-0.011, low=-0.019, high=-0.003, min_detectable=0.01234,
                        notes="the smallest p is <1/256>"),
        _comparison_row(**clipsim, difference=-0.022, method_a="ddim-frames", p_holm=0.012),
        _comparison_row(p_holm=0.3),
        _comparison_row(difference=43.0, method_a="ddim-frames", p_holm=0.018),
    ]  # fmt: skip


def _full_summary() -> list[dict[str, Any]]:
    """Four methods x three metrics on one data set, with single-seed rows that no table shows."""
    rows = []
    for index, (method, conditioning) in enumerate(METHODS.items()):
        for metric, (label, unit, higher, level, value, step, error) in _METRICS.items():
            center = value + index * step
            row = _summary_row(
                metric=metric, label=label, unit=unit, higher_is_better=higher, level=level, method=method,
                method_name=method, conditioning=conditioning, value=center, standard_error=error,
                low=center - 2 * error, high=center + 2 * error,
                method_config=json.dumps({"num_steps": 20, "scheduler": {"name": "ddim"}}),
                interval={"set": "group jackknife", "clip": "t, clustered on source"}.get(level),
                signature=None if level == "cost" else f"{metric}|v1|{PROTOCOL_DIGEST[:8]}",
                n_reference=16 if level == "set" else None,
                protocol=None if level == "cost" else PROTOCOL,
                protocol_digest=None if level == "cost" else PROTOCOL_DIGEST,
            )  # fmt: skip
            rows += [row, row | {"seed": 0, "value": -777.0}]
    return rows


def moving_square(shade: int, num_frames: int = 8, size: int = 32) -> np.ndarray:
    """A clip: a square that moves to the right over a plain background."""
    frames = np.full((num_frames, size, size, 3), shade, np.uint8)
    for index in range(num_frames):
        frames[index, 8:20, 2 * index : 2 * index + 12] = (220, 60, 40)
    return frames


@pytest.fixture
def summary_row() -> Callable[..., dict[str, Any]]:
    """Makes a summary row; keyword arguments override it."""
    return _summary_row


@pytest.fixture
def comparison_row() -> Callable[..., dict[str, Any]]:
    """Makes a row of the comparisons; keyword arguments override it."""
    return _comparison_row


@pytest.fixture
def full_comparisons() -> list[dict[str, Any]]:
    """Of the methods that saw the text, as far as ZS² is in them."""
    return _full_comparisons()


@pytest.fixture
def full_summary() -> list[dict[str, Any]]:
    """Four methods x three metrics."""
    return _full_summary()


@pytest.fixture
def make_tables(tmp_path: Path) -> Callable[..., Path]:
    """Writes the seven tables of a small run and returns their folder."""
    return _maker(tmp_path)


@pytest.fixture(scope="module")
def shared_tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tables of a small run, for all tests of a file, which only read them."""
    return _maker(tmp_path_factory.mktemp("run"))()


def _maker(tmp_path: Path) -> Callable[..., Path]:

    def make(
        summary: list[dict[str, Any]] | None = None,
        *,
        prompts: tuple[str, ...] = ("a red circle moves left", HOSTILE_PROMPT),
        run_key: str = "a" * 64,
        videos: bool = True,
        comparisons: list[dict[str, Any]] | None = None,
    ) -> Path:
        folder = tmp_path / "out" / "tables"
        summary = _full_summary() if summary is None else summary
        clips: list[dict[str, Any]] = []
        for index, prompt in enumerate(prompts):
            for row, method in enumerate([None, *METHODS]):
                failed = method == "zs2" and index == 1
                stem = f"clips/{method or 'reference'}-{index}"
                path, preview = f"{stem}.{'mkv' if method else 'mp4'}", f"{stem}.mp4"
                if videos and not failed:
                    frames = moving_square(shade=30 + 40 * row)
                    if method:
                        write_lossless(tmp_path / "out" / path, frames, fps=8.0)
                    write_preview(tmp_path / "out" / preview, frames, fps=8.0)
                clips.append(
                    {
                        "run": "demo",
                        "side": "generated" if method else "reference",
                        "method": method,
                        "dataset": "sprites",
                        "split": "test",
                        "sample_id": f"video{index}",
                        "source": f"video{index}",
                        "prompt": prompt,
                        "seed": 0 if method else None,
                        "clip_key": f"{index}{row}",
                        "status": "failed" if failed else "done",
                        "error_type": "ClipRefusedError" if failed else None,
                        "error_message": "every pixel is <b>black</b>" if failed else None,
                        "num_frames": 8,
                        "height": 32,
                        "width": 32,
                        "fps": 8.0,
                        "path": None if failed else path,
                        "preview": None if failed else preview,
                    }
                )
        scores = [
            {"run": "demo", "metric": "clipsim", "protocol": PROTOCOL, "protocol_digest": PROTOCOL_DIGEST,
             "method": clip["method"], "dataset": "sprites", "split": "test", "sample_id": clip["sample_id"],
             "source": clip["source"], "seed": 0, "value": 0.25}
            for clip in clips
            if clip["side"] == "generated" and clip["status"] == "done"
        ]  # fmt: skip
        run = {
            "run": "demo", "run_key": run_key, "run_file": json.dumps({"name": "demo", "seeds": [0]}),
            "protocol": PROTOCOL, "protocol_digest": PROTOCOL_DIGEST,
            "weights": json.dumps({"worlds/pipeline": "c" * 64}), "num_clips": 7, "num_failures": 1,
            "reelbench_version": "0", "library_versions": json.dumps({"torch": "2"}),
            "hardware": "2 CPU cores",
        }  # fmt: skip
        for name, rows in {
            "runs": [run], "clips": clips, "features": [], "scores": scores, "summary": summary,
            "comparisons": _full_comparisons() if comparisons is None else comparisons,
            "curves": [],
        }.items():  # fmt: skip
            write_table(folder, name, rows)
        return folder

    return make
