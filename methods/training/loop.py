"""What the trainings of parts inside a frozen video model share: the loop, the average, checkpoints, the log.

The objective is the frozen model's own: what it predicts at one timestep for all frames of a clip, with
gradients for the trained parts alone.

Everything random is drawn from (seed, step, place in the batch). So a training that is killed resumes bit for
bit on a CPU, and batches do not depend on the number of processes: several GPUs share each through
accelerate.

What is kept is an exponential average of the trained parts. The work folder holds `checkpoint.pt`,
`log.jsonl`, the average as of the last checkpoint, and `previews/step-NNNNNN/NN.mp4`. A listener hears of log
and previews (`reports.mlflow.listener` sends them to MLflow).

Shape suffixes: G clips, F frames or latent frames, C latent channels, H, W latent height and width.
"""

from __future__ import annotations

import contextlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from ...core.errors import RunFileError
from ...core.types import Frames
from ..noise import draw
from ..pipelines import Prediction
from ..resumable import ResumableRun, Stateful, Tensors
from .clips import TrainingClips
from .optimizer import make_optimizer
from .schedule import (
    Batch,
    TrainingConfig,
    batch_of,
    learning_rate,
    noisy_and_target,
    timestep_weights,
)

_ACCELERATE = {"float32": "no", "bfloat16": "bf16", "float16": "fp16"}
_LEAST_ABAR = 1e-12
"""1 / abar is cut anyhow, and the last abar of a schedule may be 0."""

Values = dict[str, torch.Tensor]


Predict = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""(noisy latents [G,F,C,H,W], timestep [G]) -> prediction [G,F,C,H,W]."""


@dataclass(frozen=True, kw_only=True)
class Preview:
    """What is shown of a training now and then; none of it changes the result.

    Attributes:
        every_steps: updates between previews.
        write: writes a clip, uint8 [T,H,W,3], to a file at a frame rate.
        num_steps, guidance_scale: of sampling.
    """

    every_steps: int
    write: Callable[[Path, Frames, float], Any]
    num_steps: int = 20
    guidance_scale: float = 5.0
    fps: float = 8.0


class Listener(Protocol):
    """Hears of the numbers and previews of a training, as soon as they are in its work folder.

    Called in the main process only. It must not raise: a training does not end because nobody listens.
    """

    def logged(self, step: int, values: Mapping[str, float]) -> None:
        """Numbers of a step, as in `log.jsonl`: loss, learning rate, seconds of training so far."""
        ...

    def shown(self, step: int, folder: Path) -> None:
        """Previews of a step were written into a folder."""
        ...


class AttentionInFloat32(TorchFunctionMode):
    """Within the block torch's attention computes in float32, whatever it is given.

    On CPUs its gradient in bfloat16 takes three to nine times as long, more than half of a training step.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is not torch.nn.functional.scaled_dot_product_attention:
            return func(*args, **(kwargs or {}))
        query, key, value, *rest = args
        with torch.autocast(query.device.type, enabled=False):
            attended = func(query.float(), key.float(), value.float(), *rest, **(kwargs or {}))
        return attended.to(query.dtype)


class Training(ABC):
    """One training: its objects, where it stands, its files. A subclass says what is trained, and on what.

    Args:
        clips: what to train on.
        config: the settings.
        work: folder for checkpoint, log, previews and the result.
        on_cpu: whether the frozen model is on the CPU.
        preview: when to show something; the subclass knows what.
        listener: who hears of log and previews.

    Raises:
        RunFileError: the batch cannot be shared by the processes.
    """

    clips: TrainingClips
    config: TrainingConfig
    preview: Preview | None
    checkpoint_every_s: ClassVar[float] = 120.0
    """Seconds between checkpoints."""
    padding = 0
    """Latent frames in front of every clip that are left out after sampling, and count for nothing in the
    loss."""

    def __init__(
        self,
        clips: TrainingClips,
        config: TrainingConfig,
        work: Path,
        on_cpu: bool,
        preview: Preview | None,
        listener: Listener | None,
    ) -> None:
        from accelerate import Accelerator

        self.clips, self.config, self.work = clips, config, work
        self.preview, self.listener = preview, listener
        self.accelerator = Accelerator(mixed_precision=_ACCELERATE[config.precision], cpu=on_cpu)
        if config.batch_size % self.accelerator.num_processes:
            raise RunFileError(
                f"batch_size is {config.batch_size}, which {self.accelerator.num_processes} processes cannot "
                "share evenly",
                "make it a multiple of the number of processes",
            )

    def _begin(self, model: nn.Module, alphas_cumprod: Sequence[float], prediction: Prediction) -> None:
        """Prepare the optimizer, and resume from a checkpoint where there is one.

        Args:
            model: what is called in training, with the trained parts inside, on the device.
            alphas_cumprod: of the frozen model's schedule.
            prediction: what the frozen model predicts.

        Raises:
            RunFileError: the work folder holds another training.
        """
        config = self.config
        named = self.trained().items()
        optimizer = make_optimizer(config.optimizer, named, config.learning_rate, config.weight_decay)
        self.model, self.optimizer = self.accelerator.prepare(model, optimizer)
        self.average = self._values()
        abars = np.maximum(np.asarray(alphas_cumprod, np.float64), _LEAST_ABAR)
        self._abars = torch.tensor(alphas_cumprod, dtype=torch.float64, device=self.accelerator.device)
        self._weights = timestep_weights(abars.tolist(), config.max_timestep_weight)
        self._prediction = prediction
        state: dict[str, Stateful] = {"trained": _Trained(self), "optimizer": self.optimizer}
        state["average"] = Tensors(self.average)
        if (scaler := getattr(self.accelerator, "scaler", None)) is not None:
            state["scaler"] = scaler
        self.progress = ResumableRun(
            self.work / "checkpoint.pt",
            json.dumps({"config": config.model_dump(exclude={"steps"}), **self._what()}, sort_keys=True),
            "belongs to a training of other settings, structure or clips",
            config.steps,
            state,
            self.accelerator.device,
            self.checkpoint_every_s,
            self.work / "log.jsonl",
            is_main=self.accelerator.is_main_process,
        )

    @abstractmethod
    def trained(self) -> dict[str, nn.Parameter]:
        """The trained parameters by name."""

    @abstractmethod
    def _values(self) -> Values:
        """Copies of what is averaged and kept: the trained parameters, and what belongs to them."""

    @abstractmethod
    def _set_values(self, values: Values) -> None:
        """Put other numbers in their place."""

    @abstractmethod
    def _predicting(self, batch: Batch, mine: range) -> AbstractContextManager[Predict]:
        """Within the block the model predicts for this process's part of a batch; the backward pass belongs
        inside: gradient checkpointing calls the network again.

        Args:
            batch: of this step.
            mine: the places in it that are this process's.
        """

    @abstractmethod
    def _preview_clips(self) -> list[Frames]:
        """Clips to show, made with the averaged values."""

    @abstractmethod
    def _what(self) -> dict[str, Any]:
        """What a checkpoint must agree in besides the settings, JSON-able."""

    @abstractmethod
    def _write_result(self) -> None:
        """Write the average into the work folder."""

    @property
    @abstractmethod
    def result(self) -> Path:
        """The file of the average."""

    def _judged(self, clips: Sequence[Frames]) -> Mapping[str, float]:
        """Numbers about a preview, for the log."""
        return {}

    @property
    def step(self) -> int:
        """Updates done."""
        return self.progress.step

    def run(self, log_every: int = 50) -> Path | None:
        """Train to the end and write the average.

        Returns:
            Its file; None in the processes that do not write it.
        """
        losses: list[torch.Tensor] = []
        while self.step < self.config.steps:
            losses.append(self._update())
            self.progress.step += 1
            at_end = self.step == self.config.steps
            if self.step % log_every == 0 or at_end:
                loss = self.accelerator.reduce(torch.stack(losses).mean(), reduction="mean")
                self._log(loss=float(loss), rate=learning_rate(self.step - 1, self.config))
                losses = []
            if self.preview is not None and (self.step % self.preview.every_steps == 0 or at_end):
                self._show(self.preview)
            if self.progress.is_due:
                self.save()
        self.accelerator.wait_for_everyone()
        return self.result if self.accelerator.is_main_process else None

    def close(self) -> None:
        """Give accelerate's process-wide state back, so that another training may have other settings."""
        from accelerate.state import AcceleratorState

        self.accelerator.free_memory()
        AcceleratorState._reset_state(reset_partial_state=True)

    def _update(self) -> torch.Tensor:
        """One update; the loss of this process's part of the batch."""
        batch = self._batch()
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.step, self.config)
        loss = self._descend(batch)
        self.accelerator.clip_grad_norm_(self.trained().values(), self.config.max_gradient_norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self._update_average()
        return loss

    def _descend(self, batch: Batch) -> torch.Tensor:
        """Compute the loss of this process's part of a batch, without gradients, and its gradients."""
        mine, device = self._mine(), self.accelerator.device
        clean = torch.stack([self.clips.latents(batch.clips[i]) for i in mine]).to(device).float()
        clean = torch.cat([clean[:, :1].expand(-1, self.padding, -1, -1, -1), clean], dim=1)
        shape = tuple(clean.shape[1:])
        noise = torch.stack([draw(shape, self.config.seed, "noise", self.step, i) for i in mine]).to(device)
        timestep_G = torch.tensor([batch.timesteps[i] for i in mine], device=device)
        blind_G = torch.tensor([batch.blind[i] for i in mine], device=device)
        noisy, target = noisy_and_target(clean, noise, self._abars[timestep_G], blind_G, self._prediction)
        root_G = torch.from_numpy(self._weights[[batch.timesteps[i] for i in mine]]).float().to(device)
        weight_G = torch.where(blind_G, root_G.square(), root_G)
        with self._predicting(batch, mine) as predict, self._attention():
            with self.accelerator.autocast():
                prediction = predict(noisy, timestep_G)
            error_G = (prediction.float() - target)[:, self.padding :].square().mean((1, 2, 3, 4))
            loss = (error_G * weight_G).mean()
            self.accelerator.backward(loss)
        return loss.detach()

    def _batch(self) -> Batch:
        return batch_of(self.step, self.config, len(self.clips), self._weights)

    def _mine(self) -> range:
        """The places in a batch that are this process's."""
        return range(self.accelerator.process_index, self.config.batch_size, self.accelerator.num_processes)

    def _attention(self) -> AbstractContextManager[Any]:
        # It does not reach what checkpointing computes again, and both must have one number format.
        slow = self.accelerator.device.type == "cpu" and self.config.precision != "float32"
        if slow and not self.config.gradient_checkpointing:
            return AttentionInFloat32()
        return contextlib.nullcontext()

    @torch.no_grad()
    def _update_average(self) -> None:
        # The average starts short, so that the initial values are soon forgotten.
        keep = min(self.config.average_decay, (1 + self.step) / (10 + self.step))
        for name, value in self._values().items():
            self.average[name].lerp_(value, 1 - keep)

    @contextlib.contextmanager
    def _averaged(self) -> Iterator[None]:
        """Within the block the trained parts hold their average."""
        current = self._values()
        self._set_values(self.average)
        try:
            yield
        finally:
            self._set_values(current)

    def _show(self, preview: Preview) -> None:
        if self.accelerator.is_main_process:
            folder = self.work / "previews" / f"step-{self.step:06d}"
            clips = self._preview_clips()
            for number, clip in enumerate(clips):
                preview.write(folder / f"{number:02d}.mp4", clip, preview.fps)
            judged = self._judged(clips)
            if judged:
                self._log(**judged)
            if self.listener is not None:
                self.listener.shown(self.step, folder)
        self.accelerator.wait_for_everyone()

    def save(self) -> None:
        """Write the checkpoint and the average."""
        if self.accelerator.is_main_process:
            self._write_result()
        self.progress.save()

    def _log(self, **values: float) -> None:
        line = self.progress.log(**values)
        if self.listener is not None and self.accelerator.is_main_process:
            self.listener.logged(self.step, line)


class _Trained:
    """What a checkpoint holds of the trained parts: as `Training._values` has it."""

    def __init__(self, training: Training) -> None:
        self._training = training

    def state_dict(self) -> Values:
        return self._training._values()

    def load_state_dict(self, values: Values) -> None:
        self._training._set_values(values)
