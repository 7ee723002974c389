"""Streams that are closed, piped or of another encoding, and signals while nothing has begun."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from reelbench.cli.options import shell_path

REELBENCH = f"{sys.executable} -m reelbench"


def shell(command: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        env={**os.environ, **environment},
        capture_output=True,
        check=False,
    )


@pytest.mark.parametrize(
    "environment",
    [
        {"LC_ALL": "C"},
        {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "latin-1"},
    ],
)
def test_symbols_are_spelt_out_where_the_encoding_has_none(environment: dict[str, str]) -> None:
    done = shell(f"{REELBENCH} ls methods zs2", **environment)
    assert done.returncode == 0, done.stderr
    assert b"zs2" in done.stdout
    assert done.stderr == b""


def test_symbols_in_ascii() -> None:
    done = shell(
        f"{sys.executable} -c 'from reelbench.cli.terminal import repair_streams; repair_streams();"
        ' print("22 ± 6 ↓ ZS² 字")\'',
        PYTHONIOENCODING="ascii",
    )
    assert done.stdout == b"22 +/- 6 (lower) ZS2 ?\n", done.stderr


def test_a_reader_that_goes_away_is_no_error() -> None:
    done = shell(f"{REELBENCH} ls metrics -v | head -n 1")
    assert done.stdout.splitlines() == [b"aesthetic_quality"]
    assert done.stderr == b""


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_error(closed: str) -> None:
    done = shell(f"{REELBENCH} ls methods {closed}")
    assert done.returncode == 0, done.stderr
    assert done.stderr == b""


BROKEN_IMPORT = """
from reelbench.cli import ls
def broken(kind):
    try:
        {sleep}
    except BaseException as error:
        raise ImportError("a library that takes Ctrl-C for a module that is broken") from error
ls._names = broken
"""

WAITING = """
import sys, time
from reelbench.cli import app, main, terminal
{patch}
sys.argv[1:] = ["ls", "methods"]
main.main()
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("moment", ["import", "reading", "command", "broken import", "end"])
def test_a_signal_at_any_moment_is_one_line(number: signal.Signals, code: int, moment: str) -> None:
    """The place where the time goes is made longer, so that the signal meets it."""
    # Many short ones: a signal between "here" and one long sleep would wait for its end.
    sleep = "(print('here', flush=True), [time.sleep(0.1) for _ in range(6000)])"
    patch = {
        "import": f"main.repair_streams = lambda: {sleep}",
        "reading": f"import typer.main; typer.main.get_group = lambda *_, **__: {sleep}",
        "broken import": BROKEN_IMPORT.format(sleep=sleep),
        "command": f"from reelbench.cli import ls; ls._names = lambda kind: {sleep}",
        "end": f"main.end_quietly = lambda: {sleep}",
    }[moment]
    process = subprocess.Popen(
        [sys.executable, "-c", WAITING.format(patch=patch)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A parent that ignores Ctrl-C (`nohup make test &`) does not mean this child.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler) and None,
    )
    assert process.stdout is not None
    while process.stdout.readline() != "here\n":
        assert process.poll() is None
    process.send_signal(number)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == code, errors
    assert len(errors.splitlines()) == 1
    assert "the same command goes on from there" in errors


def test_printed_paths_are_quoted_for_the_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert shell_path(tmp_path / "out" / "report.html") == "out/report.html"
    for name in ("a b", "a'b", 'a"b', "a&b;c", "$(touch bad)", "-x"):
        printed = shell_path(tmp_path / name / "r")
        assert shell(f"printf %s {printed}").stdout.decode() == f"{name}/r"
    # A browser would read the rest as a query, a fragment, or a code.
    assert shell_path(tmp_path / "a?b#c%41" / "r") == f"file://{tmp_path}/a%3Fb%23c%2541/r"
