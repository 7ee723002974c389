"""The process that holds a Ray of our own: `python -m reelbench.flows.workers.ray_head_process FOLDER`.

It starts Ray on this machine, prints the address, and ends Ray when its standard input is closed: when the
driver says so, or is gone.
"""

from __future__ import annotations

import logging
import os
import sys

# Shards and results are small; clips go through the store. Ray's default would reserve 30% of the memory.
_OBJECT_STORE_BYTES = 128 * 2**20


def main(folder: str) -> None:
    """Hold a Ray, with its sockets and logs in `folder`, until standard input ends."""
    # Whatever else is printed goes to the log: the answer is the address alone.
    answer = os.dup(1)
    os.dup2(2, 1)

    import ray

    ray.init(
        address="local",
        include_dashboard=False,
        logging_level=logging.ERROR,
        log_to_driver=False,
        object_store_memory=_OBJECT_STORE_BYTES,
        _temp_dir=folder,
    )
    os.write(answer, f"{ray.get_runtime_context().gcs_address}\n".encode())
    sys.stdin.read()
    ray.shutdown()


if __name__ == "__main__":
    main(sys.argv[1])
