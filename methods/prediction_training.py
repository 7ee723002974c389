"""Training a predictor on clips: FCA or its LoRA baseline learns to go on from given frames.

The frozen base's own objective, the velocity (or whatever it predicts) at one timestep for all latent frames,
with gradients for the trained parameters alone. All settings of the published training are unknown; they are
settings here (`methods.training_schedule`), and their defaults are ours.

Everything random is drawn from (seed, step, place in the batch). So a training that is killed and started
again goes on with the very batches and noise that it would have seen, bit for bit on a CPU, and the batches
do not depend on the number of processes: several GPUs share each batch through accelerate, which averages the
gradients.

What is kept is an exponential average of the trained parameters. The work folder holds `checkpoint.pt`,
`log.jsonl`, the average as of the last checkpoint (`fca.safetensors` or `lora.safetensors`) and
`previews/step-NNNNNN/NN.mp4`. A listener hears of log and previews (`mlflow_listener` sends them to MLflow).

Shape suffixes: G clips, F latent frames, C latent channels, H, W latent height and width, L text tokens, D
width of the text encoder.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..core.atomic_write import atomic_path
from ..core.errors import RunFileError
from ..core.types import Frames
from ..datasets.video_writing import write_preview
from .cogvideox_sampling import Guidance
from .matrix_optimizer import make_optimizer
from .noise import draw
from .prediction_clips import PredictionClips
from .predictor import Predictor
from .predictor_file import save_trained
from .training_listener import Listener
from .training_schedule import Batch, TrainingConfig, batch_of, learning_rate, timestep_weights
from .video_unet import AttentionInFloat32

_ACCELERATE = {"float32": "no", "bfloat16": "bf16", "float16": "fp16"}


@dataclass(frozen=True)
class PredictionPreview:
    """What is shown of a training now and then; none of it changes the result.

    Attributes:
        given: (prompt, given frames [k,H,W,3]) of each clip; the seed of a clip is its number.
        every_steps: updates between previews.
        num_steps: of the sampler.
        guidance_scale: of classifier-free guidance.
        fps: frames per second of the files.
    """

    given: tuple[tuple[str, Frames], ...]
    every_steps: int
    num_steps: int = 20
    guidance_scale: float = 6.0
    fps: float = 8.0


class PredictionTraining:
    """One training of a predictor: its objects, where it stands, its files.

    Args:
        predictor: fresh or from a file; trained in place. With `precision` float32 its pipeline must be
            loaded in float32.
        clips: what to train on.
        config: the settings.
        work: folder for checkpoint, log, previews and the result.
        preview: what to show now and then; needs the pipeline's VAE and text encoder on the device.
        listener: who hears of log and previews.
        checkpoint_every_s: seconds between checkpoints.

    Raises:
        RunFileError: the work folder holds a training of other settings, structure or clips; or the clips do
            not fit the predictor.
    """

    def __init__(
        self,
        predictor: Predictor,
        clips: PredictionClips,
        config: TrainingConfig,
        work: Path,
        preview: PredictionPreview | None = None,
        listener: Listener | None = None,
        checkpoint_every_s: float = 300.0,
    ) -> None:
        from accelerate import Accelerator

        self.predictor, self.clips, self.config = predictor, clips, config
        self.work, self.preview, self.listener = work, preview, listener
        self.checkpoint_every_s = checkpoint_every_s
        self.step = 0
        self.seconds_before = 0.0
        self.started = time.monotonic()
        pipeline = predictor.pipeline
        expected = pipeline.latent_shape_FCHW(predictor.num_frames)
        if tuple(clips.latents(0).shape) != expected:
            raise RunFileError(
                f"the clips have latents {list(clips.latents(0).shape)}, the predictor makes "
                f"{list(expected)}",
                "encode the clips with the predictor's num_frames and the pipeline's size",
            )
        self.accelerator = Accelerator(
            mixed_precision=_ACCELERATE[config.precision], cpu=pipeline.device.type == "cpu"
        )
        if config.batch_size % self.accelerator.num_processes:
            raise RunFileError(
                f"batch_size is {config.batch_size}, which {self.accelerator.num_processes} processes cannot "
                "share evenly",
                "make it a multiple of the number of processes",
            )
        for parameter in predictor.trained().values():
            parameter.data = parameter.data.to(self.accelerator.device, torch.float32)
            parameter.requires_grad_(True)
        if config.gradient_checkpointing:
            pipeline.transformer.enable_gradient_checkpointing()
        named = predictor.trained().items()
        optimizer = make_optimizer(config.optimizer, named, config.learning_rate, config.weight_decay)
        self.model, self.optimizer = self.accelerator.prepare(predictor, optimizer)
        self.average = predictor.values()
        # 1 / abar is cut anyhow, and the last abar may be 0.
        abars = np.maximum(pipeline.alphas_cumprod, 1e-12)
        self._weights = timestep_weights(abars.tolist(), config.max_timestep_weight)
        self._schedule = pipeline.schedule(1)
        work.mkdir(parents=True, exist_ok=True)
        self._resume()

    @property
    def seconds(self) -> float:
        """Wall time of training so far, over all restarts."""
        return self.seconds_before + time.monotonic() - self.started

    def run(self, log_every: int = 50) -> Path | None:
        """Train to the end and write the averaged parameters.

        Returns:
            Their file; None in the processes that do not write it.
        """
        losses: list[torch.Tensor] = []
        saved = time.monotonic()
        while self.step < self.config.steps:
            losses.append(self._update())
            self.step += 1
            at_end = self.step == self.config.steps
            if self.step % log_every == 0 or at_end:
                loss = self.accelerator.reduce(torch.stack(losses).mean(), reduction="mean")
                self._log(loss=float(loss), rate=learning_rate(self.step - 1, self.config))
                losses = []
            if self.preview is not None and (self.step % self.preview.every_steps == 0 or at_end):
                self._show(self.preview)
            if time.monotonic() - saved > self.checkpoint_every_s or at_end:
                self.save()
                saved = time.monotonic()
        self.accelerator.wait_for_everyone()
        return self.work / self.predictor.file_name if self.accelerator.is_main_process else None

    def close(self) -> None:
        """Give accelerate's process-wide state back, so that another training may have other settings."""
        from accelerate.state import AcceleratorState

        self.accelerator.free_memory()
        AcceleratorState._reset_state(reset_partial_state=True)

    def _update(self) -> torch.Tensor:
        """One update of the trained parameters; the loss of this process's part of the batch."""
        config, accelerator = self.config, self.accelerator
        batch = batch_of(self.step, config, len(self.clips), self._weights)
        mine = range(accelerator.process_index, config.batch_size, accelerator.num_processes)
        device = accelerator.device
        context = torch.stack([self.clips.context(batch.clips[i]) for i in mine]).to(device).float()
        text = torch.stack([self.clips.text(None if batch.dropped[i] else batch.clips[i]) for i in mine])
        text = text.to(device, self.predictor.pipeline.dtype)
        timestep_G = torch.tensor([batch.timesteps[i] for i in mine], device=device)
        noisy, target, weight_G = self._noisy(batch, mine, timestep_G)

        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.step, config)
        with contextlib.ExitStack() as stack, self._attention():
            with accelerator.autocast():
                stack.enter_context(self.predictor.given(context, text))
                prediction = self.model(noisy, timestep_G, text)
            padding = noisy.shape[1] - target.shape[1]
            error = (prediction[:, padding:].float() - target).square().mean((1, 2, 3, 4))
            loss = (error * weight_G).mean()
            # The backward pass belongs in here: gradient checkpointing calls the transformer again.
            accelerator.backward(loss)
        accelerator.clip_grad_norm_(self.predictor.trained().values(), config.max_gradient_norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self._update_average()
        return loss.detach()

    def _noisy(
        self, batch: Batch, mine: Sequence[int], timestep_G: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """What the transformer sees, with padding in front; what it should predict, without; the weights."""
        device, config = self.accelerator.device, self.config
        clean = torch.stack([self.clips.latents(batch.clips[i]) for i in mine]).to(device).float()
        padding = self.predictor.pipeline.padding(clean.shape[1])
        # What stands in the padding is left out after sampling, and counts for nothing in the loss.
        padded = torch.cat([clean[:, :1].expand(-1, padding, -1, -1, -1), clean], dim=1)
        noise = torch.stack([draw(tuple(padded.shape[1:]), config.seed, "noise", self.step, i) for i in mine])
        noise = noise.to(device)
        abars = torch.tensor(self.predictor.pipeline.alphas_cumprod, dtype=torch.float64, device=device)
        signal, sigma = (
            values.float().view(-1, 1, 1, 1, 1)
            for values in (abars[timestep_G].sqrt(), (1 - abars[timestep_G]).sqrt())
        )
        blind = torch.tensor([batch.blind[i] for i in mine], device=device).view(-1, 1, 1, 1, 1)
        noisy = torch.where(blind, 0.0, signal) * padded + sigma * noise
        # The noise that makes the noisy latents of the clip: not what was drawn where the clip is hidden.
        noise = ((noisy - signal * padded) / sigma)[:, padding:]
        target = {
            "epsilon": noise,
            "v_prediction": signal * noise - sigma * clean,
            "sample": clean,
        }[self._schedule.prediction]
        root_G = torch.from_numpy(self._weights[[batch.timesteps[i] for i in mine]]).to(target)
        return noisy, target, torch.where(blind.flatten(), root_G.square(), root_G)

    def _attention(self) -> contextlib.AbstractContextManager[Any]:
        # It does not reach what checkpointing computes again, and both must have one number format.
        slow = self.accelerator.device.type == "cpu" and self.config.precision != "float32"
        if slow and not self.config.gradient_checkpointing:
            return AttentionInFloat32()
        return contextlib.nullcontext()

    @torch.no_grad()
    def _update_average(self) -> None:
        # The average starts short, so that the initial values are soon forgotten.
        keep = min(self.config.average_decay, (1 + self.step) / (10 + self.step))
        for name, value in self.predictor.trained().items():
            self.average[name].lerp_(value, 1 - keep)

    @contextlib.contextmanager
    def _averaged(self) -> Iterator[None]:
        """Within the block the predictor holds its average."""
        current = self.predictor.values()
        self.predictor.set_values(self.average)
        try:
            yield
        finally:
            self.predictor.set_values(current)

    @torch.no_grad()
    def sample(self, preview: PredictionPreview) -> list[Frames]:
        """A clip for each of the preview's prompts with the averaged parameters."""
        pipeline = self.predictor.pipeline
        schedule, guidance = pipeline.schedule(preview.num_steps), Guidance(preview.guidance_scale)
        clips = []
        with self._averaged(), self.accelerator.autocast(), self._attention():
            for number, (prompt, given_THW3) in enumerate(preview.given):
                prompts = [prompt] if preview.guidance_scale <= 1 else ["", prompt]
                text = torch.stack([pipeline.encode_prompt(one).embedding_LD for one in prompts])
                clips.append(self.predictor.clip(given_THW3, text, schedule, guidance, number))
        return clips

    def _show(self, preview: PredictionPreview) -> None:
        if self.accelerator.is_main_process:
            folder = self.work / "previews" / f"step-{self.step:06d}"
            for number, clip in enumerate(self.sample(preview)):
                write_preview(folder / f"{number:02d}.mp4", clip, preview.fps)
            if self.listener is not None:
                self.listener.shown(self.step, folder)
        self.accelerator.wait_for_everyone()

    def _identity(self) -> dict[str, Any]:
        """What a checkpoint must agree in; a checkpoint of fewer steps is gone on with."""
        return {
            "config": self.config.model_dump(exclude={"steps"}),
            "format": self.predictor.format,
            "structure": self.predictor.settings.model_dump(mode="json"),
            "clips": self.clips.fingerprint,
        }

    def save(self) -> None:
        """Write the checkpoint and the averaged parameters."""
        if not self.accelerator.is_main_process:
            return
        scaler = getattr(self.accelerator, "scaler", None)
        state = {
            "identity": json.dumps(self._identity(), sort_keys=True),
            "step": self.step,
            "seconds": self.seconds,
            "trained": self.predictor.values(),
            "average": self.average,
            "optimizer": self.optimizer.state_dict(),
            "scaler": {} if scaler is None else scaler.state_dict(),
        }
        save_trained(self.work, self.predictor, self.average)
        with atomic_path(self.work / "checkpoint.pt") as temporary:
            torch.save(state, temporary)

    def _resume(self) -> None:
        path, log = self.work / "checkpoint.pt", self.work / "log.jsonl"
        if not path.is_file():
            if self.accelerator.is_main_process:
                log.write_text("", encoding="utf-8")
            return
        saved = torch.load(path, map_location=self.accelerator.device, weights_only=True)
        if (
            saved["identity"] != json.dumps(self._identity(), sort_keys=True)
            or saved["step"] > self.config.steps
        ):
            raise RunFileError(
                f"{path} belongs to a training of other settings, structure or clips, or of more steps "
                f"({saved['step']}, {self.config.steps} asked for)",
                "give another work folder, or remove this one to start again",
            )
        self.predictor.set_values(saved["trained"])
        self.average = saved["average"]
        self.optimizer.load_state_dict(saved["optimizer"])
        scaler = getattr(self.accelerator, "scaler", None)
        if scaler is not None and saved["scaler"]:
            scaler.load_state_dict(saved["scaler"])
        self.step, self.seconds_before = saved["step"], saved["seconds"]
        if self.accelerator.is_main_process:
            # What was logged after the checkpoint will be logged again.
            lines = log.read_text(encoding="utf-8").splitlines() if log.is_file() else []
            kept = [line for line in lines if json.loads(line)["step"] <= self.step]
            log.write_text("".join(line + "\n" for line in kept), encoding="utf-8")

    def _log(self, **values: float) -> None:
        if not self.accelerator.is_main_process:
            return
        line: dict[str, float] = {"step": self.step, "seconds": round(self.seconds, 1)}
        line |= {name: float(f"{value:.5g}") for name, value in values.items()}
        with (self.work / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        if self.listener is not None:
            self.listener.logged(self.step, {name: value for name, value in line.items() if name != "step"})
        left_min = (self.config.steps - self.step) * self.seconds / max(self.step, 1) / 60
        shown = "  ".join(f"{name} {value:g}" for name, value in line.items())
        print(
            f"[training] {shown}  of {self.config.steps}, {left_min:.1f} min left",
            file=sys.stderr,
            flush=True,
        )
