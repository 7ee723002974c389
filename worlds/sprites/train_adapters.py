"""Trains SimDA's adapters on Sprites in the layout of WebVid: the image model's, and its upscaler's.

The data set is written as video files with a WebVid list, read back by its reader, and encoded once; the
trainings are those for any data set (`methods.training.adapters`, `methods.training.upscaler`). Clips of 16,
20 and 24 frames are brought to 16, spread over the whole clip, so that each shows its whole motion.

What differs from the paper's settings, because the embedded image model is tiny and saw single frames only:

- bottlenecks as wide as their blocks: a quarter of 64 channels would leave 16;
- a layout prior (`methods.adapters.layout_prior`): a text encoder that saw single frames hardly tells "left"
  from "right", and in trials without the prior things moved smoothly, but not as prompted;
- more weight on noisy timesteps, where motion is decided, and a fifth of the clips behind pure noise, as when
  sampling starts: the schedule's noisiest latents of all frames still show the motion without the prompt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ...core.types import Sample
from ...datasets.clip_reader import ClipReader
from ...datasets.video import write_preview
from ...datasets.webvid import WebVid
from ...methods.adapters.adapters import AdapterConfig, Adapters, save_adapters
from ...methods.adapters.layout_prior import fit_layout
from ...methods.stable_diffusion.pipeline import load_pipeline
from ...methods.training.adapter_clips import AdapterEncoder, UpscalerEncoder, UpscalingClips
from ...methods.training.adapters import PreviewConfig, VideoTraining
from ...methods.training.clips import TrainingClips
from ...methods.training.schedule import TrainingConfig
from ...methods.training.upscaler import UpscalerPreview, UpscalerTraining, UpscalerTrainingConfig
from ...methods.upscaling.low_resolution import shrink
from ...methods.upscaling.pipeline import load_upscaler
from .motion_quality import judged_clips, motion_scenes
from .training import report_latents
from .upscaler_quality import held_out_pairs, judged_pairs
from .write import write_world

NUM_FRAMES = 16
SIMDA_CLIPS, UPSCALER_CLIPS = 4000, 512
ADAPTERS = AdapterConfig(spatial_bottleneck=1.0, temporal_bottleneck=1.0)
AS_IN_THE_PAPER = AdapterConfig()
"""The paper's bottlenecks and no layout prior, of the model "simda-paper"."""
SIMDA_TRAINING = TrainingConfig(
    batch_size=2,
    learning_rate=1.5e-3,
    warmup_steps=100,
    max_timestep_weight=50.0,
    blind_share=0.2,
    average_decay=0.997,
    precision="bfloat16",
)
UPSCALER_TRAINING = UpscalerTrainingConfig(
    batch_size=1,
    learning_rate=2e-3,
    warmup_steps=50,
    max_timestep_weight=5.0,  # what a frame shows is decided at the noisy steps
    average_decay=0.99,
    precision="bfloat16",
    max_noise_level=100,
)
UPSCALER_PREVIEW_STEPS = 10


def train_simda(
    work: Path,
    seed: int,
    steps: int,
    pipeline: Path,
    out: Path,
    num_clips: int = SIMDA_CLIPS,
    preview_every_steps: int = 1000,
    training: TrainingConfig = SIMDA_TRAINING,
    num_previews: int = 16,
    paper: bool = False,
) -> Path:
    """Trains (or resumes) the image model's adapters and writes them to `out`.

    Args:
        work: folder for the data set, its latents, checkpoint, log and previews.
        pipeline: folder of the image model.
        out: folder for adapters.safetensors, whose path is returned.
        preview_every_steps: updates between previews; each logs the share of held-out prompts whose motion is
            right, of 16: a glimpse, not a measurement.
        training: settings but for seed and steps.
        num_previews: clips of a preview; 0 for none.
        paper: adapters as the paper has them: its bottlenecks, and no layout prior.
    """
    samples = _samples(work, {"train": num_clips, "validate": 16, "test": 16}, seed)
    model = load_pipeline(str(pipeline), device="cpu", dtype="float32")
    encoder = AdapterEncoder(model, NUM_FRAMES, seed)
    clips = TrainingClips(encoder.encode(samples, ClipReader("spread"), work / "latents", report_latents))
    scenes = motion_scenes(num_previews)

    def judge(made: Sequence[np.ndarray], prompts: Sequence[str]) -> Mapping[str, float]:
        quality = judged_clips(made, [scene for scene, _ in scenes])
        return {"motion": quality.value, "drawn": quality.settings["frames_drawn_as_prompted"]}

    if paper:
        adapters = Adapters(model.unet, AS_IN_THE_PAPER, seed)
    else:
        numbers = range(len(clips))
        layout = fit_layout([clips.caption(i) for i in numbers], (clips.latents(i) for i in numbers))
        adapters = Adapters(model.unet, ADAPTERS.model_copy(update={"layout_words": layout.words}), seed)
        assert adapters.layout is not None
        adapters.layout.set(layout)
    preview = PreviewConfig(
        prompts=tuple(prompt for _, prompt in scenes),
        every_steps=preview_every_steps,
        write=write_preview,
        judge=judge,
    )
    config = training.model_copy(update={"seed": seed, "steps": steps})
    shown = preview if scenes else None
    return _trained(VideoTraining(model, adapters, clips, config, work / "training", shown), out)


def train_upscaler_adapters(
    work: Path,
    seed: int,
    steps: int,
    upscaler: Path,
    out: Path,
    num_clips: int = UPSCALER_CLIPS,
    training: UpscalerTrainingConfig = UPSCALER_TRAINING,
    num_previews: int = 8,
    preview_every_steps: int = 200,
) -> Path:
    """Trains (or resumes) the upscaler's adapters and writes them to `out`.

    Arguments are those of `train_simda`. Each preview logs what `upscaler_quality` measures, of few clips.

    Args:
        upscaler: folder of the image upscaler.
    """
    samples = _samples(work, {"train": num_clips, "validate": 1, "test": 1}, seed)
    model = load_upscaler(str(upscaler), device="cpu", dtype="float32").at(32, 32)
    encoder = UpscalerEncoder(model, NUM_FRAMES, seed)
    clips = UpscalingClips(encoder.encode(samples, ClipReader("spread"), work / "latents", report_latents))
    held_out = held_out_pairs(num_previews)

    def judge(made: Sequence[np.ndarray], prompts: Sequence[str]) -> Mapping[str, float]:
        return judged_pairs(made, [clip for clip, _ in held_out])

    preview = UpscalerPreview(
        prompts=tuple(prompt for _, prompt in held_out),
        every_steps=preview_every_steps,
        write=write_preview,
        num_steps=UPSCALER_PREVIEW_STEPS,
        guidance_scale=1.0,
        judge=judge,
        clips=tuple(shrink(clip, model.factor) for clip, _ in held_out),
    )
    adapters = Adapters(model.unet.network, ADAPTERS, seed)
    config = training.model_copy(update={"seed": seed, "steps": steps})
    shown = preview if held_out else None
    return _trained(UpscalerTraining(model, adapters, clips, config, work / "training", shown), out)


def _samples(work: Path, counts: Mapping[str, int], seed: int) -> list[Sample]:
    world = write_world(work / "data", ("webvid",), counts, seed, show_progress=False)
    return list(WebVid(WebVid.Config(root=str(world["webvid"]), list="10M-train", subset=None)))


def _trained(training: VideoTraining, out: Path) -> Path:
    """Train to the end, and write the averaged adapters."""
    try:
        training.run()
        return save_adapters(out, training.adapters, training.average)
    finally:
        training.close()
