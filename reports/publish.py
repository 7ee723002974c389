"""Everything a person looks at, from a run's tables: Markdown, HTML, MLflow."""

from __future__ import annotations

from html import escape
from pathlib import Path

from ..core.atomic_write import write_text_atomic
from ..core.redaction import without_machine
from ..core.run_file import RunFile
from ..core.run_folders import share_equal_files
from ..core.store import record_results
from .folder.build import FILES, write_report_folder
from .mlflow.logging_process import Logged, log_within_limits
from .mlflow.place import tracking_of
from .pages.html_report import write_html_report
from .pages.markdown_report import markdown_report

_LINK_MARK = "<!-- MLflow -->"


def publish(folder: Path, run: RunFile, prefect_page: str | None = None) -> Logged:
    """Write the report of a run and log it to MLflow. Doing it again changes nothing.

    Args:
        folder: of the results, with `tables/` in it (`RunResult.folder`).
        prefect_page: the address of the flow run, for MLflow to link to.

    Returns:
        what came of logging; where MLflow cannot be reached, the reports are there all the same.
    """
    tables = folder / "tables"
    write_text_atomic(folder / "comparison.md", without_machine(markdown_report(tables)))
    html = write_html_report(tables, folder / "report.html")
    write_report_folder(tables, folder)
    record_results(folder, "comparison.md", "report.html", *FILES)
    tracking = tracking_of(run)
    logged = (
        Logged() if tracking is None else log_within_limits(tables, tracking, html, prefect_page=prefect_page)
    )
    if logged.page is not None:
        # Not before: the page is among what is logged.
        link = f'<p>MLflow: <a href="{escape(logged.page)}">{escape(logged.page)}</a></p>'
        write_text_atomic(html, html.read_text(encoding="utf-8").replace(_LINK_MARK, link, 1))
        record_results(folder, "comparison.md", "report.html", *FILES)
    share_equal_files(folder)
    return logged
