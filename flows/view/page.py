"""A run's artifacts on Prefect's page: progress while it works, then its tables, failures and places.

Their keys begin with the run's name, so that the page shows an artifact's versions over the nights.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)

from ...core.errors import ReelbenchError
from ...core.markdown import escape_markdown
from ...core.run_file import RunFile
from ...reports.tables.comparison import comparison_table
from ...reports.tables.run_tables import RunTables
from ...stages.results import RunResult
from ...stages.schedule import Step
from .outcome import failure_rows
from .sender import Sender

UPDATE_EVERY_S = 5.0
MAX_ROWS = 100
_WAIT_AT_END_S = 20.0


def artifact_key(run: str, what: str) -> str:
    """A key that Prefect takes: lower-case letters, digits and dashes."""
    return f"{re.sub(r'[^a-z0-9]+', '-', run.lower()).strip('-')}-{what}"


class Page:
    """Makes a flow run's artifacts: a listener of `Schedule`. It neither waits for Prefect nor fails with it.

    Args:
        run: the run's name.
    """

    def __init__(self, run: str) -> None:
        self._run = run
        self._sender = Sender()
        self._steps: tuple[Step, ...] = ()
        self._progress: Any = None
        self._last_update = 0.0

    # -- while it works --------------------------------------------------------------------------

    def planned(self, steps: Sequence[Step]) -> None:
        """Begins the progress of the whole run."""
        self._steps = tuple(steps)
        key, percent, text = artifact_key(self._run, "progress"), self._percent, self._text
        self._last_update = time.monotonic()

        def create() -> None:
            self._progress = create_progress_artifact(percent, key, text)

        self._sender.send(create)

    def started(self, step: Step) -> None:
        """Progress is of finished work."""

    def advanced(self, step: Step) -> None:
        """Moves the progress, every few seconds at most."""
        if time.monotonic() - self._last_update >= UPDATE_EVERY_S:
            self._update()

    def ended(self, step: Step) -> None:
        """As `advanced`."""
        self.advanced(step)

    def _update(self) -> None:
        self._last_update = time.monotonic()
        percent, text = self._percent, self._text

        def update() -> None:
            if self._progress is not None:
                update_progress_artifact(self._progress, percent, text)

        self._sender.send(update)

    @property
    def _percent(self) -> float:
        total = sum(step.num_items for step in self._steps)
        left = sum(step.num_left for step in self._steps)
        return round(100.0 * (total - left) / total, 1) if total else 100.0

    @property
    def _text(self) -> str:
        """A line for each step that has something to do."""
        lines = [
            f"- {escape_markdown(step.name)}: {step.num_items - step.num_left} of {step.num_items}"
            + (f", {step.num_failed} failed" if step.num_failed else "")
            for step in self._steps
            if step.num_items
        ]
        more = len(lines) - MAX_ROWS
        return (
            "\n".join([*lines[:MAX_ROWS], *([f"- ... and {more} more"] if more > 0 else [])])
            or "nothing missing"
        )

    # -- at its end ------------------------------------------------------------------------------

    def show_results(
        self,
        run: RunFile,
        result: RunResult,
        left_out: Sequence[ReelbenchError],
        places: Sequence[tuple[str, str]],
    ) -> None:
        """The comparison, the failures, and where everything is.

        Args:
            left_out: why data sets failed while the run was planned.
            places: (what, path, command or address) of what a person may open.
        """
        self._update()  # a step may have turned out to have nothing to do
        comparison = comparison_rows(result.tables_dir)
        failures = failure_rows(result.failures, left_out)
        rows = [{"what": what, "class": kind, "message": message[:1000]} for what, kind, message in failures]
        told = f"{result.num_failures} failures" if result.num_failures else "nothing failed"
        if len(rows) > MAX_ROWS:
            told += f"; the first {MAX_ROWS} of {len(rows)} causes"
        self._send_table("comparison", comparison, f"The comparison of the run {run.name}")
        self._send_table("failures", rows[:MAX_ROWS], f"What failed in the run {run.name}: {told}")
        links, key = places_markdown(places), artifact_key(run.name, "links")
        self._sender.send(
            lambda: create_markdown_artifact(links, key, f"Where the run {run.name} has its results")
        )
        self._sender.wait(_WAIT_AT_END_S)

    def _send_table(self, what: str, rows: list[dict[str, str]], description: str) -> None:
        key = artifact_key(self._run, what)
        self._sender.send(lambda: create_table_artifact(rows, key, description))


def comparison_rows(tables_dir: Path) -> list[dict[str, str]]:
    """The comparison table as rows of text: a row for each method on each data set."""
    rows = []
    for section in comparison_table(RunTables(tables_dir)).sections:
        for part in section.parts:
            for group in part.groups:
                for row in group.rows:
                    named = {"data set": section.title, "method": row.method, "saw": group.conditioning}
                    cells = zip(section.columns, row.cells, strict=True)
                    values = {column.heading: _best(cell.shown, cell.is_best) for column, cell in cells}
                    rows.append({**named, **values, "n": row.n, "coverage": row.coverage})
    return rows


def _best(text: str, is_best: bool) -> str:
    return f"**{text}**" if is_best else text


def places_markdown(places: Sequence[tuple[str, str]]) -> str:
    """A list: addresses as links, paths and commands as code."""
    lines = []
    for what, place in places:
        is_address = place.startswith(("http://", "https://"))
        shown = f"<{place}>" if is_address else f"`` {place} ``"
        lines.append(f"- {what}: {shown}")
    return "\n".join(lines)
