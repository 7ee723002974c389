"""Training adapters on videos: an image model learns to make clips from text.

Source: Xing et al., "SimDA" (CVPR 2024): the frozen image model's own objective (the noise, or the
velocity, predicted at one timestep for all frames of a clip), with gradients for the adapters alone.
Learning rate, batch, steps, dropping of prompts and frame rate of the published training are not known: all
are settings here, and their defaults are ours.

Everything random is drawn from (seed, step, place in the batch). So a training that is killed and started
again goes on with the very batches and noise it would have seen, bit for bit on a CPU, and the batches do
not depend on the number of processes: several GPUs share each batch through accelerate, which averages the
gradients.

What is kept is an exponential average of the adapters. The work folder holds `checkpoint.pt`, `log.jsonl`,
`adapters.safetensors` (the average, as of the last checkpoint) and `previews/step-NNNNNN/NN.mp4`.

Deviation that is off by default: `max_timestep_weight` above 1 gives more weight to timesteps with more
noise, since motion is decided there and a frozen image model already knows the rest.

Shape suffixes: G clips, T frames, C latent channels, H, W latent height and width, L text tokens, D text
width.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..core.atomic_write import atomic_path
from ..core.errors import RunFileError
from ..core.seeds import derive_seed
from ..core.types import Frames
from ..datasets.video_writing import write_preview
from .adapter_file import save_adapters
from .adapters import Adapters
from .guidance import Denoiser
from .matrix_optimizer import make_optimizer
from .noise import draw, independent_noise
from .pipeline import StableDiffusion
from .training_clips import TrainingClips
from .training_listener import Listener
from .training_schedule import TrainingConfig, batch_of, learning_rate, timestep_weights
from .video_unet import AttentionInFloat32, VideoUNet

_ACCELERATE = {"float32": "no", "bfloat16": "bf16", "float16": "fp16"}


@dataclass(frozen=True)
class PreviewConfig:
    """What is shown of a training now and then; none of it changes the result.

    Attributes:
        prompts: one clip each; the seed of a clip is its number.
        every_steps: updates between previews.
        num_steps: DDIM steps.
        guidance_scale: of classifier-free guidance.
        fps: frames per second of the files.
        judge: turns (clips, prompts) into numbers for the log.
    """

    prompts: tuple[str, ...]
    every_steps: int
    num_steps: int = 20
    guidance_scale: float = 5.0
    fps: float = 8.0
    judge: Callable[[Sequence[Frames], Sequence[str]], Mapping[str, float]] | None = None


class VideoTraining:
    """One training of adapters: its objects, where it stands, its files.

    Args:
        pipeline: the frozen image model. With `precision` float32 it must be loaded in float32.
        adapters: fresh or from a file; trained in place.
        clips: what to train on.
        config: the settings.
        work: folder for checkpoint, log, previews and the result.
        preview: what to show now and then.
        checkpoint_every_s: seconds between checkpoints.
        listener: who hears of log and previews.

    Raises:
        RunFileError: the work folder holds a training of other settings, adapters or clips.
    """

    def __init__(
        self,
        pipeline: StableDiffusion,
        adapters: Adapters,
        clips: TrainingClips,
        config: TrainingConfig,
        work: Path,
        preview: PreviewConfig | None = None,
        checkpoint_every_s: float = 120.0,
        listener: Listener | None = None,
    ) -> None:
        from accelerate import Accelerator

        self.pipeline, self.adapters, self.clips = pipeline, adapters, clips
        self.config, self.preview, self.work = config, preview, work
        self.checkpoint_every_s, self.listener = checkpoint_every_s, listener
        self.step = 0
        self.seconds_before = 0.0
        self.started = time.monotonic()
        self.accelerator = Accelerator(
            mixed_precision=_ACCELERATE[config.precision], cpu=pipeline.device.type == "cpu"
        )
        if config.batch_size % self.accelerator.num_processes:
            raise RunFileError(
                f"batch_size is {config.batch_size}, which {self.accelerator.num_processes} processes cannot "
                "share evenly",
                "make it a multiple of the number of processes",
            )
        adapters.to(self.accelerator.device).float().requires_grad_(True)
        if config.gradient_checkpointing:
            pipeline.unet.enable_gradient_checkpointing()
        named = adapters.named_parameters()
        optimizer = make_optimizer(config.optimizer, named, config.learning_rate, config.weight_decay)
        self.model, self.optimizer = self.accelerator.prepare(VideoUNet(pipeline.unet, adapters), optimizer)
        self.average = {name: value.detach().clone() for name, value in adapters.state_dict().items()}
        self._weights = timestep_weights(pipeline.alphas_cumprod, config.max_timestep_weight)
        self._schedule = pipeline.schedule(1)
        work.mkdir(parents=True, exist_ok=True)
        self._resume()

    @property
    def seconds(self) -> float:
        """Wall time of training so far, over all restarts."""
        return self.seconds_before + time.monotonic() - self.started

    def run(self, log_every: int = 50) -> Path | None:
        """Train to the end and write the averaged adapters.

        Returns:
            The file of the adapters; None in the processes that do not write it.
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
        return self.work / "adapters.safetensors" if self.accelerator.is_main_process else None

    def close(self) -> None:
        """Give accelerate's process-wide state back, so that another training may have other settings."""
        from accelerate.state import AcceleratorState

        self.accelerator.free_memory()
        AcceleratorState._reset_state(reset_partial_state=True)

    def _update(self) -> torch.Tensor:
        """One update of the adapters; the loss of this process's part of the batch."""
        config, accelerator = self.config, self.accelerator
        batch = batch_of(self.step, config, len(self.clips), self._weights)
        mine = range(accelerator.process_index, config.batch_size, accelerator.num_processes)
        clean = torch.stack([self.clips.latents(batch.clips[i]) for i in mine]).to(accelerator.device).float()
        noise = torch.stack([draw(tuple(clean.shape[1:]), config.seed, "noise", self.step, i) for i in mine])
        noise = noise.to(accelerator.device)
        captions = ["" if batch.dropped[i] else self.clips.caption(batch.clips[i]) for i in mine]
        with torch.no_grad():
            text_GLD = torch.stack([self.pipeline.encode(caption).embedding_LD for caption in captions])
        timestep_G = torch.tensor([batch.timesteps[i] for i in mine], device=accelerator.device)
        alpha = torch.tensor(self.pipeline.alphas_cumprod, device=accelerator.device)[timestep_G].float()
        blind = torch.tensor([batch.blind[i] for i in mine], device=accelerator.device).view(-1, 1, 1, 1, 1)
        signal, sigma = (x.view(-1, 1, 1, 1, 1) for x in (alpha.sqrt(), (1 - alpha).sqrt()))
        noisy = torch.where(blind, 0.0, signal) * clean + sigma * noise
        # The noise that makes the noisy latents of the clip, which is not what was drawn where the clip is
        # hidden.
        noise = (noisy - signal * clean) / sigma
        target = {
            "epsilon": noise,
            "v_prediction": signal * noise - sigma * clean,
            "sample": clean,
        }[self._schedule.prediction]
        root_G = torch.from_numpy(self._weights[[batch.timesteps[i] for i in mine]]).to(target)
        weight_G = torch.where(blind.flatten(), root_G.square(), root_G)

        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.step, config)
        with self._attached(captions), self._attention():
            with accelerator.autocast():
                prediction = self.model(noisy.to(self.pipeline.dtype), timestep_G, text_GLD)
            loss = ((prediction.float() - target).square().mean((1, 2, 3, 4)) * weight_G).mean()
            # The backward pass belongs in here: gradient checkpointing calls the UNet again.
            accelerator.backward(loss)
        accelerator.clip_grad_norm_(self.adapters.parameters(), config.max_gradient_norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self._update_average()
        return loss.detach()

    def _attached(self, prompts: Sequence[str]) -> contextlib.AbstractContextManager[None]:
        _, height, width = self.pipeline.latent_shape_CHW
        return self.adapters.attached(self.pipeline.unet, self._num_frames, height, width, prompts)

    @property
    def _num_frames(self) -> int:
        return int(self.clips.latents(0).shape[0])

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
        for name, value in self.adapters.state_dict().items():
            self.average[name].lerp_(value, 1 - keep)

    @contextlib.contextmanager
    def _averaged(self) -> Iterator[None]:
        """Within the block the adapters hold their average."""
        current = {name: value.detach().clone() for name, value in self.adapters.state_dict().items()}
        self.adapters.load_state_dict(self.average)
        try:
            yield
        finally:
            self.adapters.load_state_dict(current)

    @torch.no_grad()
    def sample(self, prompts: Sequence[str], num_steps: int, guidance_scale: float) -> list[Frames]:
        """A clip for each prompt with the averaged adapters; the seed of a clip is its number."""
        schedule = self.pipeline.schedule(num_steps)
        clips = []
        with self._averaged(), self.accelerator.autocast(), self._attention():
            for number, prompt in enumerate(prompts):
                texts = [prompt] if guidance_scale <= 1 else ["", prompt]
                text_GLD = torch.stack([self.pipeline.encode(text).embedding_LD for text in texts])
                shape = self.pipeline.latent_shape_CHW
                denoiser = Denoiser(self.pipeline.unet, schedule, text_GLD, guidance_scale, shape)
                noise = independent_noise(derive_seed("preview", number), self._num_frames, shape)
                with self._attached(texts):
                    latents = denoiser.denoise(noise, schedule.timesteps)
                clips.append(self.pipeline.decode(latents))
        return clips

    def _show(self, preview: PreviewConfig) -> None:
        if self.accelerator.is_main_process:
            clips = self.sample(preview.prompts, preview.num_steps, preview.guidance_scale)
            folder = self.work / "previews" / f"step-{self.step:06d}"
            for number, clip in enumerate(clips):
                write_preview(folder / f"{number:02d}.mp4", clip, preview.fps)
            if preview.judge is not None:
                self._log(**preview.judge(clips, preview.prompts))
            if self.listener is not None:
                self.listener.shown(self.step, folder)
        self.accelerator.wait_for_everyone()

    def _identity(self) -> dict[str, Any]:
        """What a checkpoint must agree in; a checkpoint of fewer steps is gone on with."""
        return {
            "config": self.config.model_dump(exclude={"steps"}),
            "adapters": self.adapters.config.model_dump(mode="json"),
            "clips": self.clips.fingerprint,
        }

    def save(self) -> None:
        """Write the checkpoint and the averaged adapters."""
        if not self.accelerator.is_main_process:
            return
        scaler = getattr(self.accelerator, "scaler", None)
        state = {
            "identity": json.dumps(self._identity(), sort_keys=True),
            "step": self.step,
            "seconds": self.seconds,
            "adapters": self.adapters.state_dict(),
            "average": self.average,
            "optimizer": self.optimizer.state_dict(),
            "scaler": {} if scaler is None else scaler.state_dict(),
        }
        save_adapters(self.work, self.adapters, self.average)
        with atomic_path(self.work / "checkpoint.pt") as temporary:
            torch.save(state, temporary)

    def _resume(self) -> None:
        path, log = self.work / "checkpoint.pt", self.work / "log.jsonl"
        if not path.is_file():
            if self.accelerator.is_main_process:
                log.write_text("")
            return
        saved = torch.load(path, map_location=self.accelerator.device, weights_only=True)
        if (
            saved["identity"] != json.dumps(self._identity(), sort_keys=True)
            or saved["step"] > self.config.steps
        ):
            raise RunFileError(
                f"{path} belongs to a training of other settings, adapters or clips, or of more steps "
                f"({saved['step']}, {self.config.steps} asked for)",
                "give another work folder, or remove this one to start again",
            )
        self.adapters.load_state_dict(saved["adapters"])
        self.average = saved["average"]
        self.optimizer.load_state_dict(saved["optimizer"])
        scaler = getattr(self.accelerator, "scaler", None)
        if scaler is not None and saved["scaler"]:
            scaler.load_state_dict(saved["scaler"])
        self.step, self.seconds_before = saved["step"], saved["seconds"]
        if self.accelerator.is_main_process:
            # What was logged after the checkpoint will be logged again.
            lines = log.read_text().splitlines() if log.is_file() else []
            kept = [line for line in lines if json.loads(line)["step"] <= self.step]
            log.write_text("".join(line + "\n" for line in kept))

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
