"""Set metrics are ranked without their estimated bias: the table says so, and prints what it ranks by where
the values beside the marks would say otherwise."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from reelbench.reports.papers.build import build_table
from reelbench.reports.papers.formats.write import FORMATS, Style, written
from reelbench.reports.papers.paper_table import PaperTable

from .conftest import MakeRun
from .test_build import cells, spec_of

SAID = "FVD: ranked by the value without its estimated bias"
Make = Callable[[dict[str, tuple[float, float | None]]], PaperTable]


@pytest.fixture
def table_of(
    make_run: MakeRun,
    summary_row: Callable[..., dict[str, Any]],
    comparison_row: Callable[..., dict[str, Any]],
) -> Make:
    """A table of methods with (value, value without bias), told apart where these differ by more than 8."""

    def make(values: dict[str, tuple[float, float | None]]) -> PaperTable:
        rows = [
            summary_row(method=method, method_name=method, value=value, standard_error=5.0,
                        bias_corrected=corrected, interval="group jackknife")
            for method, (value, corrected) in values.items()
        ]  # fmt: skip
        tests = []
        for a, b in itertools.combinations(values, 2):
            corrected = (values[a][1] or values[a][0]) - (values[b][1] or values[b][0])
            tests.append(
                comparison_row(
                    method_a=a,
                    method_b=b,
                    difference=values[a][0] - values[b][0],
                    low=corrected - 0.5,
                    high=corrected + 0.5,
                    p_holm=0.004 if abs(corrected) > 8 else 0.3,
                )
            )
        return build_table(spec_of({"metric": "fvd", "digits": 0}), [make_run(rows, tests)])

    return make


def test_values_that_stand_in_the_order_of_their_ranks_need_no_second_number(table_of: Make) -> None:
    table = table_of({"a": (100.0, 90.0), "b": (120.0, 110.0), "c": (140.0, 130.0)})
    assert cells(table.parts[0]) == {"a": ["100 best"], "b": ["120 second **"], "c": ["140 **"]}
    assert f"{SAID}." in table.legend
    assert {cell.corrected for row in table.parts[0].rows for cell in row.cells} == {""}


def test_where_the_order_is_another_one_what_decides_is_printed(table_of: Make) -> None:
    table = table_of({"a": (130.0, 85.0), "b": (100.0, 80.0), "c": (120.0, 110.0)})
    # a is not told from b by its values without bias, and c is, though it is printed with less than a.
    assert [row.cells[0].rank for row in table.parts[0].rows] == ["best", "best", ""]
    assert [row.cells[0].corrected for row in table.parts[0].rows] == ["85", "80", "110"]
    assert f"{SAID} (in parentheses)." in table.legend
    for format_ in ("md", "latex", "html"):
        assert "(85)" in str(written(table, format_))
        for notes in ("full", "short"):
            text = str(written(table, format_, Style(notes=notes))).replace("\\", "")
            assert re.search(r"FVD:? ranked .*without (its )?estimated bias \(in parentheses\)", text)
    cell = json.loads(str(written(table, "json")))["parts"][0]["groups"][0]["rows"][0]["cells"][0]
    assert (cell["text"], cell["corrected"], cell["values"][0]["bias_corrected"]) == ("130", "85", 85.0)
    assert "bias_corrected" in str(written(table, "csv")).splitlines()[0]
    assert set(FORMATS) == {"md", "latex", "html", "json", "csv", "parquet"}


def test_where_one_has_no_correction_all_are_ranked_as_they_are_printed(table_of: Make) -> None:
    table = table_of({"a": (100.0, None), "b": (130.0, 125.0), "c": (140.0, 135.0)})
    assert [row.cells[0].rank for row in table.parts[0].rows] == ["best", "second", ""]
    assert SAID not in table.legend
