"""The tables of a run as one Markdown text: the comparison, then the edits by kind."""

from __future__ import annotations

from pathlib import Path

from .comparison_table import load_comparison_table
from .edit_table import load_edit_tables
from .edit_text import edit_markdown
from .table_text import to_markdown


def markdown_report(tables_folder: Path) -> str:
    """The tables of the run whose Parquet tables lie in `tables_folder`; what `comparison.md` holds.

    Figures as published follow the edit tables, under headings of their own; a run that edits nothing has the
    comparison alone.

    Raises:
        StoreError: a table is missing or cannot be read.
    """
    parts = [
        to_markdown(load_comparison_table(tables_folder)),
        edit_markdown(load_edit_tables(tables_folder)),
    ]
    return "\n".join(part for part in parts if part)
