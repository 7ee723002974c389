"""The process of the worker that `reelbench serve` starts.

`python -m reelbench.flows.servers.worker_process POOL PID` takes runs from a work pool, and ends with all of
them when its parent is gone, also when that was killed.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from .processes import MARK, at_parents_end, end_marked

NAME = "reelbench-serve"
"""One name for all of them, or each start would leave another worker on the page."""

_GRACE_S = 8.0


def main(pool: str, parent: int) -> None:
    """Work until SIGTERM, or until `parent` is no longer this process's parent."""
    at_parents_end(parent, _end_runs)
    from prefect.workers.process import ProcessWorker

    asyncio.run(ProcessWorker(work_pool_name=pool, name=NAME).start())


def _end_runs() -> None:
    end_marked(Path(os.environ[MARK]), _GRACE_S)
    os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
