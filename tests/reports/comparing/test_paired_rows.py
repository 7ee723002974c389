"""Methods of different runs, told apart from their scores."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import ttest_rel

from reelbench.reports.comparing.paired_rows import Scored, paired_rows
from reelbench.reports.tables.lead import PairedTests

NUM_CLIPS = 16


def scored(name: str, shift: float = 0.0, **changes: Any) -> Scored:
    """Scores that two systems share but for noise of their own and a shift."""
    shared = np.random.default_rng(0).normal(0.8, 0.1, NUM_CLIPS)
    own = np.random.default_rng(len(name)).normal(shift, 0.01, NUM_CLIPS)
    base = {"metric": "clipsim", "protocol": "clean", "protocol_digest": "d", "dataset": "words"}
    base |= {"split": "test", "conditioning": "text", "seed": 0}
    rows = [
        base | {"sample_id": f"s{n}", "source": f"v{n}", "value": float(shared[n] + own[n])} | changes
        for n in range(NUM_CLIPS)
    ]
    return Scored(name, rows)


def test_a_planted_difference_has_the_t_interval_of_paired_differences_and_the_right_sign() -> None:
    a, b = scored("a", 0.05), scored("bb")
    (row,) = paired_rows([a, b])
    values = [[r["value"] for r in system.scores] for system in (a, b)]
    textbook = ttest_rel(*values).confidence_interval(0.95)
    assert (row.low, row.high) == pytest.approx((textbook.low, textbook.high))
    assert row.difference > 0
    assert row.p_holm < 0.01
    assert (row.method_a, row.method_b, row.num_pairs) == ("a", "bb", NUM_CLIPS)
    found = PairedTests([vars(row)]).find("clipsim", "bb", "a")
    assert found is not None
    assert found[0] == -row.difference


def test_holm_is_over_all_pairs_of_a_data_set_and_protocol() -> None:
    rows = paired_rows([scored("a", 0.05), scored("bb"), scored("ccc", 0.002)])
    assert len(rows) == 3
    assert all(row.family.startswith("3 comparisons") for row in rows)
    assert all(row.p_holm >= row.p_value for row in rows)
    assert max(row.p_holm / row.p_value for row in rows) == 3


@pytest.mark.parametrize("change", [{"protocol_digest": "e"}, {"conditioning": "text + first frames"},
                                    {"split": "val"}, {"dataset": "other"}])  # fmt: skip
def test_what_was_measured_otherwise_gets_no_row(change: dict[str, str]) -> None:
    assert paired_rows([scored("a", 0.05), scored("bb", **change)]) == []


def test_scores_that_are_missing_or_no_number_are_left_out_and_counted() -> None:
    b = scored("bb")
    rows = [dict(row) for row in b.scores]
    rows[0]["value"], rows[1]["value"] = None, float("nan")
    rows[2]["source"] = "another video"
    (row,) = paired_rows([scored("a"), Scored("bb", rows[:-1])])
    assert row.num_pairs == NUM_CLIPS - 4
    assert "1 scores left out" in row.notes
    assert f"on the {NUM_CLIPS - 4} pairs that both have" in row.notes


def test_names_must_differ() -> None:
    with pytest.raises(ValueError, match="a name of its own"):
        paired_rows([scored("a"), scored("a")])
