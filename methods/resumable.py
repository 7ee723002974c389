"""A loop of updates that resumes: where it stands, its checkpoint, its log.

Tuning on a clip, training on a data set and the trainings of the embedded world share it. The caller draws
everything random from (seed, step), so a run that is killed and started again takes the very steps that it
would have taken: bit for bit on a CPU.
"""

from __future__ import annotations

import json
import pickle
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch

from ..core.atomic_write import atomic_path
from ..core.errors import NewerVersionError, RunFileError
from ..core.records import newer_than_known


class Stateful(Protocol):
    """A module, an optimizer, or whatever else a checkpoint holds."""

    def state_dict(self) -> dict[str, Any]:
        """Its state, as torch names it."""
        ...

    def load_state_dict(self, state_dict: dict[str, Any], /) -> Any:
        """Take over a state that `state_dict` gave."""
        ...


class Tensors:
    """Tensors by name that keep their place: a checkpoint is copied into them."""

    def __init__(self, tensors: Mapping[str, torch.Tensor]) -> None:
        self.tensors = tensors

    def state_dict(self) -> dict[str, Any]:
        """The tensors themselves, detached."""
        return {name: tensor.detach() for name, tensor in self.tensors.items()}

    @torch.no_grad()
    def load_state_dict(self, state_dict: Mapping[str, torch.Tensor]) -> None:
        """Copy other numbers into the tensors; all names and shapes must fit."""
        for name, tensor in self.tensors.items():
            tensor.copy_(state_dict[name])


class ResumableRun:
    """Where a run of updates stands. The owner counts `step` up after each update, and saves when `is_due`.

    Args:
        checkpoint: file to resume from where it exists, written whole or not at all. Removing it is the
            caller's business. A damaged file counts as none. None keeps nothing.
        identity: what a checkpoint must agree in; one of fewer steps resumes.
        differs: what a checkpoint of another identity "is", for the refusal.
        steps: updates in all.
        state: what else the checkpoint holds, by name.
        device: where the checkpoint is loaded to.
        every_s: seconds between checkpoints.
        log: file of JSON lines, one for each call of `log`.
        name: of the run, in front of the lines that are shown.
        is_main: False in the processes that write nothing.

    Raises:
        RunFileError: the checkpoint is another run's, or of more steps.
        NewerVersionError: a newer Reelbench wrote it.
    """

    def __init__(
        self,
        checkpoint: Path | None,
        identity: str,
        differs: str,
        steps: int,
        state: Mapping[str, Stateful],
        device: torch.device | str = "cpu",
        every_s: float = 120.0,
        log: Path | None = None,
        name: str = "training",
        is_main: bool = True,
    ) -> None:
        self.checkpoint, self.steps, self.every_s = checkpoint, steps, every_s
        self.name, self.is_main = name, is_main
        self.step = 0
        self.seconds_before = 0.0
        self._identity, self._state, self._log = identity, dict(state), log
        self._started = self._saved = time.monotonic()
        saved = (
            None if checkpoint is None else _read(checkpoint, {"identity", "step", "seconds", *state}, device)
        )
        if saved is not None:
            if (newer := newer_than_known(saved.get("schema_version"))) is not None:
                raise NewerVersionError(f"{checkpoint} was {newer.message}", "upgrade, or remove the file")
            if saved["identity"] != identity or saved["step"] > steps:
                raise RunFileError(
                    f"{checkpoint} {differs}, or of more steps ({saved['step']}, {steps} asked for)",
                    "give another path, or remove the file to start again",
                )
            for part, holder in self._state.items():
                holder.load_state_dict(saved[part])
            self.step, self.seconds_before = int(saved["step"]), saved["seconds"]
        if log is not None and is_main:
            log.parent.mkdir(parents=True, exist_ok=True)
            # What was logged after the checkpoint will be logged again.
            lines = log.read_text(encoding="utf-8").splitlines() if saved and log.is_file() else []
            kept = [line + "\n" for line in lines if json.loads(line)["step"] <= self.step]
            log.write_text("".join(kept), encoding="utf-8")

    @property
    def seconds(self) -> float:
        """Wall time so far, over all restarts."""
        return self.seconds_before + time.monotonic() - self._started

    @property
    def is_due(self) -> bool:
        """Whether a checkpoint should be written: after the last step, and `every_s` after the last one."""
        return self.step == self.steps or time.monotonic() - self._saved >= self.every_s

    def save(self) -> None:
        """Write the checkpoint."""
        self._saved = time.monotonic()
        if self.checkpoint is None or not self.is_main:
            return
        saved = {
            "identity": self._identity,
            "step": self.step,
            "seconds": self.seconds,
            **{name: holder.state_dict() for name, holder in self._state.items()},
        }
        with atomic_path(self.checkpoint) as temporary:
            torch.save(saved, temporary)

    def log(self, **values: float) -> dict[str, float]:
        """Append a line to the log and show it; returns it, in five digits, without its step."""
        line: dict[str, float] = {"seconds": round(self.seconds, 1)}
        line |= {name: float(f"{value:.5g}") for name, value in values.items()}
        if self._log is not None and self.is_main:
            with self._log.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"step": self.step, **line}) + "\n")
            left_min = (self.steps - self.step) * self.seconds / max(self.step, 1) / 60
            shown = "  ".join(f"{name} {value:g}" for name, value in line.items())
            print(
                f"[{self.name}] step {self.step}  {shown}  of {self.steps}, {left_min:.1f} min left",
                file=sys.stderr,
                flush=True,
            )
        return line


def _read(path: Path, expected: set[str], device: torch.device | str) -> dict[str, Any] | None:
    """What a checkpoint holds; None where there is none, or a damaged one."""
    if not path.is_file():
        return None
    try:
        saved = torch.load(path, map_location=device, weights_only=True)
    except (OSError, EOFError, RuntimeError, ValueError, KeyError, pickle.UnpicklingError):
        return None
    if not isinstance(saved, dict):
        return None
    return saved if expected <= saved.keys() or "schema_version" in saved else None
