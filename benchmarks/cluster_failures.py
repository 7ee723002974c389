"""What a run does when its Ray cluster fails: seconds to the first message and to the end.

`python benchmarks/cluster_failures.py [CASE ...]` starts Ray nodes of its own on this machine, with a token,
and ends them again: no other Ray is touched. Cases: silent, vanish, token, node (the only one with a GPU is
lost), one-of-two (another one is left), head. docs/failures.md has what was seen.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import yaml

PLUGIN = Path(__file__).resolve().parent.parent / "tests" / "plugins" / "tiny.py"
PROGRAMS = Path(sys.executable).parent
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith("RAY_")},
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": secrets.token_hex(32),
    "RAY_USAGE_STATS_ENABLED": "0",
}
SECONDS_UP = 300.0


class Node:
    """A Ray node in a session of its own."""

    def __init__(self, *arguments: str) -> None:
        command = [str(PROGRAMS / "ray"), "start", "--block", "--object-store-memory=100000000", *arguments]
        self.process = subprocess.Popen(
            command,
            env=ENVIRONMENT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def kill(self) -> None:
        """End it with all its processes, at once."""
        with contextlib.suppress(psutil.NoSuchProcess):
            node = psutil.Process(self.process.pid)
            for process in [node, *node.children(recursive=True)]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
        self.process.wait()


def wait_for_nodes(address: str, count: int) -> None:
    """Return when the cluster has so many nodes."""
    probe = [sys.executable, "-m", "reelbench.flows.workers.ray_probe_process", address]
    deadline = time.monotonic() + SECONDS_UP
    while time.monotonic() < deadline:
        done = subprocess.run(probe, env=ENVIRONMENT, capture_output=True, text=True, check=False)
        if done.stdout.strip() == str(count):
            return
        time.sleep(1)
    raise SystemExit(f"the cluster did not have {count} nodes within {SECONDS_UP:.0f} s")


def drill(
    name: str,
    folder: Path,
    address: str,
    event: Callable[[], None] | None = None,
    num_actors: int = 1,
    **environment: str,
) -> None:
    """Run a benchmark on a cluster, with an event once two clips are begun; print what it says, and when."""
    diary, run_file = folder / "diary", folder / f"{name}.yaml"
    for entry in diary.iterdir():
        entry.unlink()
    run_file.write_text(
        yaml.safe_dump(
            {
                "name": "tiny",
                "output": str(folder / name),
                "executor": "ray",
                "limits": {"start": "60s"},
                "resources": {"num_actors": num_actors, "shard_size": 2},
                "methods": [{"name": f"{PLUGIN}:Drift", "label": "drift"}],
                "datasets": [{"name": f"{PLUGIN}:Words", "label": "words"}],
                "metrics": [f"{PLUGIN}:Steadiness"],
            }
        )
    )
    run = subprocess.Popen(
        [PROGRAMS / "reelbench", "run", run_file],
        env={
            **ENVIRONMENT,
            "RAY_ADDRESS": address,
            **environment,
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    began = time.monotonic()
    print(f"{name}:")

    def fire() -> None:
        nonlocal began
        while len(list(diary.iterdir())) < 2 and run.poll() is None:
            time.sleep(0.1)
        if event is not None and run.poll() is None:
            event()
            began = time.monotonic()
            print("  the event; seconds count from here")

    threading.Thread(target=fire, daemon=True).start()
    assert run.stderr is not None
    for line in run.stderr:
        print(f"  {time.monotonic() - began:5.0f} s  {line.rstrip()}")
    tables = "tables" if (folder / name / "tiny" / "latest").exists() else "no tables"
    print(f"  {time.monotonic() - began:5.0f} s  exit code {run.wait()}, {tables}", flush=True)


def main(cases: list[str]) -> None:
    """Run the cases."""
    with tempfile.TemporaryDirectory(prefix="rf", dir="/tmp") as name, socket.socket() as silent:
        folder = Path(name)
        # Workers of a cluster have their nodes' environment.
        (folder / "diary").mkdir()
        ENVIRONMENT.update(TINY_DIARY=str(folder / "diary"), TINY_SECONDS="2")
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        if "silent" in cases:
            drill("silent", folder, f"127.0.0.1:{silent.getsockname()[1]}")
        if "vanish" in cases:
            drill("vanish", folder, "192.0.2.77:6379")  # an address that is kept for documentation
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        address = f"127.0.0.1:{port}"
        gpus = 0 if "node" in cases else 1
        head = Node(
            *("--head", f"--port={port}", "--node-ip-address=127.0.0.1", "--num-cpus=1"),
            *(f"--num-gpus={gpus}", "--include-dashboard=false", f"--temp-dir={folder}/ray"),
        )
        try:
            wait_for_nodes(address, 1)
            if "token" in cases:
                drill("token", folder, address, RAY_AUTH_TOKEN="ab" * 32)
            for case in {"node", "one-of-two"} & set(cases):  # GPUs are logical ones
                node = Node(f"--address={address}", "--num-cpus=1", "--num-gpus=1")
                try:
                    wait_for_nodes(address, 2)
                    drill(case, folder, address, node.kill, num_actors=1 if case == "node" else 2)
                finally:
                    node.kill()
            if "head" in cases:
                drill("head", folder, address, head.kill)
        finally:
            head.kill()


if __name__ == "__main__":
    main(sys.argv[1:] or ["silent", "vanish", "token", "head"])
