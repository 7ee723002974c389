"""Everything a person looks at, from a run's tables: Markdown, HTML, MLflow."""

from __future__ import annotations

from pathlib import Path

from ..core.atomic_write import write_text_atomic
from ..core.store import record_results
from .mlflow.log import log_run
from .mlflow.store import default_tracking_uri
from .pages.html_report import write_html_report
from .pages.markdown_report import markdown_report


def publish(run_dir: Path, experiment: str, output: Path) -> str:
    """Write the report of a run and log it to MLflow; the id of MLflow's run. Doing it again changes nothing.

    Args:
        run_dir: the run's folder, with `tables/` in it.
        output: where MLflow's database lies.
    """
    tables = run_dir / "tables"
    write_text_atomic(run_dir / "comparison.md", markdown_report(tables))
    html = write_html_report(tables, run_dir / "report.html")
    record_results(run_dir, "comparison.md", "report.html")
    return log_run(tables, default_tracking_uri(output), experiment, html)
