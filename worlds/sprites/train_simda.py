"""Trains SimDA's adapters for the embedded pipeline on Sprites, in the layout of WebVid.

The data set is written as video files with a WebVid list, read back by its reader, and encoded once; the
training is the one for any data set and any pipeline (`methods.training.adapters`). What differs from the
paper's settings, all because the embedded image model is tiny and saw single frames only:

- bottlenecks as wide as their blocks: a quarter of 64 channels would leave 16;
- a layout prior (`methods.adapters.layout_prior`): single frames cannot show which way something moves, so
  the embedded text encoder hardly tells "left" from "right", and in trials without the prior the adapters
  learned to move things smoothly, but not as prompted;
- more weight on noisy timesteps, where motion is decided, and a fifth of the clips hidden behind pure
  noise, as they are when sampling starts: the schedule's noisiest latents still show a clip's motion to who
  looks at all of its frames, so that the prompt would hardly be needed.

Clips of 16, 20 and 24 frames are brought to 16, spread over the whole clip, so that each shows its whole
motion.
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
from ...methods.adapters.layout_prior import fit_layout
from ...methods.stable_diffusion.pipeline import load_pipeline
from ...methods.training.adapter_clips import AdapterEncoder
from ...methods.training.adapters import PreviewConfig, VideoTraining
from ...methods.training.clips import TrainingClips
from ...methods.training.schedule import TrainingConfig
from .motion_quality import judged_clips, motion_scenes
from .write import write_world

NUM_CLIPS = 4000
NUM_FRAMES = 16
ADAPTERS = AdapterConfig(spatial_bottleneck=1.0, temporal_bottleneck=1.0)
TRAINING = TrainingConfig(
    batch_size=2,
    learning_rate=1.5e-3,
    warmup_steps=100,
    max_timestep_weight=50.0,
    blind_share=0.2,
    average_decay=0.997,
    precision="bfloat16",
)


def train_simda(
    work: Path,
    seed: int,
    steps: int,
    pipeline: Path,
    out: Path,
    num_clips: int = NUM_CLIPS,
    preview_every_steps: int = 1000,
    training: TrainingConfig = TRAINING,
    num_previews: int = 16,
) -> Path:
    """Trains (or resumes) the adapters and writes them to `out`.

    Args:
        work: folder for the data set, its latents, checkpoint, log and previews.
        seed: of the world, the adapters' initial values, batches and noise.
        steps: updates.
        pipeline: folder of the image model.
        out: folder for adapters.safetensors.
        num_clips: training clips to write and encode.
        preview_every_steps: updates between previews; each logs the share of held-out prompts whose motion is
            right, of 16: a glimpse, not a measurement.
        training: settings but for seed and steps.
        num_previews: clips of a preview; 0 for none.

    Returns:
        The file of the adapters.
    """
    world = write_world(
        work / "data",
        ("webvid",),
        {"train": num_clips, "validate": 16, "test": 16},
        seed,
        show_progress=False,
    )
    dataset = WebVid(WebVid.Config(root=str(world["webvid"]), list="10M-train", subset=None))
    model = load_pipeline(str(pipeline), device="cpu", dtype="float32")

    def progress(done: int, of: int) -> None:
        print(f"[latents] {done} of {of} clips", file=sys.stderr, flush=True)

    encoder = AdapterEncoder(model, NUM_FRAMES, seed)
    parts = encoder.encode(list(dataset), ClipReader("spread"), work / "latents", progress)
    scenes = motion_scenes(num_previews)

    def judge(clips: Sequence[np.ndarray], prompts: Sequence[str]) -> Mapping[str, float]:
        quality = judged_clips(clips, [scene for scene, _ in scenes])
        return {"motion": quality.value, "drawn": quality.settings["frames_drawn_as_prompted"]}

    clips = TrainingClips(parts)
    numbers = range(len(clips))
    layout = fit_layout([clips.caption(i) for i in numbers], (clips.latents(i) for i in numbers))
    adapters = Adapters(model.unet, ADAPTERS.model_copy(update={"layout_words": layout.words}), seed)
    assert adapters.layout is not None
    adapters.layout.set(layout)
    prompts = tuple(prompt for _, prompt in scenes)
    preview = PreviewConfig(
        prompts=prompts, every_steps=preview_every_steps, write=write_preview, judge=judge
    )
    run = VideoTraining(
        model,
        adapters,
        clips,
        training.model_copy(update={"seed": seed, "steps": steps}),
        work / "training",
        preview if scenes else None,
    )
    try:
        run.run()
        return save_adapters(out, run.adapters, run.average)
    finally:
        run.close()
