"""The pages of docs/papers: their commands name what is there, and every shipped table is on one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from reelbench.reports.papers.spec import shipped_tables

ROOT = Path(__file__).resolve().parents[3]
PAGES = sorted((ROOT / "docs" / "papers").glob("*.md"))


def commands(page: Path) -> list[list[str]]:
    """The words of each command in the page's blocks."""
    blocks = re.findall(r"^```\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [line.split() for block in blocks for line in block.splitlines() if line.startswith("reelbench ")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_are_in_order_and_name_what_is_there(page: Path) -> None:
    ran: set[str] = set()
    told = commands(page)
    assert told[0][:3] == ["reelbench", "world", "write"]
    for words in told[1:]:
        files = [word for word in words if word.endswith(".yaml")]
        assert all((ROOT / file).is_file() for file in files)
        if words[1] == "run":
            ran.update(files)
        else:
            assert words[1] == "table"
            assert words[2] in shipped_tables()
            assert set(files) <= ran, "a table is made of runs that the page made before"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    assert links
    assert all((page.parent / link).exists() for link in links)


def test_every_shipped_table_is_on_a_page() -> None:
    told = {words[2] for page in PAGES for words in commands(page) if words[1] == "table"}
    assert told == set(shipped_tables())
