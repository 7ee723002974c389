"""The documentation as a site: no broken link, the same as on a code host, from disk, without a network."""

from __future__ import annotations

import logging
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt
from mkdocs.commands.build import build
from mkdocs.config import load_config

ROOT = Path(__file__).resolve().parent.parent
AT_ROOT = {"index": "README.md", "contributing": "CONTRIBUTING.md", "changelog": "CHANGELOG.md"}
COUNTED = ("h1", "h2", "h3", "h4", "li", "ul", "ol", "table", "tr", "pre", "strong", "em", "img")


class Warnings(logging.Handler):
    """What mkdocs warns of: links and anchors that lead nowhere, pages that `nav` does not name."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built as `make docs` builds it, without a warning."""
    folder, warnings = tmp_path_factory.mktemp("site"), Warnings()
    logging.getLogger("mkdocs").addHandler(warnings)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("NO_MKDOCS_2_WARNING", "1")
        config = load_config(str(ROOT / "mkdocs.yml"), site_dir=str(folder))
        config.plugins.on_startup(command="build", dirty=False)
        build(config)
    logging.getLogger("mkdocs").removeHandler(warnings)
    assert warnings.lines == []
    return folder


def counts(html: str) -> Counter[str]:
    """How many headings, items, rows and so on there are, code aside."""
    html = re.sub(r"<(pre|code)\b.*?</\1>", lambda found: f"<{found[1]}>", html, flags=re.DOTALL)
    return Counter(tag for tag in re.findall(r"<(\w+)", html) if tag in COUNTED)


def test_each_page_has_the_headings_lists_and_tables_that_a_code_host_shows(site: Path) -> None:
    markdown = MarkdownIt("commonmark").enable("table")
    different = {}
    for page in site.rglob("*.html"):
        name = page.relative_to(site).with_suffix("").as_posix()
        source = ROOT / AT_ROOT.get(name, f"docs/{name}.md")
        if name == "commands" or not source.is_file():  # it has the options besides
            continue
        html = page.read_text(encoding="utf-8")
        shown = counts(html[html.index("<article") : html.index("</article>")])
        wanted = counts(markdown.render(source.read_text(encoding="utf-8")))
        if shown != wanted:
            different[source.name] = {
                tag: (wanted[tag], shown[tag]) for tag in (wanted - shown) + (shown - wanted)
            }
    assert not different, (
        "wanted and shown; nested lists take four spaces, and a list after code an empty line"
    )


def test_options_of_commands_and_the_sources_that_pages_link_to_are_in_it(site: Path) -> None:
    commands = (site / "commands.html").read_text(encoding="utf-8")
    assert "options of" not in commands
    assert "<code>--against FOLDER</code>" in commands
    assert str(ROOT) not in commands
    start = (site / "index.html").read_text(encoding="utf-8")
    assert 'href="run-files.html"' in start
    assert 'href="source/configs/editing.yaml.html"' in start
    assert (site / "source/configs/editing.yaml.html").is_file()


def test_it_opens_from_disk_and_asks_no_network(site: Path, page: Any) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for name in ("index", "protocols/clean"):
        page.goto(f"file://{site}/{name}.html")
    page.keyboard.press("f")
    page.keyboard.type("quarantine")
    page.wait_for_selector(".md-search-result__item")
    assert "verify" in page.inner_text(".md-search-result__list")
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:", "about:"))] == []


def test_on_a_phone_nothing_is_wider_than_the_screen(site: Path, page: Any) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    for name in ("index", "commands", "protocols"):
        page.goto(f"file://{site}/{name}.html")
        assert page.evaluate("document.documentElement.scrollWidth") == 390, name
