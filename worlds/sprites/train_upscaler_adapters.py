"""Trains the adapters of the Sprites upscaler on clips, in the layout of WebVid.

The data set is written as video files with a WebVid list, read back by its reader and encoded once; the
training is the one for any data set and any upscaler (`methods.training.upscaler`).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ...datasets.clip_reader import ClipReader
from ...datasets.video import write_preview
from ...datasets.webvid import WebVid
from ...methods.adapters.adapters import AdapterConfig, Adapters, save_adapters
from ...methods.training.adapter_clips import UpscalerEncoder, UpscalingClips
from ...methods.training.upscaler import UpscalerPreview, UpscalerTraining, UpscalerTrainingConfig
from ...methods.upscaling.low_resolution import shrink
from ...methods.upscaling.pipeline import load_upscaler
from .upscaler_quality import held_out_clips, judged
from .write import write_world

NUM_CLIPS, CLIP_FRAMES = 512, 16
PREVIEW_STEPS = 10
ADAPTERS = AdapterConfig(spatial_bottleneck=1.0, temporal_bottleneck=1.0)
"""As in `train_simda`: bottlenecks as wide as their blocks, since a quarter of 64 channels would leave 16."""
TRAINING = UpscalerTrainingConfig(
    batch_size=1,
    learning_rate=2e-3,
    warmup_steps=50,
    max_timestep_weight=5.0,  # what a frame shows is decided at the noisy steps
    average_decay=0.99,
    precision="bfloat16",
    max_noise_level=100,
)


def train_adapters(
    work: Path,
    seed: int,
    steps: int,
    upscaler: Path,
    out: Path,
    num_clips: int = NUM_CLIPS,
    training: UpscalerTrainingConfig = TRAINING,
    num_previews: int = 8,
    preview_every_steps: int = 200,
) -> Path:
    """Trains (or resumes) the adapters on clips in the layout of WebVid, and writes them to `out`.

    Args:
        work: folder for the data set, its latents, checkpoint, log and previews.
        seed: of the world, the adapters' initial values, batches and noise.
        steps: updates.
        upscaler: folder of the image upscaler.
        out: folder for adapters.safetensors.
        num_clips: training clips to write and encode.
        training: settings but for seed and steps.
        num_previews: held-out clips of a preview; 0 for none.
        preview_every_steps: updates between previews; each logs what `upscaler_quality` measures, of few
            clips.

    Returns:
        The file of the adapters.
    """
    counts = {"train": num_clips, "validate": 1, "test": 1}
    world = write_world(work / "data", ("webvid",), counts, seed, show_progress=False)
    dataset = WebVid(WebVid.Config(root=str(world["webvid"]), list="10M-train", subset=None))
    model = load_upscaler(str(upscaler), device="cpu", dtype="float32").at(32, 32)

    def progress(done: int, of: int) -> None:
        print(f"[upscaler latents] {done} of {of} clips", file=sys.stderr, flush=True)

    encoder = UpscalerEncoder(model, CLIP_FRAMES, seed)
    clips = UpscalingClips(encoder.encode(list(dataset), ClipReader("spread"), work / "latents", progress))
    held_out = held_out_clips(num_previews)

    def judge(made: Sequence[np.ndarray], prompts: Sequence[str]) -> Mapping[str, float]:
        return judged(made, [clip for clip, _ in held_out])

    preview = UpscalerPreview(
        prompts=tuple(prompt for _, prompt in held_out),
        every_steps=preview_every_steps,
        write=write_preview,
        num_steps=PREVIEW_STEPS,
        guidance_scale=1.0,
        judge=judge,
        clips=tuple(shrink(clip, model.factor) for clip, _ in held_out),
    )
    run = UpscalerTraining(
        model,
        Adapters(model.unet.network, ADAPTERS, seed),
        clips,
        training.model_copy(update={"seed": seed, "steps": steps}),
        work / "training",
        preview if held_out else None,
    )
    try:
        run.run()
        return save_adapters(out, run.adapters, run.average)
    finally:
        run.close()
