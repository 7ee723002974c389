"""What a user can mend is one message on standard error and exit code 2, without a traceback."""

from __future__ import annotations

import errno
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from reelbench.cli.main import app


def failing(*arguments: str) -> Result:
    """Run a command that must refuse."""
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("error: ")
    assert "Traceback" not in result.output
    return result


@pytest.mark.parametrize("command", ["plan", "run", "status", "report", "contact-sheet"])
def test_a_missing_run_file(command: str) -> None:
    result = failing(command, "nowhere.yaml")
    assert "cannot read the run file nowhere.yaml" in result.stderr
    assert "configs/demo.yaml" in result.stderr


@pytest.mark.parametrize("command", ["plan", "run", "status", "report"])
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"methods": [{"name": "zs3"}]}, "did you mean 'zs2'?"),
        ({"metrics": ["fdv"]}, "did you mean 'fvd'?"),
        ({"protocol": "claen"}, "did you mean 'clean'?"),
        ({"methodz": []}, "did you mean 'methods'?"),
        ({"seeds": "many"}, "seeds"),
        ({"limit": -1}, "limit"),
        ({"resources": {"shard_size": 0}}, "resources.shard_size"),
    ],
)
def test_a_run_file_that_is_not_valid(
    write_run_file: Callable[..., Path], command: str, changes: dict[str, object], said: str
) -> None:
    if command == "status" and "protocol" in changes:
        pytest.skip("the status does not depend on the protocol")
    assert said in failing(command, str(write_run_file(**changes))).stderr


def test_a_run_file_that_is_not_yaml(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("methods: [")
    assert "not valid YAML" in failing("plan", str(path)).stderr


def test_only_names_what_the_run_has(write_run_file: Callable[..., Path]) -> None:
    result = failing("plan", str(write_run_file()), "--only", "drifd")
    assert "did you mean 'drift'?" in result.stderr


def test_a_limit_of_nothing(write_run_file: Callable[..., Path]) -> None:
    assert "--limit 0" in failing("plan", str(write_run_file()), "--limit", "0").stderr


def test_an_output_that_cannot_be_written(write_run_file: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = failing("plan", str(write_run_file()), "--output", str(tmp_path / "file"))
    assert "cannot create the store" in result.stderr


@pytest.mark.parametrize("command", ["plan", "run", "status", "evaluate"])
def test_an_output_without_a_name(
    write_run_file: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    path = write_run_file()
    monkeypatch.chdir(tmp_path)
    assert "the name of the folder is empty" in failing(command, str(path), "--output", "").stderr
    assert [entry.name for entry in tmp_path.iterdir()] == ["run.yaml"]


def test_missing_data(write_run_file: Callable[..., Path], tmp_path: Path) -> None:
    missing = {"name": "msrvtt", "config": {"root": str(tmp_path / "nothing")}}
    assert str(tmp_path / "nothing") in failing("plan", str(write_run_file(datasets=[missing]))).stderr


def test_no_tables_yet(write_run_file: Callable[..., Path]) -> None:
    assert "no table" in failing("contact-sheet", str(write_run_file())).stderr


def test_a_developer_can_ask_for_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REELBENCH_DEBUG", "1")
    result = CliRunner().invoke(app, ["plan", "nowhere.yaml"])
    assert type(result.exception).__name__ == "RunFileError"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["rnu"], "'run'"),
        (["plan"], "RUN_FILE"),
        (["plan", "x.yaml", "--limt", "3"], "--limit"),
        (["plan", "x.yaml", "--limit", "many"], "many"),
        (["ls", "method"], "did you mean 'methods'?"),
        (["world", "trian"], "'train'"),
        (["plan", "."], "Is a directory"),
    ],
)
def test_a_command_line_that_is_not_valid(arguments: list[str], said: str) -> None:
    result = failing(*arguments)
    assert said in result.stderr
    assert "\n  -> " in result.stderr


def test_a_folder_whose_name_cannot_be_held(write_run_file: Callable[..., Path], tmp_path: Path) -> None:
    for name, said in (("a\nb", r"'\n'"), ("a\udcffb", "no UTF-8")):
        assert said in failing("plan", str(write_run_file()), "--output", f"{tmp_path}/{name}").stderr


def test_a_full_disk_is_one_line(
    monkeypatch: pytest.MonkeyPatch, write_run_file: Callable[..., Path]
) -> None:
    def full(*args: object, **kwargs: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/data/out")

    monkeypatch.setattr("reelbench.core.run_file_loading.load_run_file", full)
    result = failing("plan", str(write_run_file()))
    assert "/data/out: No space left on device" in result.stderr
    assert "free some space there, or choose another place with --output" in result.stderr


def test_advice_names_options_that_the_command_has() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "reelbench", "compare", "docs/benchmark", "--a", "simda", "--b", "zs2"],
            cwd=Path(__file__).parents[2], stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "error: No space left on device",
        "  -> free some space there, or choose another place",
    ]


def test_recorded_scores_that_are_not_there_are_told_before_anything_runs(
    write_run_file: Callable[..., Path], tmp_path: Path
) -> None:
    result = failing("run", str(write_run_file()), "--against", str(tmp_path / "nothing"))
    assert "no recorded table" in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", ["plan", "run", "doctor"])
def test_what_is_faulty_hides_nothing_else(
    write_run_file: Callable[..., Path], tmp_path: Path, command: str
) -> None:
    path = write_run_file(
        methods=[
            {"name": "zs2", "upscale": "simda"},
            {"name": "zs2", "label": "b", "config": {"weights": "./no"}},
        ],
        datasets=[
            {"name": "msrvtt", "config": {"root": "data", "split": "tset"}, "protocol": "./none.yaml"},
            {"name": "ssv2", "label": "own", "root": str(tmp_path / "nothing")},
        ],
        metrics=["pickscore"],
        weights={"i3dd": "x", "vjepaa": "y"},
    )
    result = CliRunner().invoke(app, [command, str(path)])
    told = re.findall(r"^(?:✗|\d+\.) ", result.output, re.MULTILINE)
    said = (
        "(own).root: `root` is a setting of ssv2: put it under `config`",
        "methods[0] (zs2).upscale: must be a mapping",
        "datasets[0] (msrvtt).config.split: must be 'test'",
        "unknown role 'i3dd'",
        "unknown role 'vjepaa'",
        "pickscore: no weights are named",
        "no weights at",
        "data set 'own': Something-Something V2, split 'validation': the root folder",
        "cannot read the protocol none.yaml",
    )
    for text in said:
        assert text in result.output
    assert len(told) == len(said), result.output


def test_a_traceback_shows_no_secret() -> None:
    code = (
        "import sys\n"
        "from unittest.mock import patch\n"
        "from reelbench.cli import main\n"
        "sys.argv = ['reelbench', 'ls', 'methods']\n"
        "error = RuntimeError('at http://me:' + 'hunter' + '2@host/x')\n"
        "with patch('reelbench.core.registry.names', side_effect=error):\n"
        "    main.main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "RuntimeError: at http://***@host/x" in done.stderr
    assert "hunter2" not in done.stderr
