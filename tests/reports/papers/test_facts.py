"""What a table says of its values: which data they are of, and which networks measured them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from reelbench.core.errors import StoreError
from reelbench.reports.papers.build import build_table
from reelbench.reports.papers.spec import TableError, load_spec

from .conftest import MakeRun
from .test_build import facts, spec_of
from .test_shipped_tables import BENCHMARK

MakeRow = Callable[..., dict[str, Any]]


def test_a_data_set_that_stands_for_another_is_named(make_run: MakeRun, summary_row: MakeRow) -> None:
    run = make_run([summary_row(dataset="videos")], datasets={"videos": "webvid"})
    for dataset, said in (
        ("webvid", "videos (webvid, test)"),
        ("msrvtt", "videos (webvid, test), in place of msrvtt"),
    ):
        table = build_table(spec_of({"metric": "fvd"}, dataset=dataset), [run], dataset="videos")
        assert facts(table)["Data"] == said
        assert f"Data: {said}." in [text for _, text in table.short_notes]


def test_values_of_the_embedded_world_are_not_taken_for_a_papers() -> None:
    table = build_table(load_spec("msrvtt"), [BENCHMARK])
    said = facts(table)["Measured by"]
    assert "(sprites/i3d)" in said
    assert "(sprites/clip)" in said
    assert "on other scales than the papers'" in said
    assert any("embedded world" in text for _, text in table.short_notes)


def test_other_networks_are_named_by_their_digest(make_run: MakeRun, summary_row: MakeRow) -> None:
    run = make_run(
        [summary_row(signature="fvd.1|n:4|i3d:0123abcd|protocol:clean.2#f57ed2ba|reelbench:0.1.0")]
    )
    assert facts(build_table(spec_of({"metric": "fvd"}), [run]))["Measured by"] == "i3d 0123abcd"


def test_one_protocol_under_two_names_is_one_and_every_difference_is_named(
    make_run: MakeRun, summary_row: MakeRow
) -> None:
    one = make_run([summary_row(protocol="clean")], name="one")
    two = make_run([summary_row(protocol="simda")], name="two")
    assert build_table(spec_of({"metric": "fvd"}), [one, two])
    three = make_run([summary_row(protocol="simda", n=8, n_reference=8)], name="three")
    with pytest.raises(TableError) as caught:
        build_table(spec_of({"metric": "fvd"}), [one, three])
    assert "the protocol is" not in caught.value.message
    assert "N is 16 in 'one' and 8 in 'three'" in caught.value.message
    assert "reference clips are 16 in 'one' and 8 in 'three'" in caught.value.message


def test_a_damaged_table_is_not_taken_for_a_missing_one(make_run: MakeRun, summary_row: MakeRow) -> None:
    run = make_run([summary_row()])
    (run.tables / "runs.parquet").write_bytes(b"")
    with pytest.raises(StoreError):
        build_table(spec_of({"metric": "fvd"}), [run])
    (run.tables / "runs.parquet").unlink()
    assert build_table(spec_of({"metric": "fvd"}), [run])
