"""A run of a floor at two sizes on Sprites in three layouts, from the run file to the reports."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from reelbench.cli.results import print_tables
from reelbench.core.run_file_loading import parse_run_file
from reelbench.core.store import Store
from reelbench.core.tables import read_table
from reelbench.datasets.video import default_codec
from reelbench.reports.pages.html_report import write_html_report
from reelbench.reports.pages.markdown_report import markdown_report, task_markdown
from reelbench.reports.recorded.readme_table import readme_table
from reelbench.reports.recorded.reproduction import compare_with_recorded
from reelbench.reports.recorded.tables import record_tables
from reelbench.reports.tables.ablation import ablation_tables
from reelbench.reports.tables.prediction import prediction_tables
from reelbench.reports.tables.run_tables import RunTables
from reelbench.stages.extract import extract_shards, generated_items, reference_items
from reelbench.stages.planning import plan_run
from reelbench.stages.results import build_results
from reelbench.stages.sample import sample_shards
from reelbench.stages.work import WorkerContext
from reelbench.worlds.sprites.write import write_world

NUM_CLIPS = 2
METHODS = [
    {"name": "repeat-last-frame", "config": {"height": 32, "width": 32}},
    {"name": "repeat-last-frame", "label": "larger", "config": {"height": 48, "width": 48}},
]


@pytest.fixture(scope="module")
def tables_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tables of the run, measured with the embedded I3D."""
    folder = tmp_path_factory.mktemp("prediction")
    counts = {"train": 1, "validate": NUM_CLIPS, "test": NUM_CLIPS}
    names = {"ssv2": "ssv2", "bridge": "bridge", "epic-kitchens-100": "epic-kitchens"}
    write_world(folder / "sprites", tuple(names.values()), counts, seed=0, show_progress=False)
    datasets = [
        {"name": name, "label": f"sprites-{name}", "config": {"root": str(folder / "sprites" / layout)}}
        for name, layout in names.items()
    ]
    for entry in datasets[1:]:
        entry["config"]["num_context_frames"] = 2  # type: ignore[index]
    run = parse_run_file(
        {
            "name": "floors",
            "output": str(folder / "out"),
            "methods": METHODS,
            "datasets": datasets,
            "metrics": ["fvd", "kvd", "psnr", "ssim"],
            "protocol": "seer",
            "weights": {"i3d": "sprites/i3d"},
        }
    )
    store = Store(run.store_dir, default_codec())
    context = WorkerContext(store, "cpu")
    plan, parts = plan_run(run, store)
    measuring = parts[0].measuring
    for cell in plan.cells:
        for shard in sample_shards(cell, NUM_CLIPS):
            shard.run(context)
    files = store.digests("videos")
    items = [
        *(item for cell in plan.cells for item in generated_items(cell, measuring, files, store)),
        *(item for data in plan.datasets for item in reference_items(data, measuring, files, store)),
    ]
    for lot in extract_shards("all", items, measuring, store, 8):
        lot.run(context)
    result = build_results(run, parts, store, files)
    assert result.num_failures == 0
    return result.tables_dir


def summary(tables_folder: Path) -> list[dict[str, Any]]:
    return read_table(tables_folder, "summary").to_pylist()


def test_every_method_has_fvd_and_kvd_on_every_data_set(tables_folder: Path) -> None:
    others, papers = prediction_tables(RunTables(tables_folder))
    names = ("ssv2", "bridge", "epic-kitchens-100")
    for table, whose in ((others, "others'"), (papers, "own")):
        assert [column.heading for column in table.columns] == [
            f"sprites-{name} {metric} ({whose} references) ↓" for name in names for metric in ("FVD", "KVD")
        ]
    (group,) = table.groups
    assert group.conditioning == "text + first frames"
    assert [row.method for row in group.rows] == ["repeat-last-frame", "larger"]
    values = {
        (row["method"], f"{row['dataset']} {row['metric']}"): row["value"]
        for row in summary(tables_folder)
        if row["seed"] is None and row["level"] == "set"
    }
    for row in group.rows:
        for column, cell in zip(table.columns, row.cells, strict=True):
            assert cell.value == values[row.method, column.metric]
    assert not table.shows_n


def test_the_facts_say_what_was_given_and_measured(tables_folder: Path) -> None:
    _, table = prediction_tables(RunTables(tables_folder))
    facts = dict(table.facts)
    digest = read_table(tables_folder, "runs").to_pylist()[0]["protocol_digest"]
    assert facts["Protocol"] == f"seer ({digest[:12]})"
    assert facts["Frames"].startswith("16 of a clip (")
    assert "given are among them" in facts["Frames"]
    assert facts["sprites-ssv2"] == (
        "validation; 2 frames given; 2 clips per method, of 2 source videos, 1 seed; 2 reference clips"
    )
    assert facts["sprites-bridge"].startswith("val; 2 frames given; 2 clips per method")
    # Clips of one Epic-Kitchens video are not independent.
    assert facts["sprites-epic-kitchens-100"].startswith(
        "validation; 2 frames given; 2 clips per method, of 1"
    )


def test_variants_differ_in_what_was_set(tables_folder: Path) -> None:
    tables = ablation_tables(RunTables(tables_folder))
    assert [table.title for table in tables] == [
        "repeat-last-frame on sprites-ssv2, validation",
        "repeat-last-frame on sprites-bridge, val",
        "repeat-last-frame on sprites-epic-kitchens-100, validation",
    ]
    for table in tables:
        assert table.settings == ("height", "width")
        assert table.values == {"repeat-last-frame": ("32", "32"), "larger": ("48", "48")}
        names = [column.metric for column in table.columns]
        assert names == ["fvd_others", "kvd_others", "fvd", "kvd", "psnr", "ssim"]
        rows = [row for group in table.groups for row in group.rows]
        # Two clips have no two halves with a covariance.
        assert all(row.cells[0].value is None for row in rows)
        assert all(cell.value is not None for row in rows for cell in row.cells[2:])


def test_both_reports_have_the_tables(tables_folder: Path, tmp_path: Path) -> None:
    markdown = markdown_report(tables_folder)
    assert markdown.endswith(task_markdown(RunTables(tables_folder)))
    page = write_html_report(tables_folder, tmp_path / "report.html", num_prompts=0).read_text(
        encoding="utf-8"
    )
    for text in (markdown, page):
        assert "sprites-epic-kitchens-100 FVD" in text
        assert "Variants of repeat-last-frame on sprites-ssv2, validation" in text
        assert "As published: text-video prediction" in text
    run_file = json.loads(read_table(tables_folder, "runs").to_pylist()[0]["run_file"])
    assert "num_context_frames" not in run_file["datasets"][0]["config"]  # 2 is ssv2's own default


def test_a_run_reproduces_its_own_recorded_tables(tables_folder: Path, tmp_path: Path) -> None:
    files = record_tables(tables_folder, tmp_path)
    assert not any(str(tables_folder.parents[3]).encode() in path.read_bytes() for path in files)
    found = compare_with_recorded(tables_folder, tmp_path)
    # PSNR and SSIM of two methods on three data sets.
    assert (len(found.rows), found.num_reproduced, found.num_compared) == (12, 24, 24)
    assert found.is_whole
    (note,) = found.notes
    assert note.startswith(
        "FVD and FVD (others' references) and KVD and KVD (others' references): not compared"
    )
    text = readme_table(tmp_path)
    assert text.count("| repeat-last-frame |") == text.count("| larger |") == 3
    assert "Sampling" not in text
    assert "**sprites-ssv2, validation**" in text


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_finished_run_prints_them(
    tables_folder: Path,
    is_terminal: bool,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: is_terminal)
    print_tables(tables_folder.parent)
    printed = capsys.readouterr().out
    more = task_markdown(RunTables(tables_folder), is_plain=is_terminal)
    assert printed.index("Protocol") < printed.index(more)
    assert ("\\[1\\]" in printed) is not is_terminal
    assert ("| Method |" in printed.split("### Text-video")[0]) is not is_terminal
    print_tables(tables_folder.parent, is_brief=True)
    assert "### Text-video" not in capsys.readouterr().out
