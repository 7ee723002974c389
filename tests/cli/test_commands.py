"""The set of commands and flags is frozen, and asking for help imports nothing heavy."""

from __future__ import annotations

import subprocess
import sys

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from reelbench.cli.main import app

RUN_FILE = ["RUN_FILE", "--limit", "--only", "--output"]

COMMANDS = {
    "plan": [*RUN_FILE, "--json", "--online"],
    "run": RUN_FILE,
    "status": RUN_FILE,
    "report": [*RUN_FILE, "--markdown", "--html", "--json"],
    "contact-sheet": [*RUN_FILE, "--to", "--prompts", "--columns", "--dataset", "--seed"],
    "evaluate": [
        "GENERATED",
        "--reference",
        "--captions",
        "--pairs",
        "--protocol",
        "--metrics",
        "--weights",
        "--output",
        "--name",
        "--limit",
        "--context-frames",
        "--frame-rate",
        "--allow-small",
        "--workers",
        "--device",
        "--json",
    ],
    "ls": ["KIND", "--verbose"],
    "doctor": ["RUN_FILE", "--output", "--data", "--online"],
}

HEAVY = {"torch", "prefect", "ray", "mlflow", "pandas", "pyarrow", "numpy", "av", "diffusers", "matplotlib"}


def test_commands_and_flags_are_what_users_know() -> None:
    group = get_command(app)
    found = {
        name: [
            parameter.opts[0] if parameter.param_type_name == "option" else parameter.name.upper()
            for parameter in command.params
        ]
        for name, command in group.commands.items()
        if name != "world"
    }
    assert found == COMMANDS
    assert "world" in group.commands


@pytest.mark.smoke
def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from reelbench.cli.main import app\n"
        "try:\n"
        "    app(['--help'])\n"
        "except SystemExit as exit:\n"
        "    assert not exit.code, exit.code\n"
        "print('MODULES', *sorted({name.partition('.')[0] for name in sys.modules}))\n"
        "assert 'reelbench.worlds.sprites.commands' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    modules = set(done.stdout.rpartition("MODULES")[2].split())
    assert not modules & HEAVY
    assert "plan" in done.stdout


@pytest.mark.smoke
def test_every_command_explains_itself() -> None:
    for name in COMMANDS:
        result = CliRunner().invoke(app, [name, "--help"])
        assert result.exit_code == 0, name
        assert "Usage" in result.output


@pytest.mark.smoke
def test_names_are_listed() -> None:
    for kind, name in [
        ("methods", "zs2"),
        ("datasets", "msrvtt"),
        ("metrics", "fvd"),
        ("extractors", "i3d"),
        ("protocols", "clean"),
    ]:
        result = CliRunner().invoke(app, ["ls", kind])
        assert result.exit_code == 0
        assert name in result.output.split()


@pytest.mark.smoke
def test_names_are_listed_with_what_they_are() -> None:
    result = CliRunner().invoke(app, ["ls", "metrics", "-v"])
    assert result.exit_code == 0
    (line,) = [line for line in result.output.splitlines() if line.startswith("fvd ")]
    assert "FVD" in line.partition(" ")[2]


def test_an_unknown_kind_is_answered_with_the_known_ones() -> None:
    result = CliRunner().invoke(app, ["ls", "method"])
    assert result.exit_code == 2
    assert "extractors" in result.output
