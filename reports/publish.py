"""Everything a person looks at, from a run's tables: Markdown, HTML, MLflow."""

from __future__ import annotations

from pathlib import Path

from ..core.atomic_write import write_text_atomic
from ..core.run_folders import share_equal_files
from ..core.store import record_results
from .mlflow.log import log_run
from .mlflow.store import default_tracking_uri
from .pages.html_report import write_html_report
from .pages.markdown_report import markdown_report


def publish(folder: Path, experiment: str, output: Path) -> str:
    """Write the report of a run and log it to MLflow; the id of MLflow's run. Doing it again changes nothing.

    Args:
        folder: of the results, with `tables/` in it (`RunResult.folder`).
        output: where MLflow's database lies.
    """
    tables = folder / "tables"
    write_text_atomic(folder / "comparison.md", markdown_report(tables))
    html = write_html_report(tables, folder / "report.html")
    record_results(folder, "comparison.md", "report.html")
    share_equal_files(folder)
    return log_run(tables, default_tracking_uri(output), experiment, html)
