"""A table in any of its formats."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from ....core.atomic_write import write_output
from ....core.errors import nearest
from ...published import PublishedFigures
from ..notes import Notes, with_notes
from ..paper_table import PaperTable
from ..published_rows import shipped_figures
from ..spec import TableError
from .bibliography import WRITTEN_HERE, bibtex, merged_bibtex
from .html import table_html
from .latex import table_latex
from .markdown import table_markdown
from .tidy import table_csv, table_json, table_parquet

Format = Literal["md", "latex", "csv", "html", "json", "parquet"]
FORMATS: tuple[Format, ...] = get_args(Format)

_ENDINGS: dict[str, Format] = {
    ".md": "md",
    ".tex": "latex",
    ".csv": "csv",
    ".html": "html",
    ".htm": "html",
    ".json": "json",
    ".parquet": "parquet",
}


@dataclass(frozen=True)
class Style:
    """How a table is printed; CSV, JSON and Parquet hold everything whatever it says.

    Attributes:
        errors: standard errors beside the values.
        significance: stars beside what is not the best.
        standalone: LaTeX as a whole document.
        notes: what stands under it, see `notes.with_notes`; None: short in LaTeX, full elsewhere.
    """

    errors: bool = True
    significance: bool = True
    standalone: bool = False
    notes: Notes | None = None


def format_of(path: Path) -> Format:
    """The format that a file's ending asks for.

    Raises:
        TableError: it asks for none.
    """
    ending = path.suffix.lower()
    if ending not in _ENDINGS:
        close = nearest(ending, _ENDINGS)
        known = ", ".join(_ENDINGS)
        raise TableError(
            f"the ending of {path.name!r} is none of a table's: {known}",
            (f"did you mean {close}? " if close else "") + f"or --format with one of {', '.join(FORMATS)}",
        )
    return _ENDINGS[ending]


def bibliography(table: PaperTable, figures: PublishedFigures | None = None) -> str:
    """The sources of the table as BibTeX; "" where it cites none."""
    return bibtex(table.cited, figures or shipped_figures())


def write_bibliography(bib: Path, entries: str, *, merge: bool = False) -> None:
    """Write entries as a file of ours, or into one.

    Args:
        merge: keep what is there of other tables.

    Raises:
        TableError: somebody else's file is there.
    """
    old = _own_text(bib)
    write_output(bib, merged_bibtex(old if merge else "", entries))


def _own_text(bib: Path) -> str:
    """What a file of ours holds; "" where there is none."""
    old = bib.read_text(encoding="utf-8", errors="replace") if bib.is_file() else ""
    if old.strip() and not old.startswith(WRITTEN_HERE):
        raise TableError(
            f"{bib.name!r} is there, and not a file that `reelbench table` wrote: it is left as it is",
            "--bib FILE writes the sources elsewhere",
        )
    return old


def written(
    table: PaperTable,
    format_: Format,
    style: Style = Style(),
    figures: PublishedFigures | None = None,
) -> str | bytes:
    """The table as text; Parquet as bytes.

    Args:
        figures: published ones, where the table's sources are; None takes those that come with Reelbench.
    """
    figures = figures or shipped_figures()
    if format_ in ("md", "latex", "html"):
        notes = style.notes or ("short" if format_ == "latex" else "full")
        table = with_notes(table, notes, errors=style.errors, significance=style.significance)
    shown = {"errors": style.errors, "significance": style.significance}
    match format_:
        case "md":
            return table_markdown(table, figures, **shown)
        case "latex":
            return table_latex(table, figures, standalone=style.standalone, **shown)
        case "html":
            return table_html(table, figures, **shown)
        case "csv":
            return table_csv(table, figures)
        case "json":
            return table_json(table, figures)
        case "parquet":
            return table_parquet(table, figures)


def write_table(
    table: PaperTable,
    path: Path,
    format_: Format | None = None,
    style: Style = Style(),
    bib: Path | None = None,
    figures: PublishedFigures | None = None,
) -> tuple[Path, ...]:
    """Write the table, and beside LaTeX the sources that it cites.

    Args:
        format_: None goes by the file's ending.
        bib: where the sources go, beside those of other tables; None takes the name of a LaTeX file with
            `.bib`, and no file for others.

    Returns:
        the files that were written.

    Raises:
        TableError: the ending asks for no format, or the `.bib` that is there is not ours.
    """
    figures = figures or shipped_figures()
    format_ = format_ or format_of(path)
    data = written(table, format_, style, figures)
    entries = bibtex(table.cited, figures)
    is_named = bib is not None
    if bib is None and format_ == "latex" and entries:
        bib = path.with_suffix(".bib")
    if bib is not None:
        _own_text(bib)  # refused before anything is written
    write_output(path, data)
    if bib is None:
        return (path,)
    write_bibliography(bib, entries, merge=is_named)
    return path, bib
