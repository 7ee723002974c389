"""The tables of a run as one Markdown text: the comparison, then those of its tasks."""

from __future__ import annotations

from pathlib import Path

from .tables.ablation import load_ablation_tables
from .tables.comparison import load_comparison_table
from .tables.editing import load_edit_tables
from .tables.editing_text import edit_markdown
from .tables.prediction import load_prediction_tables
from .tables.prediction_text import prediction_markdown
from .tables.text import to_markdown


def markdown_report(tables_folder: Path) -> str:
    """The tables of the run whose Parquet tables lie in `tables_folder`; what `comparison.md` holds.

    Raises:
        StoreError: a table is missing or cannot be read.
    """
    parts = [to_markdown(load_comparison_table(tables_folder)), task_markdown(tables_folder)]
    return "\n".join(part for part in parts if part)


def task_markdown(tables_folder: Path) -> str:
    """The tables of editing by kind and of text-video prediction, where a run has them; "" otherwise.

    Figures as published follow the tables of their task, under headings of their own.

    Raises:
        StoreError: a table is missing or cannot be read.
    """
    parts = [
        edit_markdown(load_edit_tables(tables_folder)),
        prediction_markdown(load_prediction_tables(tables_folder), load_ablation_tables(tables_folder)),
    ]
    return "\n".join(part for part in parts if part)
