"""Asks a Ray cluster for its nodes: `python -m reelbench.flows.workers.ray_probe_process HOST:PORT`.

A process of its own, since Ray's client waits for minutes where nobody answers, cannot be called off, and
says what is wrong on standard error only.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any


def main(address: str) -> None:
    """Print how many nodes the cluster has."""
    internals: Any = importlib.import_module("ray._raylet")
    print(len(internals.GcsClient(address=address, cluster_id=None).get_all_node_info(timeout=10)))


if __name__ == "__main__":
    main(sys.argv[1])
