"""Messages and docs name options of `reelbench` that there are."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from typer.main import get_command

from reelbench.cli.main import app

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("cli", "core", "datasets", "docs", "flows", "methods", "metrics", "reports", "stages")


def test_every_option_that_is_named_with_its_command_is_there() -> None:
    sources = [path for name in FOLDERS for path in (ROOT / name).rglob("*") if path.suffix in (".py", ".md")]
    num_named = 0
    for path in sources:
        for words in re.findall(r"`reelbench ([a-z][^`\n]*)`", path.read_text(encoding="utf-8")):
            command: Any = get_command(app)
            for word in words.split():
                if hasattr(command, "commands"):
                    command = command.commands.get(word)
                    if command is None:  # "train NAME", "A | B"
                        break
                elif word.startswith("--"):
                    options = {name for param in command.params for name in param.opts}
                    assert word.strip(",.").partition("=")[0] in options, f"{path}: {words}"
                    num_named += 1
    assert num_named > 5
