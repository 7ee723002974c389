"""Trains the embedded CogVideoX: a text-to-video pipeline in diffusers' format, pretrained on Sprites.

Clips are drawn once, the autoencoder is trained on them (`cogvideox_vae`), they are encoded once, and the
transformer is trained on the latents together with its text encoder (`cogvideox_transformer`). Each of these
is kept in the work folder, so that a training that was killed resumes.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from ...methods.resumable import ResumableRun
from .cogvideox_data import clip_pool
from .cogvideox_quality import WORDINGS, cogvideox_quality
from .cogvideox_tokenizer import build_t5_tokenizer
from .cogvideox_transformer import (
    VideoModel,
    build_networks,
    cached_latents,
    save_video_pipeline,
    train_transformer,
)
from .cogvideox_vae import train_decoder, train_video_vae

NUM_CLIPS = 8000


@dataclass(frozen=True)
class Preview:
    """What is tried in between.

    Attributes:
        num: held-out prompts, half of them captions and half labels; 0 for no previews.
        every_s: seconds of training between previews.
        num_steps: of sampling.
    """

    num: int = 24
    every_s: float = 900.0
    num_steps: int = 20


def train_cogvideox(
    work: Path,
    seed: int,
    vae_steps: int,
    decoder_steps: int,
    steps: int,
    out: Path,
    num_clips: int = NUM_CLIPS,
    preview: Preview | None = None,
) -> Path:
    """Trains (or resumes) the autoencoder and the transformer and writes the pipeline.

    The pipeline is also written at each checkpoint of the transformer, so that an early one can be tried.

    Args:
        work: folder for clips, latents, checkpoints, logs and previews.
        vae_steps, decoder_steps: updates of the autoencoder, and then of its decoder alone.
        steps: updates of the transformer and the text encoder.
        out: folder of the pipeline, which is returned.
        preview: what is tried in between; None is the usual.
    """
    tokenizer = build_t5_tokenizer()
    pool = clip_pool(tokenizer, num_clips, seed, work / f"clips-{seed}.pt")
    vae = train_video_vae(pool, work, seed, vae_steps)
    print("[latents] encoding the clips", file=sys.stderr, flush=True)
    latents = cached_latents(vae, pool, work / f"latents-{seed}-{vae_steps}.pt")
    vae = train_decoder(vae, pool, latents, work, seed, decoder_steps)
    previews = _Previews(preview or Preview(), work, out)
    model = build_networks(vae, tokenizer, seed)
    save_video_pipeline(out, train_transformer(model, pool, latents, work, seed, steps, previews))
    return out


class _Previews:
    """At each checkpoint the pipeline is written, and now and then tried; what is seen goes to the log."""

    def __init__(self, preview: Preview, work: Path, out: Path) -> None:
        self.preview, self.work, self.out = preview, work, out
        self._tried_at: float | None = None

    def __call__(self, model: VideoModel, run: ResumableRun) -> None:
        save_video_pipeline(self.out, model)
        if self._tried_at is None:
            self._tried_at = run.seconds_before
        due = run.seconds - self._tried_at >= self.preview.every_s or run.step == run.steps
        if not due or self.preview.num == 0:
            return
        self._tried_at = run.seconds
        seen: dict[str, float] = {}
        for wording in WORDINGS:
            sheet = self.work / f"preview-{run.step:06d}-{wording}.png"
            got = cogvideox_quality(
                self.out,
                max(1, self.preview.num // 2),
                self.preview.num_steps,
                wording=wording,
                sheet=sheet,
            )
            seen[f"{wording}_motion"] = got.value
            seen[f"{wording}_drawn"] = got.settings["frames_drawn_as_prompted"]
        run.log(**seen)
