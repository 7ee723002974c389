"""What `evaluate` gives to Python users, and the page that says what the tables hold."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args, get_type_hints

import numpy as np
import pandas as pd
import pytest

import reelbench
from reelbench.core.errors import StoreError, UnknownNameError
from reelbench.core.tables import Tables
from reelbench.datasets.video import write_lossless
from reelbench.evaluation import Evaluation, evaluate
from reelbench.reports.tables.frames import facts_of

ROOT = Path(reelbench.__file__).resolve().parent
PAGE = (ROOT / "docs" / "tables.md").read_text(encoding="utf-8")
RECORDED = ROOT / "docs" / "benchmark"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("result")
    for number, system in enumerate(("a<b>", "=two", "real")):
        (root / system).mkdir()
        for index in range(3):
            frames = np.random.default_rng(10 * number + index).integers(
                0, 256, (16, 16, 16, 3), dtype=np.uint8
            )
            write_lossless(root / system / f"{index}.mkv", frames, 8.0)
    return root


@pytest.fixture(scope="module")
def result(folder: Path) -> Evaluation:
    """Two systems under one protocol, with metrics that need no weights."""
    return evaluate(
        [folder / "=two", folder / "a<b>"],
        reference=folder / "real",
        metrics=["psnr", "temporal_flickering"],
        output=folder / "evaluations",
        workers=1,
        device="cpu",
    )


def test_the_summary_has_one_row_a_number(result: Evaluation) -> None:
    pivoted = result.summary.pivot(index="method", columns="metric", values="value")  # doubles would raise
    assert pivoted.shape == (2, 2)
    assert result.summary["seed"].isna().all()
    seeds = reelbench.read_summary(result.folder, per_seed=True)
    assert list(seeds["seed"].unique()) == [0]
    assert len(reelbench.read_frame(result.folder, "summary")) == len(seeds) + len(result.summary)


def test_the_table_has_systems_in_their_order_and_metrics(result: Evaluation) -> None:
    table = result.table()
    assert list(table.index) == ["=two", "a<b>"]
    assert list(table.columns) == ["psnr", "temporal_flickering"]
    assert table.loc["=two", "psnr"] == result["psnr"]["=two"]
    texts = result.table(formatted=True)
    assert re.fullmatch(r"\d+\.\d+ ± \d+\.\d+", texts.loc["a<b>", "psnr"])


def test_a_metric_is_a_number_or_a_series_by_what_there_is_several_of(
    result: Evaluation, folder: Path
) -> None:
    assert isinstance(result["psnr"], pd.Series)
    assert set(result["psnr"].index) == {"=two", "a<b>"}
    single = evaluate(
        folder / "a<b>", metrics="temporal_flickering", output=folder / "single", workers=1, device="cpu"
    )
    assert single["temporal_flickering"] == result["temporal_flickering"]["a<b>"]
    both = evaluate(
        folder / "a<b>",
        reference=folder / "real",
        metrics="psnr",
        protocol=["clean", "predicted"],
        output=folder / "both",
        workers=1,
        device="cpu",
    )
    assert list(both["psnr"].index) == ["clean", "predicted"]
    assert both.table().columns.names == ["protocol", "metric"]


def test_an_unknown_metric_is_answered_with_the_nearest_one(result: Evaluation) -> None:
    with pytest.raises(KeyError, match="did you mean 'psnr'"):
        result["psnrr"]
    with pytest.raises(UnknownNameError, match="known: psnr, temporal_flickering"):
        result["x"]


def test_a_notebook_shows_the_table_with_foreign_names_as_text(result: Evaluation) -> None:
    shown = Evaluation(result.folder, ("<script>alert(1)</script>",), 0)._repr_html_()
    assert "a&lt;b&gt;" in shown
    assert "<script" not in shown
    assert "a<b>" not in shown
    assert "color:inherit" in shown  # neither light nor dark
    assert not re.search(r"#[0-9a-f]{3,6}\b|rgb\(", shown)
    assert "PSNR ↑" in shown
    assert "N: 3 clips" in shown


def test_a_notebook_shows_protocol_and_warnings_below_the_table(result: Evaluation) -> None:
    summary = result.summary.assign(label="FVD", notes="N = 3: below 400 fvd is unreliable")
    (protocol,) = set(summary["protocol"])
    shown = facts_of(summary)
    assert shown == [f"Protocol: {protocol}. N: 3 clips.", "FVD: N = 3: below 400 fvd is unreliable"]


def test_recorded_tables_pivot_over_data_sets() -> None:
    table = reelbench.read_summary(RECORDED).pivot(
        index="method", columns=["dataset", "metric"], values="value"
    )
    assert table.loc["zs2", ("msrvtt", "fvd")] > 0


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no results"):
        reelbench.read_summary(tmp_path)
    with pytest.raises(StoreError, match=r"no table .clips. in .*: it has runs, scores"):
        reelbench.read_frame(RECORDED, "clips")
    with pytest.raises(UnknownNameError, match="did you mean 'scores'"):
        reelbench.read_frame(tmp_path, "score")


def columns_of(text: str) -> dict[str, tuple[str, str]]:
    """Type and meaning of the columns that a part of the page lists."""
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| [^|]* \| ([^|]+) \|$", text, re.MULTILINE)
    return {name: (kind, meaning) for name, kind, meaning in rows}


PARTS = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
ROWS = {name: get_args(rows)[0] for name, rows in get_type_hints(Tables).items()}


def test_the_page_has_every_table() -> None:
    assert list(PARTS) == list(ROWS)


@pytest.mark.parametrize("name", ROWS)
def test_the_page_has_every_column_with_its_type(name: str) -> None:
    words = {str: "text", float: "float", int: "integer", bool: "boolean"}
    fields = {
        field: words[(get_args(hint) or (hint,))[0]] for field, hint in get_type_hints(ROWS[name]).items()
    }
    assert {column: kind for column, (kind, _) in columns_of(PARTS[name]).items()} == fields


@pytest.mark.parametrize("name", ["", *ROWS])
@pytest.mark.parametrize("is_recorded", [False, True])
def test_the_examples_of_the_page_run(name: str, is_recorded: bool, result: Evaluation) -> None:
    """Each is run with what the first one on the page imports, on the tables of a real evaluation, and on
    the recorded ones where these have the table."""
    place = RECORDED if is_recorded else result.folder
    if is_recorded and name and not (RECORDED / f"{name}.parquet").is_file():
        return
    text = PARTS[name] if name else PAGE.partition("## ")[0]
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    code = code.replace('"out/demo"', repr(str(place)))
    shown: list[object] = []
    exec(code, {"reelbench": reelbench, "place": place, "print": lambda *values: shown.extend(values)})
    assert shown
