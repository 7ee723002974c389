"""Clips encoded once for training: what is kept, what is left out, what a second run does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from reelbench.core.errors import DatasetError
from reelbench.core.types import ClipRef, Sample
from reelbench.datasets.clip_reader import ClipReader
from reelbench.datasets.video import write_lossless
from reelbench.methods.frames import fit_frames
from reelbench.methods.stable_diffusion.pipeline import load_pipeline
from reelbench.methods.training.adapter_clips import AdapterEncoder
from reelbench.methods.training.clips import TrainingClips

SPREAD = ClipReader("spread")


@pytest.fixture(scope="module")
def pipeline(pipeline_folder: str) -> Any:
    return load_pipeline(pipeline_folder, device="cpu")


def video(path: Path, num_frames: int, seed: int = 0) -> ClipRef:
    rng = np.random.default_rng(seed)
    write_lossless(path, rng.integers(0, 256, (num_frames, 40, 32, 3), dtype=np.uint8), 8.0)
    return ClipRef(path)


@pytest.fixture
def samples(tmp_path: Path) -> list[Sample]:
    refs = [video(tmp_path / f"{n}.mkv", 6, n) for n in range(5)]
    return [Sample(f"id{n}", f"caption {n}", f"id{n}", ref) for n, ref in enumerate(refs)]


def test_latents_are_those_of_the_vae(pipeline: Any, samples: list[Sample], tmp_path: Path) -> None:
    from reelbench.datasets.video import read_clip

    clips = TrainingClips(AdapterEncoder(pipeline, 3).encode(samples, SPREAD, tmp_path / "latents"))
    assert len(clips) == 5
    assert clips.caption(3) == "caption 3"
    latents = clips.latents(3)
    assert (latents.dtype, tuple(latents.shape)) == (torch.float16, (3, 4, 8, 8))
    assert samples[3].reference is not None
    frames = read_clip(samples[3].reference)[[0, 2, 5], 4:36]  # spread over six frames; cropped from 40 rows
    pixels = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.inference_mode():
        posterior = pipeline.vae.encode(pixels).latent_dist
    off = (latents.float() / pipeline.vae.config.scaling_factor - posterior.mean) / posterior.std
    assert 0.8 < off.std() < 1.2, "one draw from the posterior"
    assert off.abs().max() < 5


def test_the_draw_depends_on_the_clip_and_the_seed_alone(
    pipeline: Any, samples: list[Sample], tmp_path: Path
) -> None:
    def encoded(folder: str, chosen: list[Sample], seed: int = 0, read: ClipReader = SPREAD) -> TrainingClips:
        return TrainingClips(AdapterEncoder(pipeline, 3, seed).encode(chosen, read, tmp_path / folder))

    forward, backward = encoded("a", samples), encoded("b", samples[::-1])
    assert all(torch.equal(forward.latents(i), backward.latents(4 - i)) for i in range(5))
    assert not torch.equal(forward.latents(0), encoded("a", samples, seed=1).latents(0))
    assert not torch.equal(forward.latents(0)[2], encoded("a", samples, read=ClipReader()).latents(0)[2])


def test_parts_that_are_there_are_kept_and_others_are_made(
    pipeline: Any, samples: list[Sample], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(AdapterEncoder, "clips_per_part", 2)
    calls: list[int] = []
    clip = AdapterEncoder.clip
    monkeypatch.setattr(AdapterEncoder, "clip", lambda *args: calls.append(1) or clip(*args))
    encoder = AdapterEncoder(pipeline, 3)
    seen: list[tuple[int, int]] = []
    paths = encoder.encode(samples, SPREAD, tmp_path / "l", lambda *a: seen.append(a))
    assert (len(paths), seen, len(calls)) == (3, [(2, 5), (4, 5), (5, 5)], 5)
    clips = TrainingClips(paths)
    assert [clips.caption(i) for i in range(5)] == [f"caption {i}" for i in range(5)]
    last = clips.latents(4)
    paths[1].unlink()
    assert encoder.encode(samples, SPREAD, tmp_path / "l") == paths
    assert len(calls) == 7
    assert torch.equal(TrainingClips(paths).latents(4), last)
    assert TrainingClips(paths).fingerprint == clips.fingerprint


def test_processes_share_the_parts(
    pipeline: Any, samples: list[Sample], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(AdapterEncoder, "clips_per_part", 2)
    encode, arguments = AdapterEncoder(pipeline, 3).encode, (samples, SPREAD, tmp_path / "l")
    first = encode(*arguments, process=0, num_processes=2)
    assert [path.is_file() for path in first] == [True, False, True]
    assert encode(*arguments, process=1, num_processes=2) == first
    assert len(TrainingClips(first)) == 5


def test_clips_that_cannot_be_read_are_left_out_and_named(
    pipeline: Any, samples: list[Sample], tmp_path: Path
) -> None:
    short = Sample("short", "c", "short", video(tmp_path / "short.mkv", 2))
    gone = Sample("gone", "c", "gone", ClipRef(tmp_path / "gone.mp4"))
    clips = TrainingClips(AdapterEncoder(pipeline, 3).encode([short, *samples, gone], SPREAD, tmp_path / "l"))
    assert len(clips) == 5
    assert [id for id, _ in clips.left_out] == ["short", "gone"]
    assert "too few for 3" in clips.left_out[0][1]
    with pytest.raises(DatasetError, match=r"none of the 1 clips.*too few for 3"):
        TrainingClips(AdapterEncoder(pipeline, 3).encode([short], SPREAD, tmp_path / "l"))


def test_frames_fill_the_size_and_are_cropped_at_the_centre() -> None:
    ramp = np.broadcast_to(np.arange(80, dtype=np.uint8)[None, None, :, None], (2, 40, 80, 3))
    fitted = fit_frames(np.ascontiguousarray(ramp), 40, 20)
    assert tuple(fitted.shape) == (2, 3, 40, 20)
    assert fitted[0, 0, 0].tolist() == list(range(30, 50))
    halved = fit_frames(np.ascontiguousarray(ramp), 20, 20)
    assert float(halved[0, 0, 10].mean()) == pytest.approx(39.5, abs=0.1)
