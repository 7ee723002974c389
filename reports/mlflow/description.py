"""The descriptions of MLflow's runs and experiments, in Markdown: the table, and where to look."""

from __future__ import annotations

from ...core.markdown import escape_markdown, table_head, table_line
from ...core.redaction import without_machine
from ..pages.markdown_report import comparison_markdown
from ..tables.comparison import comparison_table
from ..tables.measurement import DASH, format_interval, format_measurement, is_value
from ..tables.run_tables import RunTables
from .names import MetricNames
from .records import Record

MAX_NOTE = 5000
"""Characters: what all versions of MLflow take of a tag."""

EXPERIMENT_NOTE = """\
the columns are named as in the table, `FVD` with its standard error `FVD_se`.

- Compare rows of the same `protocol`, `n` and `saw` only.
- In the list of all runs there is one row for each run of Reelbench; **+** opens a row for each method and
  data set.
- A run has the values of all its methods (`msrvtt/FVD/zs2`), for a look over several nights, and the paired
  differences (`difference/...`, with `p_holm/...`).
- Its artifacts hold the table, a chart with error bars for each data set, pages of clips side by side, and
  the Parquet tables that all this is made from.
"""


def parent_note(tables: RunTables, prefect_page: str | None) -> str:
    """The table, shortened until it fits, and links."""
    links = f"[The run on Prefect's page]({prefect_page})\n\n" if prefect_page else ""
    whole = without_machine(comparison_markdown(comparison_table(tables)))
    # The facts and footnotes below a table are the lines of its lists.
    lines = [line for line in whole.splitlines() if not line.startswith("- ")]
    for text in (whole, "\n".join([*lines, "", "Notes: see the artifact comparison.md."])):
        if len(links + text) <= MAX_NOTE:
            return links + text
    return f"{links}The table is in the artifact comparison.md."


def child_note(child: Record, names: MetricNames) -> str:
    """The values of a method, with their intervals."""
    lines = table_head(["Metric", "Value ± standard error", "Interval", "N"], "lrrr")
    for row in child.rows:
        value, error = row["value"], row["standard_error"]
        has_interval = is_value(value) and is_value(row["low"]) and is_value(row["high"])
        lines.append(
            table_line(
                [
                    escape_markdown(names.of_row(row)),
                    format_measurement(value, error),
                    format_interval(row["low"], row["high"], error) if has_interval else DASH,
                    str(row["n"]) if row["n"] is not None else DASH,
                ]
            )
        )
    text = "\n".join(lines) + "\n"
    if child.work_s is not None:
        text += f"\nDuration: {child.work_s:,.1f} s of tuning and sampling, as recorded with the clips.\n"
    return text if len(text) <= MAX_NOTE else "The values are in the artifact summary.json."
