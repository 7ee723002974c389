"""Markdown tables: what no text can break."""

from __future__ import annotations

import pytest

from reelbench.core.markdown import aligned_table, escape_markdown, plain_line, table_head


@pytest.mark.parametrize("text", ["FVD [1, 2] s|n:6", "<a> & *b* \\ `c`", "&lt; &amp; #_~"])
def test_what_is_escaped_reads_as_it_was(text: str) -> None:
    import html
    import re

    read = html.unescape(re.sub(r"\\([\\`*_\[\]<>|#~])", r"\1", escape_markdown(text)))
    assert read == text == plain_line(text)


def test_text_stays_on_its_line() -> None:
    assert plain_line(" a\n b ") == "a b"
    assert escape_markdown("a\n# b") == "a \\# b"


def test_the_last_alignment_holds_for_the_rest() -> None:
    assert table_head(["a", "b", "c"], "lr")[1] == "| --- | ---: | ---: |"
    assert table_head(["a"], "lr")[1] == "| --- |"


def test_columns_line_up_as_plain_text() -> None:
    assert aligned_table([["a", "b"], ["long", "c"]]) == [
        "| a    | b |",
        "|------|---|",
        "| long | c |",
    ]
