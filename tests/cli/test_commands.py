"""The set of commands and flags is frozen, and asking for help imports nothing heavy."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from reelbench.cli.main import app

RUN_FILE = ["RUN_FILE", "--limit", "--only", "--output"]

COMMANDS = {
    "table": [
        "NAME",
        "RUNS",
        "--list",
        "--format",
        "--output",
        "--standalone",
        "--bib",
        "--errors",
        "--significance",
        "--notes",
        "--dataset",
        "--protocol",
        "--allow-mixed",
    ],
    "compare": [
        "A",
        "B",
        "--a",
        "--b",
        "--method",
        "--metric",
        "--margin",
        "--across",
        "--explain",
        "--clips",
        "--page",
        "--force",
        "--fail-on",
        "--json",
    ],
    "bundle": ["PLACE", "--output", "--features", "--clips", "--store", "--force", "--json"],
    "verify": ["PLACE", "--output", "--quarantine", "--json"],
    "plan": [*RUN_FILE, "--json", "--online"],
    "run": [*RUN_FILE, "--against"],
    "watch": RUN_FILE,
    "serve": [
        "--port",
        "--folder",
        "--deployments",
        "--ray-address",
        "--limit",
        "--allow-plugin-files",
        "--allow-outside",
    ],
    "ui": ["RUN", "--port", "--mlflow", "--open"],
    "history": ["RUN_FILE", "--output", "--last", "--method", "--metric", "--csv", "--json", "--prune"],
    "status": RUN_FILE,
    "report": [*RUN_FILE, "--id", "--markdown", "--html", "--json"],
    "contact-sheet": [*RUN_FILE, "--id", "--to", "--prompts", "--columns", "--dataset", "--sample", "--seed"],
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
        "--generated-rate",
        "--allow-small",
        "--workers",
        "--device",
        "--json",
    ],
    "ls": ["KIND", "NAME", "--verbose"],
    "doctor": ["RUN_FILE", "--output", "--data", "--online"],
}

for command in COMMANDS.keys() - {"ls", "doctor"}:
    COMMANDS[command] = [*COMMANDS[command], "--verbose"]

TRAININGS = {
    "prediction": [
        "--dataset",
        "--settings",
        "--work",
        "--method",
        "--base",
        "--structure",
        "--frames",
        "--stride",
        "--fps",
        "--height",
        "--width",
        "--steps",
        "--batch-size",
        "--learning-rate",
        "--optimizer",
        "--precision",
        "--checkpointing",
        "--preview-every",
        "--num-previews",
        "--seed",
        "--mlflow",
        "--experiment",
    ],
    "adapters": [
        "--root",
        "--work",
        "--pipeline",
        "--list",
        "--clips",
        "--num-frames",
        "--frames",
        "--size",
        "--preset",
        "--steps",
        "--batch-size",
        "--learning-rate",
        "--precision",
        "--checkpointing",
        "--preview-every",
        "--prompt",
        "--seed",
        "--mlflow",
        "--experiment",
    ],
    "upscaler": [
        "--root",
        "--work",
        "--upscaler",
        "--list",
        "--clips",
        "--num-frames",
        "--size",
        "--max-noise-level",
        "--preset",
        "--steps",
        "--batch-size",
        "--learning-rate",
        "--precision",
        "--checkpointing",
        "--seed",
    ],
}

HEAVY = {"torch", "prefect", "ray", "mlflow", "pandas", "pyarrow", "numpy", "av", "diffusers", "matplotlib"}


def test_commands_and_flags_are_what_users_know() -> None:
    group: Any = get_command(app)
    assert flags_of(group) == COMMANDS | {"mlflow": [], "train": [], "world": []}


def test_trainings_and_their_flags_are_what_users_know() -> None:
    from reelbench.cli.train import app as trainings

    assert flags_of(get_command(trainings)) == TRAININGS


def test_the_flags_of_mlflow_are_what_users_know() -> None:
    from reelbench.cli.mlflow_sync import app as commands

    assert flags_of(get_command(commands)) == {"sync": ["RUNS", "--to", "--experiment"]}


def flags_of(group: Any) -> dict[str, list[str]]:
    """The parameters of a group's commands."""
    return {
        name: [
            parameter.opts[0] if parameter.param_type_name == "option" else parameter.name.upper()
            for parameter in command.params
        ]
        for name, command in group.commands.items()
    }


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
def test_names_are_listed_with_what_they_are_and_their_settings() -> None:
    for kind in ("methods", "upscalers", "datasets", "metrics", "extractors", "protocols"):
        result = CliRunner().invoke(app, ["ls", kind, "-v"])
        assert result.exit_code == 0
        assert "cannot be loaded" not in result.output
        for entry in result.output.strip().split("\n\n"):
            name, what = entry.splitlines()[:2]
            assert len(what.split()) >= 4, name
            assert "The method" not in what


def test_one_name_shows_its_settings_with_types_defaults_and_what_they_mean() -> None:
    result = CliRunner().invoke(app, ["ls", "methods", "tune-a-video"])
    assert result.exit_code == 0
    assert result.output.startswith("tune-a-video\n  Tune-A-Video: an image model learns")
    assert "  presets: released, paper, sprites\n" in result.output
    assert "  num_steps: int (>= 1, <= 999) = 50\n      DDIM steps.\n" in result.output
    assert '  dtype: "auto" | "float32" | "float16" | "bfloat16" = "auto"\n' in result.output
    assert "    tuning.learning_rate: float (> 0) = 3e-05\n" in result.output
    assert (
        "  lambda: float | tuple[float, ...] = 0.01\n"
        in CliRunner().invoke(app, ["ls", "methods", "zs2"]).output
    )


def test_settings_that_a_docstring_lists_are_explained_from_there() -> None:
    output = CliRunner().invoke(app, ["ls", "datasets", "ssv2"]).output
    assert "  root: str, required\n      folder of the data set.\n" in output
    assert "before the subset is drawn; the fingerprint then follows what is there.\n" in " ".join(
        line.strip() + ("\n" if line.endswith(".") else "") for line in output.splitlines()
    )


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    result = CliRunner().invoke(app, ["ls", "methods", "zs3"])
    assert result.exit_code == 2
    assert "did you mean 'zs2'?" in result.output


def test_versions_are_read_without_importing() -> None:
    code = (
        "import sys\n"
        "from typer.testing import CliRunner\n"
        "from reelbench.cli.main import app\n"
        "print(CliRunner().invoke(app, ['--version']).output)\n"
        f"print('heavy:', {HEAVY!r} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert lines[0].startswith("reelbench ")
    for name in ("python", "torch", "open_clip_torch", "prefect", "ray", "mlflow", "pyarrow"):
        assert any(line.split()[0] == name and len(line.split()) >= 2 for line in lines if line.strip()), name
    assert "heavy: set()" in lines


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("reelbench sta", "status"),
        ("reelbench run --lim", "--limit"),
        ("reelbench ls meth", "methods"),
        ("reelbench ls methods tune", "tune-a-video"),
        ("reelbench ls protocols cle", "clean"),
        ("reelbench plan {run_file} --only dri", "drift"),
        ("reelbench world qua", "quality"),
    ],
)
def test_the_shell_completes(write_run_file: Callable[..., Path], typed: str, completed: str) -> None:
    words = typed.format(run_file=write_run_file())
    done = subprocess.run(
        [sys.executable, "-m", "reelbench"],
        env={
            **os.environ,
            "_REELBENCH_COMPLETE": "complete_bash",
            "COMP_WORDS": words,
            "COMP_CWORD": str(len(words.split()) - 1),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == [completed], done.stderr


def test_help_by_h_everywhere() -> None:
    for command in ([], *([name] for name in COMMANDS), ["world"], ["world", "train"]):
        result = CliRunner().invoke(app, [*command, "-h"])
        assert result.exit_code == 0, command
        assert "Usage" in result.output


def test_an_unknown_kind_is_answered_with_the_known_ones() -> None:
    result = CliRunner().invoke(app, ["ls", "method"])
    assert result.exit_code == 2
    assert "extractors" in result.output
