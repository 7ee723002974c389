"""Everything a person looks at, from a run's tables: Markdown, HTML, MLflow."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..core.atomic_write import write_text_atomic
from .mlflow.log import default_tracking_uri, log_run
from .pages.html_report import write_html_report
from .pages.markdown_report import markdown_report


@dataclass(frozen=True)
class Published:
    """Where the views of a run are."""

    markdown: Path
    html: Path
    tracking_uri: str
    parent_run: str


def publish(run_dir: Path, experiment: str, output: Path, tracking_uri: str | None = None) -> Published:
    """Write the report of a run and log it to MLflow. Doing it again changes nothing.

    Args:
        run_dir: the run's folder, with `tables/` in it.
        experiment: MLflow's experiment.
        output: where MLflow's database goes when no `tracking_uri` is given.
    """
    tables = run_dir / "tables"
    markdown = run_dir / "comparison.md"
    write_text_atomic(markdown, markdown_report(tables))
    html = write_html_report(tables, run_dir / "report.html")
    uri = tracking_uri or default_tracking_uri(output)
    parent = log_run(tables, uri, experiment, report_path=html)
    return Published(markdown, html, uri, parent)
