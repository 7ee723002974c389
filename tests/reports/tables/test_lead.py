"""What may be called the best: what the paired test does not tell from the best value, or nothing."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import reelbench.reports
from reelbench.reports.tables.lead import (
    NOT_TOLD_APART,
    PairedTests,
    counted_lead,
    lead_facts,
    measured_lead,
)
from reelbench.reports.tables.method_table import Column, Group, Lead, MethodRow

Make = Callable[..., dict[str, Any]]


@pytest.fixture
def fvd(comparison_row: Make) -> Callable[..., Lead]:
    """The lead of FVD values, given (a, b, difference a - b, p_holm) of each test."""

    def lead(values: dict[str, float], *tests: tuple[str, str, float, float | None], **more: Any) -> Lead:
        rows = [
            comparison_row(method_a=a, method_b=b, difference=difference, p_holm=p, **more)
            for a, b, difference, p in tests
        ]
        return measured_lead("fvd", False, values, PairedTests(rows))

    return lead


def test_the_best_is_better_than_each_other_method(fvd: Callable[..., Lead]) -> None:
    values = {"a": 30.0, "b": 20.0, "c": 40.0}
    assert fvd(values, ("a", "b", 10.0, 0.05), ("b", "c", -20.0, 0.001)) == Lead(marked=("b",))


def test_the_direction_is_the_metrics(comparison_row: Make) -> None:
    tests = PairedTests([comparison_row(method_a="a", method_b="b", difference=1.0, p_holm=0.01)])
    assert measured_lead("fvd", True, {"a": 2.0, "b": 1.0}, tests).marked == ("a",)
    assert measured_lead("fvd", False, {"a": 2.0, "b": 1.0}, tests).marked == ("b",)


def test_values_that_are_not_told_apart_from_the_best_are_named_and_share_the_mark(
    fvd: Callable[..., Lead],
) -> None:
    tests = ("zs2", "simda", 5.8, 0.051), ("simda", "c", -97.0, 0.01)
    assert fvd({"zs2": 28.0, "simda": 22.2, "c": 119.0}, *tests) == Lead(
        marked=("simda", "zs2"), shared=("simda", "zs2"), detectable=18.0
    )
    alone = fvd({"zs2": 28.0, "simda": 22.2}, tests[0])
    assert alone == Lead(shared=("simda", "zs2"), detectable=18.0)  # all marked would say nothing


def test_a_value_farther_away_may_be_the_one_that_is_not_told_apart(fvd: Callable[..., Lead]) -> None:
    """The third is farther away and less sure: its clips differ from the leader's less steadily."""
    found = fvd({"a": 1.0, "b": 2.0, "c": 3.0}, ("a", "b", -1.0, 0.001), ("a", "c", -2.0, 0.4))
    assert found == Lead(marked=("a", "c"), shared=("a", "c"), detectable=18.0)


def test_a_difference_that_turns_with_its_bias_is_none(fvd: Callable[..., Lead]) -> None:
    values = {"a": 1.0, "b": 2.0, "c": 9.0}
    tests = ("a", "b", -1.0, 0.001), ("a", "c", -8.0, 0.001)
    assert fvd(values, *tests).marked == ("a",)
    assert fvd(values, *tests, low=-0.5, high=1.5).shared == ("a", "b", "c")
    assert fvd(values, *tests, low=-0.5, high=1.5, level="clip").marked == ("a",)


def test_a_difference_in_the_other_direction_is_no_lead(fvd: Callable[..., Lead]) -> None:
    """The values are of all clips, the test is of those that both methods have."""
    assert fvd({"a": 1.0, "b": 2.0}, ("a", "b", 3.0, 0.001)).marked == ()


def test_equal_values_share_the_lead_whatever_is_tested(fvd: Callable[..., Lead]) -> None:
    assert fvd({"a": 1.0, "b": 1.0, "c": 2.0}, ("a", "c", -1.0, 0.01)) == Lead(
        marked=("a", "b"), shared=("a", "b")
    )
    assert fvd({"a": 1.0, "b": 1.0}, ("a", "b", -1.0, 0.01)).marked == ()


@pytest.mark.parametrize("p", [None, math.nan])
def test_what_no_test_compares_is_named_apart(fvd: Callable[..., Lead], p: float | None) -> None:
    assert fvd({"a": 1.0, "b": 2.0}, ("a", "b", -1.0, p)) == Lead(untested=("a", "b"))
    both = fvd({"a": 1.0, "b": 2.0, "c": 1.5}, ("a", "b", -1.0, p), ("c", "a", 0.5, 0.2), min_detectable=None)
    assert both == Lead(shared=("a", "c"), can_tell=False, untested=("a", "b"))


def test_one_method_leads_nobody(fvd: Callable[..., Lead]) -> None:
    assert fvd({"a": 1.0}) == Lead() == fvd({}) == counted_lead({"a": 1}, {"a": "1"})


def group(conditioning: str, methods: tuple[str, ...], *leads: Lead) -> Group:
    return Group(conditioning, tuple(MethodRow(method, (), "", "") for method in methods), leads)


def column(metric: str, label: str, references: str = "") -> Column:
    return Column(metric, label, label, False, "set", references)


def test_facts_name_columns_methods_and_what_could_have_been_seen() -> None:
    text = group("text", ("a", "b", "c"), Lead(marked=("a",)), Lead(shared=("b", "c"), detectable=118.4))
    frames = group(
        "frames", tuple("defg"), Lead(shared=tuple("gfed"), can_tell=False), Lead(untested=("d", "e", "f"))
    )
    columns = [column("fvd", "FVD"), column("kvd", "KVD")]
    assert lead_facts(columns, [text, frames]) == [
        (
            "Not told apart from the best value (paired test, Holm, 5%)",
            "FVD: all 4 that saw frames (too few sources for any difference to be told); "
            "KVD: b and c (detectable: 118)",
        ),
        ("No paired test, so nothing marked", "KVD: d, e and f"),
    ]
    assert lead_facts(columns[:1], [text]) == []


def test_facts_name_what_is_not_ranked_and_why() -> None:
    text = group(
        "text", ("a", "b"), Lead(too_few=400), Lead(is_own=True), Lead(too_few=800, shared=("a", "b"))
    )
    columns = [
        column("kvd", "KVD"),
        column("fvd", "FVD (own references)", "own"),
        column("fvd_others", "FVD (others' references)", "others"),
    ]
    facts = dict(lead_facts(columns, [text]))
    assert "compare methods by FVD (others' references)" in facts["Own references, so not ranked"]
    assert facts["Too few clips to mark anything"] == (
        "KVD below N = 400, FVD (others' references) below N = 800"
    )
    assert facts[NOT_TOLD_APART] == "FVD (others' references): a and b"


def test_no_report_imports_a_framework() -> None:
    root = Path(reelbench.reports.__file__).parents[1]
    files = (root / "reports").rglob("*.py")
    modules = [
        ".".join(("reelbench", *path.relative_to(root).with_suffix("").parts))
        for path in files
        if path.parent.name != "mlflow" or path.stem in ("log", "records", "database")
    ]
    code = (
        f"import importlib, sys\nfor name in {modules}: importlib.import_module(name)\n"
        "print(sorted({'torch', 'prefect', 'ray', 'mlflow', 'diffusers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
