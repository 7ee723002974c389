"""Whoever wants to hear of a training while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol


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
