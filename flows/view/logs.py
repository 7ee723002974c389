"""Our log lines on Prefect's page.

Prefect sends to its page what its own loggers say, at a level that hides their noise
(`flows.environment`). What Reelbench says goes there by a handler of its own, at INFO, from whatever thread
it comes; lines that are meant for the page alone (`page_logger`) do not show at a terminal, which has its
progress lines.
"""

from __future__ import annotations

import contextlib
import logging
import traceback
from collections.abc import Iterator, Sequence
from uuid import UUID

from prefect.logging.handlers import APILogHandler

from ...core.errors import ReelbenchError
from ...core.redaction import masked
from ...core.waiting import page_logger
from ...stages.progress import duration
from ...stages.schedule import Stage, Step
from ..servers.server_watch import is_gone
from .outcome import CellsFailedError

_NUM_FAILURES_LOGGED = 5
_MAX_LINE = 1000


class _PageHandler(APILogHandler):
    """Sends records to the page of a flow run."""

    def __init__(self, flow_run_id: UUID) -> None:
        super().__init__(logging.INFO)
        self._flow_run_id = flow_run_id

    def emit(self, record: logging.LogRecord) -> None:
        # A thread of ours has no context that tells the run.
        record.flow_run_id = str(self._flow_run_id)
        super().emit(record)


class _ToTerminal(logging.Handler):
    """Passes on what would have been shown before: warnings, and none of the page's own lines."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.name != page_logger.name:
            logging.getLogger().callHandlers(record)


class _WithoutTracebacks(logging.Filter):
    """Our errors as the messages that they are: Prefect logs each exception twice, with its traceback."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if error is None and str(record.msg).startswith("Finished in state Cancelled"):
            return False  # Prefect's level for it is ERROR, and somebody asked for it
        if type(error).__module__.startswith("httpx") and is_gone():
            return False  # which is told already
        if not isinstance(error, ReelbenchError):
            if error is not None:  # of a library, whose messages may hold a password
                record.exc_text = masked("".join(traceback.format_exception(error)).rstrip())
            return True
        # The state tells of failed cells; the second line of any other error says no more.
        if isinstance(error, CellsFailedError) or "Engine execution" in str(record.msg):
            return False
        record.msg, record.args, record.exc_info = str(error), (), None
        return True


_WITHOUT_TRACEBACKS = _WithoutTracebacks()


@contextlib.contextmanager
def logs_on_page(flow_run_id: UUID | None) -> Iterator[None]:
    """Send Reelbench's log lines to a flow run's page within the block; None: to no page."""
    if flow_run_id is None:
        yield
        return
    # To stay: the last exception is logged when the flow is left. One object, so it is there once.
    for name in ("prefect.flow_runs", "prefect.task_runs"):
        logging.getLogger(name).addFilter(_WITHOUT_TRACEBACKS)
    ours = logging.getLogger("reelbench")
    before = ours.level, ours.propagate
    handlers: list[logging.Handler] = [_PageHandler(flow_run_id)]
    if ours.propagate:  # else `--verbose` shows them all
        handlers.append(_ToTerminal(logging.WARNING))
    ours.setLevel(logging.INFO)
    ours.propagate = False
    for handler in handlers:
        ours.addHandler(handler)
    try:
        yield
    finally:
        for handler in handlers:
            ours.removeHandler(handler)
        ours.level, ours.propagate = before


class StepLines:
    """A line for each step's start and end, with what failed and why: a listener of `Schedule`."""

    def planned(self, steps: Sequence[Step]) -> None:
        """Says what is missing, by stage."""
        missing = [step for step in steps if step.num_items]
        parts = []
        for stage in sorted({step.stage for step in missing}):
            items = [step.num_items for step in missing if step.stage is stage]
            unit = "tunings" if stage is Stage.TUNE else "clips"
            cells = "1 cell" if len(items) == 1 else f"{len(items)} cells"
            parts.append(f"{stage.label} {sum(items)} {unit} in {cells}")
        page_logger.info("missing: %s", ", ".join(parts) or "nothing")

    def started(self, step: Step) -> None:
        """Says how much there is to do."""
        page_logger.info("%s: started, %d to do", step.name, step.num_items)

    def advanced(self, step: Step) -> None:
        """A line for each shard would be too many."""

    def ended(self, step: Step) -> None:
        """Says what came of it, and the first failures."""
        level = logging.WARNING if step.num_failed else logging.INFO
        page_logger.log(level, "%s: %s (%s of work)", step.name, step.outcome, duration(step.seconds))
        for what, kind, message in step.failures[:_NUM_FAILURES_LOGGED]:
            page_logger.warning("failed: %s: %s: %s", what, kind, message[:_MAX_LINE])
        if len(step.failures) > _NUM_FAILURES_LOGGED:
            page_logger.warning("... and %d more of this step", len(step.failures) - _NUM_FAILURES_LOGGED)
