"""What an evaluation came to: its folder, its tables and its notes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.tables import plain_rows, read_table

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation came to.

    Attributes:
        folder: where its tables and its report are.
        problems: what did not fit together (captions without a clip, ...) or has to be known of all numbers.
        num_failures: clips that were asked for and are not there, and clips, features and numbers that could
            not be read or made.
    """

    folder: Path
    problems: tuple[str, ...]
    num_failures: int

    @property
    def tables_dir(self) -> Path:
        """The folder of the Parquet tables."""
        return self.folder / "tables"

    @property
    def summary(self) -> pd.DataFrame:
        """One row for each system, protocol and metric: value, standard error, interval, n, coverage, ..."""
        from ..reports.tables.frames import read_summary

        return read_summary(self.folder)

    @property
    def scores(self) -> pd.DataFrame:
        """One row for each clip, protocol and clip metric."""
        return read_table(self.tables_dir, "scores").to_pandas()

    def table(self, *, formatted: bool = False) -> pd.DataFrame:
        """The table of a paper: a row for each system, a column for each metric (and for each protocol above
        them, where there are several).

        Args:
            formatted: texts with the standard error ("298.1 ± 5.3"), a dash where there is no value.
        """
        from ..reports.tables.frames import table_frame
        from ..reports.tables.run_tables import RunTables

        return table_frame(self.summary, RunTables(self.tables_dir).method_order, formatted=formatted)

    def __getitem__(self, metric: str) -> Any:
        """The value of a metric: a number; a Series by system, protocol or both, where there are several.

        Raises:
            UnknownMetricError: there is no such metric here; a `KeyError` that names the nearest one.
        """
        from ..reports.tables.frames import values_of

        return values_of(self.summary, metric)

    def _repr_html_(self) -> str:
        """What a notebook shows: the table, and what there is to know of it."""
        from ..reports.tables.frames import facts_of, frame_html, with_arrows

        return frame_html(
            with_arrows(self.table(formatted=True), self.summary), [*facts_of(self.summary), *self.problems]
        )

    def __str__(self) -> str:
        from ..reports.pages.markdown_report import comparison_markdown
        from ..reports.tables.comparison import comparison_table
        from ..reports.tables.run_tables import RunTables

        table = comparison_table(RunTables(self.tables_dir))
        return "\n".join([comparison_markdown(table), *self.problems])


def as_json_data(evaluation: Evaluation) -> dict[str, Any]:
    """The evaluation as plain data: rows of the summary (what is not a number is None), comparisons of the
    systems, problems, and the failures by cause."""
    from ..reports.pages.failures import failures_of

    folder = evaluation.tables_dir
    tables = [read_table(folder, name).to_pylist() for name in ("clips", "features", "scores")]
    return {
        "folder": str(evaluation.folder),
        "summary": plain_rows(folder, "summary"),
        "comparisons": plain_rows(folder, "comparisons"),
        "problems": list(evaluation.problems),
        "failures": [asdict(failure) for failure in failures_of(*tables)],
    }
