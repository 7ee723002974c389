"""The report: one file, nothing outside it, everything escaped."""

from __future__ import annotations

import html.parser
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reelbench.core.errors import StoreError
from reelbench.reports.pages.html_report import _signatures, html_report, write_html_report
from reelbench.reports.pages.markdown_report import markdown_report


class Page(html.parser.HTMLParser):
    """Counts tags and gathers what the page refers to and says."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text
        self.tags: list[str] = []
        self.references: list[str] = []
        self.ids: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.references += [value or "" for name, value in attrs if name in ("src", "href")]
        self.ids += [value or "" for name, value in attrs if name == "id"]

    def handle_data(self, data: str) -> None:
        self.words.append(data.strip())


@pytest.fixture
def page(make_tables: Callable[..., Path], tmp_path: Path) -> Page:
    out = write_html_report(make_tables(), tmp_path / "report.html")
    return Page(out.read_text(encoding="utf-8"))


def test_the_report_holds_everything_it_shows(page: Page) -> None:
    assert [r for r in page.references if not r.startswith(("data:video/mp4;base64,", "#"))] == []
    assert {r for r in page.references if r.startswith("#")} <= {f"#{name}" for name in page.ids}
    # Two prompts x (reference + four methods), less one that failed.
    assert page.tags.count("video") == 9
    assert "failed: ClipRefusedError" in page.words


def test_foreign_text_is_escaped(page: Page) -> None:
    assert page.tags.count("script") == 1  # ours
    assert "b" not in page.tags  # of the error message
    assert any("<script>alert('x')</script> a red|blue" in words for words in page.words)
    assert any("every pixel is <b>black</b>" in words for words in page.words)


def test_captions_are_shown_as_they_are(make_tables: Callable[..., Path], tmp_path: Path) -> None:
    caption = "a slide that reads /data/anna/clips & C:\\Users\\anna\\x"
    folder = make_tables(prompts=(caption, "a dog"))
    text = write_html_report(folder, tmp_path / "report.html").read_text(encoding="utf-8")
    assert any(caption in words for words in Page(text).words)
    assert "&amp;amp;" not in text


def test_the_report_says_what_was_measured(page: Page) -> None:
    text = " ".join(page.words)
    for expected in (
        "255.1 ± 5.3",
        "fvd-demo-16x64 (af8a2851503d)",
        "Saw: text + reference video",
        "text2video-zero − zs2",
        "Holm p 0.036 (raw 0.012), 16 pairs of 8 sources, detectable 0.012",
        "text2video-zero − zs2: the smallest p is <1/256>",
        "CLIPSIM 0.25",
        "scheduler: {'name': 'ddim'}",
    ):
        assert expected in text
    assert "-777" not in text  # single seeds are not shown


def test_under_a_table_stands_what_is_not_ranked_and_the_rest_is_folded(page: Page) -> None:
    table = page.text.index("</table>")
    folded = page.text.index('<details class="notes', table)
    first_plot = page.text.index('<div class="plots">', table)
    shown, hidden = page.text[table:folded], page.text[folded:first_plot]
    for words in ("Values ± one standard error", "Not told apart from the best value", "Own references, so"):
        assert words in shown
    for words in ("Protocol", "Intervals", 'id="note-1-1"'):
        assert words in hidden
        assert words not in shown
    assert "fvd|v1|" not in shown + hidden
    assert "fvd|v1|" in page.text[page.text.index('id="provenance"') :]


def test_plots_of_cost_are_folded(page: Page) -> None:
    costs = page.text.index('<details class="costs">')
    assert costs < page.text.index("<h3>Sampling (s/clip)</h3>")
    assert page.text.index("<h3>FVD ↓</h3>") < costs


def test_signatures_that_differ_name_their_methods() -> None:
    rows = [
        {"metric": "fvd", "label": "FVD", "dataset": "d", "split": "", "method": method, "signature": of}
        for method, of in (("a", "x"), ("b", "y"), ("c", "x"))
    ]
    assert _signatures(rows) == [("FVD", "d", "a, c", "x"), ("FVD", "d", "b", "y")]
    assert _signatures(rows[:1]) == [("FVD", "d", "all", "x")]


def test_the_page_marks_what_the_markdown_marks(make_tables: Callable[..., Path], tmp_path: Path) -> None:
    folder = make_tables(videos=False)
    page = write_html_report(folder, tmp_path / "report.html").read_text(encoding="utf-8")
    markdown = markdown_report(folder)
    marked = re.findall(r"\*\*(.*?)\*\*", markdown)
    assert (
        marked
        == re.findall(r'<td class="best">(.*?)</td>', page)
        == [
            "276.6 ± 5.3",
            "255.1 ± 5.3",
            "0.3165 ± 0.0012",
        ]
    )
    assert page.count('class="row best"') == 3  # in the dot plot
    for text in (markdown, page):
        assert "FVD: zs2 and text2video-zero (detectable: 18)" in text


def test_the_same_tables_give_the_same_bytes(make_tables: Callable[..., Path], tmp_path: Path) -> None:
    tables = make_tables()
    first = write_html_report(tables, tmp_path / "a.html").read_bytes()
    assert write_html_report(tables, tmp_path / "b.html").read_bytes() == first
    assert str(tmp_path).encode() not in first


def test_clips_beyond_the_budget_are_named(make_tables: Callable[..., Path]) -> None:
    page = Page(html_report(make_tables(), max_embedded_mib=0.0))
    assert "video" not in page.tags
    assert any(re.match(r"not embedded \(0\.\d MiB\): clips/zs2-0\.mp4", words) for words in page.words)


def test_a_run_without_results_gives_a_report(make_tables: Callable[..., Path], tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = []
    out = write_html_report(make_tables(rows, prompts=(), videos=False), tmp_path / "report.html")
    assert "No results yet." in out.read_text(encoding="utf-8")


def test_missing_tables_are_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no table"):
        write_html_report(tmp_path, tmp_path / "report.html")


def test_each_protocol_of_a_run_stands_beside_its_own_digest() -> None:
    from reelbench.reports.pages.html_report import _protocols

    assert _protocols("clean, seer", "a" * 64 + ", " + "b" * 64) == f"clean ({'a' * 12}), seer ({'b' * 12})"
    assert _protocols("clean", "c" * 64) == f"clean ({'c' * 12})"
