"""Trains FCA and its LoRA baseline on the embedded CogVideoX, on Sprites written as Something-Something V2.

The data set is written as video files, read back by its reader, and encoded once; the training is the one for
any data set (`methods.training.prediction`). Both methods see the same clips, order and noise. Each clip is
read as the two protocols of the comparison read it: its first 16 frames, and all of its frames blended to 16.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...core.atomic_write import atomic_path
from ...core.hashing import digest
from ...datasets.clip_reader import ClipReader
from ...datasets.ssv2 import SomethingSomethingV2
from ...datasets.video import write_preview
from ...methods.cogvideox.pipeline import load_cogvideox
from ...methods.training.prediction import PredictionPreview, PredictionTraining, new_predictor
from ...methods.training.prediction_clips import PredictionClips, PredictionEncoder
from ...methods.training.schedule import TrainingConfig
from .prediction_quality import SAMPLING, held_out_clips
from .training import report_latents
from .write import write_world

NUM_CLIPS = 5000
READINGS = (ClipReader("first"), ClipReader("seer"))
TRAINING = TrainingConfig(
    batch_size=32,
    optimizer="muon",
    learning_rate=3e-3,
    warmup_steps=100,
    average_decay=0.998,
    precision="bfloat16",
)


@dataclass(frozen=True)
class PredictorTraining:
    """Sizes of a training.

    Attributes:
        num_clips: training clips to write and encode.
        training: settings but for seed and steps.
        structure: what differs from the defaults of FcaConfig or LoraSettings.
        preview_every_steps: updates between previews.
        num_previews: held-out clips in a preview; 0 for none.
    """

    num_clips: int = NUM_CLIPS
    training: TrainingConfig = TRAINING
    structure: Mapping[str, Any] | None = None
    preview_every_steps: int = 1000
    num_previews: int = 4


def train_predictor(
    method: str,
    work: Path,
    seed: int,
    steps: int,
    base: Path,
    out: Path,
    sizes: PredictorTraining | None = None,
) -> Path:
    """Trains (or resumes) a predictor and writes its parameters to `out`.

    Args:
        method: "fca" or "lora".
        work: folder for the data set and its latents, which the methods share, and for checkpoint, log and
            previews of each method and structure.
        base: folder of the pipeline.
        out: folder for fca.safetensors or lora.safetensors, whose path is returned.
        sizes: of the training; the usual ones by default.
    """
    sizes = sizes or PredictorTraining()
    pipeline = load_cogvideox(str(base), device="cpu", dtype="float32")
    predictor = new_predictor(method, pipeline, dict(sizes.structure or {}), seed)
    counts = {"train": sizes.num_clips, "validate": 16, "test": 16}
    world = write_world(work / "data", ("ssv2",), counts, seed, show_progress=False)
    root = str(world["ssv2"])
    samples = list(SomethingSomethingV2(SomethingSomethingV2.Config(root=root, split="train", order="id")))
    num_given = samples[0].num_context_frames
    encoder = PredictionEncoder(pipeline, predictor.num_frames, num_given, predictor.context_encoding, seed)
    latents = work / "latents"
    parts = [part for read in READINGS for part in encoder.encode(samples, read, latents, report_latents)]
    variant = f"{method}-{digest(sizes.structure)[:12]}" if sizes.structure else method
    shown = tuple((one.label, one.given_THW3) for one in held_out_clips(sizes.num_previews, seed=seed))
    preview = PredictionPreview(
        given=shown, every_steps=sizes.preview_every_steps, write=write_preview, **SAMPLING
    )
    training = PredictionTraining(
        predictor,
        PredictionClips(parts),
        sizes.training.model_copy(update={"seed": seed, "steps": steps}),
        work / variant,
        preview if shown else None,
    )
    try:
        file = training.run()
    finally:
        training.close()
    assert file is not None, "the main process writes the file"
    out.mkdir(parents=True, exist_ok=True)
    with atomic_path(out / file.name) as temporary:
        shutil.copyfile(file, temporary)
    return out / file.name
