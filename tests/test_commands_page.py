"""docs/commands.md has every command, and its examples do what they say."""

from __future__ import annotations

import itertools
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.main import get_command
from typer.testing import CliRunner

from reelbench.cli.app import app
from reelbench.datasets.video import write_lossless

PROGRAM = [sys.executable, "-m", "reelbench"]
PIPES: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "commands.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^### `reelbench ([a-z -]+)`\n(.*?)(?=^##|\Z)", PAGE, re.M | re.S))
EXAMPLES = {
    name: [
        line
        for block in re.findall(r"^```bash\n(.*?)^```", text, re.M | re.S)
        for line in block.splitlines()
        if line.startswith("reelbench ")
    ]
    for name, text in SECTIONS.items()
}
ELSEWHERE = {
    "watch": "tests/flows/test_watch.py runs it on nights of its own",
    "serve": "tests/flows/test_serve.py runs it as the README has it",
    "mlflow sync": "a server is needed; tests/reports/mlflow",
    "train adapters": "minutes of a core; tests/methods/training run it at tiny size, and so the others",
    "train prediction": "",
    "train upscaler": "",
    "world train": "",
    "world quality": "",
}
"""Commands whose options alone are checked here."""


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """All commands of a group and of those below it, by name."""
    for name in group.list_commands(None):
        command = group.get_command(None, name)
        if hasattr(command, "list_commands"):
            yield from commands(command, (*path, name))
        elif not command.hidden:
            yield " ".join((*path, name)), command


COMMANDS = dict(commands(get_command(app)))


def test_every_command_has_a_section_with_an_example_and_its_options() -> None:
    assert sorted(SECTIONS) == sorted(COMMANDS)
    for name, text in SECTIONS.items():
        assert f"<!-- options of `reelbench {name}` -->" in text
        assert EXAMPLES[name], name
        assert all(example.startswith(f"reelbench {name}") for example in EXAMPLES[name]), name


@pytest.mark.parametrize("name", sorted(ELSEWHERE))
def test_an_example_that_is_not_run_here_names_options_that_there_are(name: str) -> None:
    for example in EXAMPLES[name]:
        words = shlex.split(example, comments=True)[1 + len(name.split()) :]
        COMMANDS[name].make_context(name, words)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, tiny_run_file: Callable[..., Path]) -> Path:
    """A folder with what the examples read: a run file, and two folders of videos."""
    folder = tmp_path_factory.mktemp("commands")
    (folder / "configs").mkdir()
    run_file = folder / "configs" / "demo.yaml"
    # Without MLflow, which takes as long as all the rest.
    changes = {"name": "demo", "resources": {"num_actors": 1}, "executor": "local", "mlflow": False}
    tiny_run_file(run_file, Path("out"), **changes)
    (folder / "docs").symlink_to(DOCS)
    rng = np.random.default_rng(0)
    for side in ("generated", "real"):
        (folder / side).mkdir()
        for name in "abc":
            frames = rng.integers(0, 256, (16, 32, 32, 3), dtype=np.uint8)
            write_lossless(folder / side / f"{name}.mkv", frames, 8.0)
    return folder


def until_it_waits(words: list[str], environment: dict[str, str]) -> tuple[int, str]:
    """A command that runs until Ctrl-C: what it prints, and 0 where it then ends as it should."""
    with subprocess.Popen([*PROGRAM, *words], env=environment, **PIPES) as process:
        lines = [*itertools.takewhile(lambda line: "Ctrl-C" not in line, process.stdout or ())]
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=60)
    return 0 if process.returncode == 130 else 1, "".join([*lines, rest])


@pytest.mark.e2e
def test_the_examples_run_one_after_another_as_they_stand(
    home: Path, clean_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home)
    for name in [name for name in SECTIONS if name not in ELSEWHERE]:
        for example in EXAMPLES[name]:
            line, _, target = (part.strip() for part in example.partition(" > "))
            words = shlex.split(line, comments=True)[1:]
            if name == "ui":
                code, output = until_it_waits(words, clean_environment)
            elif name == "run":  # it starts a server and workers
                done = subprocess.run([*PROGRAM, *words], env=clean_environment, **PIPES, timeout=300)
                code, output = done.returncode, done.stdout
            else:
                result = CliRunner().invoke(app, words)
                code, output = result.exit_code, result.output
            assert code == 0, f"{example}: exit code {code}\n{output}"
            assert target or output.strip(), example
    assert (home / "sheet.png").stat().st_size > 1000
    assert (home / "out" / "demo" / "latest" / "tables" / "summary.parquet").is_file()
    assert list((home / "evaluations").rglob("summary.parquet"))
