"""The tables that come with Reelbench: each renders, and together they show every published figure."""

from __future__ import annotations

import importlib.util
import json
from functools import cache
from pathlib import Path

import pytest

from reelbench.core import registry
from reelbench.core.run_folders import Results
from reelbench.reports.papers.build import build_table
from reelbench.reports.papers.filled_from import Source
from reelbench.reports.papers.formats.markdown import table_markdown
from reelbench.reports.papers.numbers import as_published
from reelbench.reports.papers.paper_table import PaperTable
from reelbench.reports.papers.spec import load_spec, shipped_tables
from reelbench.reports.published import PublishedFigures, load_published
from reelbench.reports.tables.run_tables import RunTables, flat_settings

ROOT = Path(__file__).resolve().parents[3]
BENCHMARK = Results(ROOT / "docs" / "benchmark", ROOT / "docs" / "benchmark")
ON_THE_BENCHMARK = ("msrvtt", "speed", "clip-score-by-base", "prediction", "ablation-fca")


@cache
def figures() -> PublishedFigures:
    return load_published()


@cache
def unmeasured(name: str) -> PaperTable:
    return build_table(load_spec(name), figures=figures())


@pytest.mark.parametrize("name", shipped_tables())
def test_a_table_renders_without_a_run(name: str) -> None:
    text = table_markdown(unmeasured(name), figures())
    assert text.startswith("### ")
    assert "Nothing measured" in text


@pytest.mark.parametrize("name", ON_THE_BENCHMARK)
def test_a_table_of_the_recorded_benchmark(name: str) -> None:
    table = build_table(load_spec(name), [BENCHMARK], figures=figures())
    measured = [row for part in table.parts if not part.is_published for row in part.rows]
    assert measured
    assert all(not cell.figures for row in measured for cell in row.cells)
    for part in table.parts:
        if part.is_published:
            assert all(not cell.rank and not cell.stars for row in part.rows for cell in row.cells)
    assert "as published, not measured here, and not ranked" in table_markdown(table, figures())


def test_a_base_model_is_what_the_run_file_names() -> None:
    source = Source(BENCHMARK)
    methods = [{"name": "zs2"}, {"name": "zs2", "label": "b", "config": {"weights": "hub/b"}}]
    run_file = json.dumps({"methods": methods, "weights": {"pipeline": "sprites/t2i"}})
    source.tables = RunTables(runs=[{"run_file": run_file}])
    assert source.base_models == {"zs2": "sprites/t2i", "b": "hub/b"}
    source = Source(BENCHMARK)
    source.tables = RunTables(runs=[{"run_file": json.dumps({"methods": methods[:1]})}])
    assert source.base_models == {"zs2": "–"}, "a record without places does not invent one"


@pytest.mark.parametrize("name", [name for name in shipped_tables() if load_spec(name).settings])
def test_the_settings_of_an_ablation_are_those_of_its_methods(name: str) -> None:
    spec = load_spec(name)
    for method in (method for rows in spec.rows for method in rows.methods):
        config = registry.get("methods", method).Config().model_dump(mode="json")
        # What a trained file is made like is recorded with it, under `structure`.
        paths = {setting.path.replace("structure.", "untrained.") for setting in spec.settings}
        assert paths <= set(flat_settings(config))


def test_every_published_figure_is_shown_by_a_table() -> None:
    shown = {
        (name, row.label, figure.text)
        for name in shipped_tables()
        for part in unmeasured(name).parts
        for row in part.rows
        for cell in row.cells
        for figure in cell.figures
    }
    for benchmark in figures().benchmarks:
        places = [
            (name, column)
            for name in shipped_tables()
            for block in load_spec(name).published
            if benchmark.benchmark in block.benchmarks and not block.methods
            for column in load_spec(name).all_columns
        ]
        assert places, f"{benchmark.benchmark} is in no table"
        for figure in benchmark.figures:
            wanted = {
                (name, figure.method, as_published(figure.printed, figure.scale, column.scale))
                for name, column in places
                if (column.published or column.label) == figure.metric
            }
            assert wanted & shown, (
                f"{figure.metric} of {figure.method} ({benchmark.benchmark}) is in no table"
            )


def test_what_is_not_known_is_said_where_it_would_stand() -> None:
    text = table_markdown(unmeasured("clip-score-by-base"), figures())
    assert "| ZS² † |" in text.replace("|  | ZS", "| ZS")
    assert "not known here: CLIP score of DDIM, Text2Video-Zero, ZS²" in text


def test_every_table_says_which_run_file_fills_it() -> None:
    for name in shipped_tables():
        notes = load_spec(name).notes
        (filled,) = (note for note in notes if note.startswith("Filled by "))
        paths = [word.rstrip(".,;") for word in filled.split() if word.startswith("configs/")]
        assert paths
        assert all((ROOT / path).is_file() for path in paths), filled


def test_make_tables_makes_every_one() -> None:
    spec = importlib.util.spec_from_file_location("paper_tables", ROOT / "benchmarks" / "paper_tables.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert set(script.RUNS) == set(shipped_tables())
    for name, run_files in script.RUNS.items():
        (filled,) = (note for note in load_spec(name).notes if note.startswith("Filled by "))
        assert all(Path(run_file).name in filled for run_file in run_files)
