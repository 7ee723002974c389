"""Tests that interrupt a process rely on this; try `sh -c 'trap "" INT; exec python -m pytest ...'`."""

from __future__ import annotations

import subprocess
import sys


def test_processes_that_tests_start_heed_ctrl_c() -> None:
    code = "import signal; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "True\n"
