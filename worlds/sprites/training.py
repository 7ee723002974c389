"""What the trainings of this world share: a run that resumes, its log, exponential averages, saving.

A training is a loop over steps in which everything random is drawn from (seed, step), never from a
generator that lives on between steps. Killed and started again, it therefore continues from its last
checkpoint with the very batches it would have seen.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .scene import local_generator


def training_device() -> torch.device:
    """CUDA when there is a device, otherwise the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def bfloat16_autocast(device: torch.device) -> AbstractContextManager[Any]:
    """bfloat16 autocast: an order of magnitude faster than float32 on CPUs with AMX, and on GPUs."""
    return torch.autocast(device.type, torch.bfloat16)


@contextmanager
def seeded_initialisation(*parts: object) -> Iterator[None]:
    """Makes the initial weights of modules built inside depend on the parts alone.

    torch.nn initialises from the global generator; it is put back as it was afterwards.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(local_generator("init", *parts).integers(2**62)))
        yield


def torch_generator(device: torch.device, *parts: object) -> torch.Generator:
    """A torch generator of its own for whatever the parts name."""
    seed = int(local_generator("torch", *parts).integers(2**62))
    return torch.Generator(device).manual_seed(seed)


def cosine_rate(step: int, steps: int, peak: float, warmup: int = 100, floor: float = 0.02) -> float:
    """Learning rate: linear warm-up to `peak`, then a half cosine down to `floor * peak`."""
    if step < warmup:
        return peak * (step + 1) / warmup
    share = min(1.0, (step - warmup) / max(1, steps - warmup))
    return peak * (floor + (1 - floor) * 0.5 * (1 + float(torch.cos(torch.tensor(share * torch.pi)))))


class WeightAverage:
    """Exponential moving average of a module's parameters, in float32."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.values = {k: v.detach().clone().float() for k, v in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        # The average starts short, so that the random initial weights are soon forgotten.
        keep = min(self.decay, (1 + step) / (10 + step))
        for key, value in module.state_dict().items():
            if value.is_floating_point():
                self.values[key].lerp_(value.float(), 1 - keep)
            else:
                self.values[key] = value.clone()

    def copy_to(self, module: nn.Module) -> None:
        """Loads the averaged values into a module."""
        own = module.state_dict()
        module.load_state_dict({k: v.to(own[k].dtype) for k, v in self.values.items()})


class TrainingRun:
    """One training: where it stands, its log, its checkpoints.

    `state` maps names to objects with `state_dict` and `load_state_dict`. The log is JSON lines in
    `<work>/<name>.jsonl`, the checkpoint `<work>/<name>.ckpt`, written whole or not at all. A checkpoint of
    fewer steps is gone on with under the longer schedule.
    """

    def __init__(
        self,
        name: str,
        work: Path,
        seed: int,
        steps: int,
        state: Mapping[str, Any],
        averages: Mapping[str, WeightAverage] | None = None,
        checkpoint_every_s: float = 60.0,
    ) -> None:
        self.name, self.work, self.seed, self.steps = name, work, seed, steps
        self.state = dict(state)
        self.averages = dict(averages or {})
        self.checkpoint_every_s = checkpoint_every_s
        self.step = 0
        self.seconds_before = 0.0
        self.started = self.saved = time.monotonic()
        work.mkdir(parents=True, exist_ok=True)
        self.checkpoint_path = work / f"{name}.ckpt"
        self.log_path = work / f"{name}.jsonl"
        self._recent: dict[str, list[float]] = {}
        self._resume()

    @property
    def seconds(self) -> float:
        """Wall time of training so far in seconds, over all restarts."""
        return self.seconds_before + time.monotonic() - self.started

    def _resume(self) -> None:
        if not self.checkpoint_path.exists():
            self.log_path.write_text("")
            return
        saved = torch.load(self.checkpoint_path, map_location="cpu", weights_only=True)
        if saved["seed"] != self.seed or saved["steps"] > self.steps:
            raise ValueError(
                f"{self.checkpoint_path} belongs to seed {saved['seed']} and {saved['steps']} steps, not to "
                f"seed {self.seed} and {self.steps}: remove it, give another --work folder, or more steps"
            )
        for key, holder in self.state.items():
            holder.load_state_dict(saved["state"][key])
        for key, average in self.averages.items():
            average.values = saved["averages"][key]
        self.step = saved["step"]
        self.seconds_before = saved["seconds"]
        self.log_path.write_text(saved["log"])

    def save(self) -> None:
        """Writes the checkpoint."""
        temporary = self.checkpoint_path.with_suffix(".tmp")
        torch.save(
            {
                "seed": self.seed,
                "steps": self.steps,
                "step": self.step,
                "seconds": self.seconds,
                "log": self.log_path.read_text(),
                "state": {k: v.state_dict() for k, v in self.state.items()},
                "averages": {k: v.values for k, v in self.averages.items()},
            },
            temporary,
        )
        temporary.replace(self.checkpoint_path)
        self.saved = time.monotonic()

    def log(self, **values: float | str) -> None:
        """Appends one line to the log and shows it."""
        line = {"step": self.step, "seconds": round(self.seconds, 1)} | {
            k: float(f"{v:.5g}") if isinstance(v, float) else v for k, v in values.items()
        }
        with self.log_path.open("a") as file:
            file.write(json.dumps(line) + "\n")
        rate = self.step / max(self.seconds, 1e-9)
        left = (self.steps - self.step) / max(rate, 1e-9)
        shown = "  ".join(f"{k} {v}" for k, v in line.items())
        message = f"[{self.name}] {shown}  of {self.steps}, {left / 60:.1f} min left"
        print(message, file=sys.stderr, flush=True)

    def loop(self, log_every: int = 50, on_checkpoint: Callable[[], None] | None = None) -> Iterator[int]:
        """Yields the remaining steps; logs averages of what `note` was given; saves now and then."""
        while self.step < self.steps:
            yield self.step
            self.step += 1
            if self.step % log_every == 0 or self.step == self.steps:
                self.log(**{k: sum(v) / len(v) for k, v in self._recent.items() if v})
                self._recent = {}
            if time.monotonic() - self.saved > self.checkpoint_every_s or self.step == self.steps:
                self.save()
                if on_checkpoint is not None:
                    on_checkpoint()

    def note(self, **values: Tensor | float) -> None:
        """Remembers values of this step; the log shows their mean since its last line."""
        for key, value in values.items():
            self._recent.setdefault(key, []).append(float(value))


def half_precision_state(module: nn.Module) -> dict[str, Tensor]:
    """A state dict to be saved: floating tensors as contiguous float16 on the CPU."""
    return {
        k: (v.half() if v.is_floating_point() else v).detach().cpu().contiguous()
        for k, v in module.state_dict().items()
    }
