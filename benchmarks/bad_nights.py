"""Four nights of the deployment `watch`, of which two go wrong: what a person sees in the morning.

`python benchmarks/bad_nights.py [FOLDER]` starts `reelbench serve` in a folder of its own, with the
automation in docs/automations/regression.yaml and a webhook that listens on this machine, and runs
`watch/watch` four times: a first night; one in which a worker and Prefect's server are killed outright in
the middle and a method always fails; a quiet one; one whose method was edited to be worse. It prints exit
code, states, tasks, log, artifacts and alerts of each. docs/failures.md has what was seen.
"""

from __future__ import annotations

import http.server
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import yaml

ROOT = Path(__file__).resolve().parent.parent
LIMIT_S = 300.0

METHOD = '''
"""Grey clips that flicker."""
import os, time
from pathlib import Path
import numpy as np
from reelbench.core.contracts import FrozenConfig, Method, Session
from reelbench.core.types import Conditioning


class {name}(Method, Session):
    """{comment}"""

    class Config(FrozenConfig):
        pass

    name, version, conditioning = "{label}", "1", Conditioning.TEXT

    def load(self, device):
        return self

    def generate(self, samples, artifact, seeds):
        for sample, seed in zip(samples, seeds):
            Path({diary!r}, f"{{sample.id}}-{{os.getpid()}}").touch()
            time.sleep(0.5)
            if {fails}:
                raise RuntimeError("no clip from this one")
            yield (100 + np.random.default_rng(seed).integers(0, {flicker}, (4, 16, 16, 3))).astype(np.uint8)
'''


class Alerts:
    """A webhook on this machine, and what was posted to it."""

    def __init__(self) -> None:
        self.bodies: list[str] = []
        alerts = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                alerts.bodies.append(self.rfile.read(length).decode())
                self.send_response(204)
                self.end_headers()

            def log_message(self, format: str, *arguments: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/alert"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()


class Drill:
    """`reelbench serve` in a folder, with one run file whose methods are edited from night to night."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.diary = folder / "diary"
        self.diary.mkdir(parents=True)
        self.alerts = Alerts()
        self.serve_pid = 0
        hidden = ("PREFECT_", "RAY_", "MLFLOW_", "REELBENCH_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
        self.environment = {**kept, "PATH": f"{Path(sys.executable).parent}:{kept['PATH']}"}
        plugin = folder / "tiny.py"
        plugin.write_text((ROOT / "tests" / "plugins" / "tiny.py").read_text())
        (folder / "run.yaml").write_text(
            yaml.safe_dump(
                {
                    "name": "nights",
                    "output": "out",
                    "resources": {"num_actors": 2, "shard_size": 2},
                    "methods": [
                        {"name": f"{folder}/{name}.py:{name.title()}", "label": name}
                        for name in ("flicker", "steady")
                    ],
                    "datasets": [{"name": f"{plugin}:Words", "label": "words"}],
                    "metrics": [f"{plugin}:Steadiness"],
                }
            )
        )
        (folder / "prefect.yaml").write_text((ROOT / "prefect.yaml").read_text())
        (folder / "regression.yaml").write_text(
            (ROOT / "docs" / "automations" / "regression.yaml").read_text()
        )

    def write_method(self, name: str, flicker: int = 20, fails: bool = False, comment: str = "Grey.") -> None:
        """The file of a method, as it is from now on."""
        text = METHOD.format(
            name=name,
            label=name.lower(),
            diary=str(self.diary),
            flicker=flicker,
            fails=fails,
            comment=comment,
        )
        (self.folder / f"{name.lower()}.py").write_text(text)

    def serve(self) -> subprocess.Popen[bytes]:
        """Start it, and come back when it is ready."""
        log = self.folder / "serve.log"
        command = "reelbench serve --folder serve --port 0 --allow-plugin-files"
        with log.open("wb") as out:
            process = subprocess.Popen(
                command.split(), cwd=self.folder, env=self.environment, stdout=out, stderr=out
            )
        began = time.monotonic()
        wait_for(lambda: process.poll() is not None or "Ctrl-C ends" in log.read_text(), "reelbench serve")
        print(
            f"{command}: {'ready' if process.poll() is None else 'ended'}, {time.monotonic() - began:.0f} s"
        )
        return process

    def shell(self, command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A command after `. serve/env`, as a user types it."""
        return subprocess.run(
            ["sh", "-c", f'. serve/env\n{command} "$@"', "sh", *arguments],
            cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False,
        )  # fmt: skip

    def make_automation(self) -> None:
        """A webhook block, its id in the file, and the automation: the lines of docs/history.md."""
        webhook = f"Webhook(url={self.alerts.url!r}).save('alert', overwrite=True)"
        save = f"from prefect.blocks.webhook import Webhook; print({webhook})"
        block = self.shell("python -c", save).stdout.split()[-1]
        path = self.folder / "regression.yaml"
        path.write_text(path.read_text().replace("00000000-0000-0000-0000-000000000000", block))
        made = self.shell("prefect automation create --from-file regression.yaml")
        print((made.stdout + made.stderr).strip())

    def night(self, title: str, event: Callable[[], None] | None = None) -> None:
        """Run the deployment, with an event once three clips are begun; print what there is to see."""
        print(f"\n## {title}", flush=True)
        for entry in self.diary.iterdir():
            entry.unlink()
        alerts, began, over = len(self.alerts.bodies), time.monotonic(), threading.Event()

        def fire() -> None:
            while len(list(self.diary.iterdir())) < 3 and not over.is_set():
                time.sleep(0.05)
            if event is not None and not over.is_set():
                event()

        threading.Thread(target=fire, daemon=True).start()
        done = self.shell(
            "prefect deployment run watch/watch --watch --param run_file=run.yaml",
            *("--param", "output=null", "--param", "limit=null"),
        )
        over.set()
        duration_s = time.monotonic() - began
        print(f"exit code of `prefect deployment run --watch`: {done.returncode}, {duration_s:.0f} s")
        print("its last words:", *(done.stdout + done.stderr).strip().splitlines()[-3:], sep="\n  ")
        wait_for(self._is_settled, "the flow run to end")
        time.sleep(50)  # for logs that are sent in batches, and for the alert after a restart
        self._show()
        print("alerts:", *self.alerts.bodies[alerts:] or ["none"], sep="\n  ")

    def kill(self) -> None:
        """A worker that makes clips and Prefect's server, both by SIGKILL."""
        pids = {int(path.name.rpartition("-")[2]) for path in self.diary.iterdir()}
        worker = next(pid for pid in sorted(pids) if psutil.pid_exists(pid))
        server = next(
            process.pid
            for process in psutil.Process(self.serve_pid).children(recursive=True)
            if "reelbench.flows.servers.prefect_server_process" in process.cmdline()
        )
        for pid in (worker, server):
            os.kill(pid, signal.SIGKILL)
        print(f"killed: the worker {worker} and the server {server}", flush=True)

    def _is_settled(self) -> bool:
        newest = "select state_type from flow_run order by created desc limit 1"
        return self._rows(newest)[0][0] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")

    def _show(self) -> None:
        latest = "select max(created) from flow_run where parent_task_run_id is null"
        [(began,)] = self._rows(latest)
        for kind in ("flow", "task"):
            self._print(
                f"{kind} runs (name | state | message)",
                f"select r.name, r.state_name, s.message from {kind}_run r left join {kind}_run_state s "
                "on s.id = r.state_id where r.created >= ? order by r.created",
                began,
            )
        self._print("log", "select level, message from log where timestamp >= ? order by timestamp", began)
        self._print(
            "artifacts",
            "select key, substr(data, 1, 400) from artifact where created >= ? and key is not null "
            "order by created",
            began,
        )

    def _print(self, title: str, query: str, *values: object) -> None:
        print(f"{title}:")
        for row in self._rows(query, *values):
            print("  " + " | ".join(str(value) for value in row))

    def _rows(self, query: str, *values: object) -> list[tuple[str, ...]]:
        database = sqlite3.connect(f"file:{self.folder}/serve/prefect.db?mode=ro", uri=True, timeout=60)
        try:
            return database.execute(query, values).fetchall()
        finally:
            database.close()


def wait_for(condition: Callable[[], bool], what: str) -> None:
    """Return when the condition holds."""
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"waited {LIMIT_S:.0f} s for {what}")
        time.sleep(0.3)


def main(folder: Path) -> None:
    """The four nights."""
    # What a background job of a shell ignores is inherited; what is handled is not.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    drill = Drill(folder)
    drill.write_method("Flicker")
    drill.write_method("Steady", flicker=5)
    serve = drill.serve()
    drill.serve_pid = serve.pid
    try:
        drill.make_automation()
        drill.night("The first night")
        drill.write_method("Flicker", comment="Grey; made again.")
        drill.write_method("Steady", flicker=5, fails=True)
        drill.night("A worker and the server are killed, and `steady` always fails", drill.kill)
        drill.write_method("Steady", flicker=5)
        drill.night("Nothing happens")
        drill.write_method("Flicker", flicker=90)
        drill.night("`flicker` was edited to be worse")
    finally:
        serve.send_signal(signal.SIGINT)
        print(f"\nCtrl-C: exit code {serve.wait(LIMIT_S)}")
        print((folder / "serve.log").read_text())


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp(prefix="bad-nights-")).absolute())
