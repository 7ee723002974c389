"""What the trainings of this world share: the loop of updates, averages, cached data, saving.

Everything random is drawn from (seed, step), and `methods.resumable` keeps where a training stands: killed
and started again, it resumes with the very batches that it would have seen.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...core.atomic_write import atomic_path
from ...methods.resumable import ResumableRun, Stateful
from .scene import local_generator


def training_device() -> torch.device:
    """CUDA when there is a device, otherwise the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def bfloat16_autocast(device: torch.device) -> AbstractContextManager[Any]:
    """bfloat16 autocast: an order of magnitude faster than float32 on CPUs with AMX, and on GPUs."""
    return torch.autocast(device.type, torch.bfloat16)


@contextmanager
def seeded_initialisation(*parts: object) -> Iterator[None]:
    """Makes initial weights depend on the parts alone; torch's global generator is put back afterwards."""
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
        """Take in the values after an update, the number of which is `step`."""
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

    def state_dict(self) -> dict[str, Any]:
        """The averaged values."""
        return self.values

    def load_state_dict(self, values: Mapping[str, Tensor]) -> None:
        """Take the values of a checkpoint, to where the ones so far are."""
        self.values = {k: v.to(self.values[k].device) for k, v in values.items()}


Noted = Mapping[str, Tensor | float]
"""Values of a step for the log, by name."""


class TrainingRun:
    """One training: networks, their optimizer, their averages, and where it stands.

    The log is `<work>/<name>.jsonl`, the checkpoint `<work>/<name>.ckpt`, written whole or not at all. One of
    fewer steps resumes under the longer schedule.

    Args:
        seed: of everything random; a checkpoint of another one is refused.
        networks: what is trained, by name; `decay` is of their averages.

    Raises:
        RunFileError: the checkpoint is of another seed, or of more steps.
    """

    def __init__(
        self,
        name: str,
        work: Path,
        seed: int,
        steps: int,
        networks: Mapping[str, nn.Module],
        optimizer: torch.optim.Optimizer,
        decay: float,
        checkpoint_every_s: float = 60.0,
    ) -> None:
        self.networks, self.optimizer = dict(networks), optimizer
        self.averages = {key: WeightAverage(network, decay) for key, network in networks.items()}
        state: dict[str, Stateful] = {**self.networks, "optimizer": optimizer}
        state |= {f"average of {key}": average for key, average in self.averages.items()}
        self.progress = ResumableRun(
            work / f"{name}.ckpt",
            f"seed {seed}",
            "is the checkpoint of another seed",
            steps,
            state,
            every_s=checkpoint_every_s,
            log=work / f"{name}.jsonl",
            name=name,
        )
        self._recent: dict[str, list[float]] = {}

    def fit(
        self,
        loss_of: Callable[[int], tuple[Tensor, Noted]],
        rate: Callable[[int], float],
        max_norm: float = 1.0,
        log_every: int = 50,
        after_update: Callable[[], None] | None = None,
        on_checkpoint: Callable[[], None] | None = None,
    ) -> None:
        """Train to the end.

        Args:
            loss_of: step -> its loss, and values for the log, which shows means since its last line.
            rate: step -> learning rate.
            max_norm: longer gradients are shortened to this.
            after_update: changes the networks after each update, before they are averaged.
            on_checkpoint: called after each checkpoint, the last included.
        """
        progress = self.progress
        parameters = [p for network in self.networks.values() for p in network.parameters()]
        while progress.step < progress.steps:
            for group in self.optimizer.param_groups:
                group["lr"] = rate(progress.step)
            loss, noted = loss_of(progress.step)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, max_norm)
            self.optimizer.step()
            if after_update is not None:
                after_update()
            for key, network in self.networks.items():
                self.averages[key].update(network, progress.step)
            self.note({"loss": loss, **noted})
            progress.step += 1
            if progress.step % log_every == 0 or progress.step == progress.steps:
                progress.log(**{k: sum(v) / len(v) for k, v in self._recent.items()})
                self._recent = {}
            if progress.is_due:
                progress.save()
                if on_checkpoint is not None:
                    on_checkpoint()

    def note(self, values: Noted) -> None:
        """Remember values of this step; the log shows their mean since its last line."""
        for key, value in values.items():
            number = value.detach() if isinstance(value, Tensor) else value
            self._recent.setdefault(key, []).append(float(number))


def report_latents(done: int, of: int) -> None:
    """Say on the terminal how many clips are encoded."""
    print(f"[latents] {done} of {of} clips", file=sys.stderr, flush=True)


def save_whole(path: Path, value: Any) -> None:
    """Write what torch can save, whole or not at all."""
    with atomic_path(path) as temporary:
        torch.save(value, temporary)


def half_precision_state(module: nn.Module) -> dict[str, Tensor]:
    """A state dict to be saved: floating tensors as contiguous float16 on the CPU."""
    return {
        k: (v.half() if v.is_floating_point() else v).detach().cpu().contiguous()
        for k, v in module.state_dict().items()
    }


def half_copy(network: Any, average: WeightAverage | None = None) -> Any:
    """A diffusers network of the same configuration in float16, with the numbers of the average if given."""
    with torch.random.fork_rng(devices=[]):
        copy = type(network).from_config(network.config)
    if average is None:
        copy.load_state_dict(network.state_dict())
    else:
        average.copy_to(copy)
    return copy.half()
