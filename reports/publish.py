"""Everything a person looks at, from a run's tables: Markdown, HTML, MLflow."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path

from ..core.atomic_write import write_text_atomic
from ..core.errors import ReelbenchError
from ..core.redaction import masked, without_machine
from ..core.run_file import RunFile
from ..core.run_folders import share_equal_files
from ..core.store import record_results
from ..core.waiting import say
from .folder.build import FILES, write_report_folder
from .mlflow.logging_process import Logged, log_within_limits
from .mlflow.place import tracking_of
from .pages.html_report import write_html_report
from .pages.markdown_report import markdown_report

_LINK_MARK = "<!-- MLflow -->"


def publish(folder: Path, run: RunFile, prefect_page: str | None = None) -> Logged:
    """Write the report of a run and log it to MLflow. Doing it again changes nothing.

    The tables are the record, and all this is a view of them: what cannot be made is told in a line on
    standard error with the reason, and the rest is made all the same.

    Args:
        folder: of the results, with `tables/` in it (`RunResult.folder`).
        prefect_page: the address of the flow run, for MLflow to link to.

    Returns:
        what came of logging; where MLflow cannot be reached, the reports are there all the same.
    """
    tables, html = folder / "tables", folder / "report.html"

    def write_markdown() -> None:
        write_text_atomic(folder / "comparison.md", without_machine(markdown_report(tables)))

    views: tuple[tuple[str, Callable[[], object], Sequence[str]], ...] = (
        ("comparison.md", write_markdown, ("comparison.md",)),
        ("report.html", lambda: write_html_report(tables, html), ("report.html",)),
        ("report/index.html", lambda: write_report_folder(tables, folder), FILES),
    )
    written = [file for name, write, files in views if _is_made(name, write) for file in files]
    record_results(folder, *written)
    tracking = tracking_of(run)
    logged = Logged()
    if tracking is not None:
        report = html if html.name in written else None
        try:
            logged = log_within_limits(tables, tracking, report, prefect_page=prefect_page)
        except Exception as error:
            logged = Logged(problem=f"MLflow has no new run: {_reason(error)}")
    if logged.page is not None and html.name in written:
        # Not before: the page is among what is logged.
        link = f'<p>MLflow: <a href="{escape(logged.page)}">{escape(logged.page)}</a></p>'
        for page in (html.name, FILES[0]):
            if page in written:
                _is_made(page, functools.partial(_replace, folder / page, _LINK_MARK, link))
        record_results(folder, *written)
    share_equal_files(folder)
    return logged


def _is_made(name: str, write: Callable[[], object]) -> bool:
    """Whether a view could be written; where not, a line says why."""
    try:
        write()
    except Exception as error:
        rest = "the tables are whole, and `reelbench report` tries again"
        say(f"warning: {name} was not written: {_reason(error)}; {rest}")
        return False
    return True


def _replace(path: Path, mark: str, text: str) -> None:
    write_text_atomic(path, path.read_text(encoding="utf-8").replace(mark, text, 1))


def _reason(error: Exception) -> str:
    """One line without secrets: what the system or we say, else the class of a defect, too."""
    if isinstance(error, OSError):
        return masked(f"{error.filename or ''}: {error.strerror or error}".removeprefix(": "))
    first = (str(error) or "no message").splitlines()[0][:300]
    return masked(first if isinstance(error, ReelbenchError) else f"{type(error).__name__}: {first}")
