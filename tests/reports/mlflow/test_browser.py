"""What a person sees: `reelbench ui` with MLflow's own server, looked at in a browser, and its end."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from reelbench.core.run_folders import results_dir
from reelbench.reports.mlflow.log import log_run
from reelbench.reports.pages.html_report import write_html_report

pytestmark = pytest.mark.e2e

WAIT_MS = 90_000


@dataclass(frozen=True)
class Shown:
    """A running `reelbench ui`."""

    process: subprocess.Popen[str]
    page: str
    mlflow: str
    parent: str
    children: list[str]


@pytest.fixture(scope="module")
def shown(
    shared_tables: Path,
    empty_mlflow: Path,
    clean_environment: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Shown]:
    from mlflow.tracking import MlflowClient

    output = tmp_path_factory.mktemp("shown") / "out"
    shutil.copytree(shared_tables.parent / "clips", output / "clips")
    results = output / "demo" / "20260101T030000Z"
    shutil.copytree(shared_tables, results / "tables")
    write_html_report(results / "tables", results / "report.html")
    (output / "mlflow").mkdir()
    shutil.copyfile(empty_mlflow, output / "mlflow" / "mlflow.db")
    uri = f"sqlite:///{output}/mlflow/mlflow.db"
    parent = log_run(results / "tables", uri, "demo", results / "report.html")
    runs = MlflowClient(tracking_uri=uri).search_runs(["1"], "tags.`reelbench.kind` = 'method'")
    assert results_dir(output / "demo") == results
    process = subprocess.Popen(
        [str(Path(sys.executable).with_name("reelbench")), "ui", str(output / "demo"), "--port", "0"],
        env=clean_environment,
        cwd=output,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        lines = dict(process.stdout.readline().strip().split(maxsplit=1) for _ in range(3))
        assert lines["Prefect"].startswith("no server here")
        yield Shown(process, lines["page"], lines["MLflow"], parent, [run.info.run_id for run in runs])
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def tab(browser: Any) -> Iterator[Any]:
    """A page that MLflow may log errors of its own in."""
    context = browser.new_context(viewport={"width": 1600, "height": 1000})
    opened = context.new_page()
    opened.set_default_timeout(WAIT_MS)
    yield opened
    context.close()


def see(tab: Any, *texts: str) -> None:
    for text in texts:
        tab.get_by_text(text, exact=True).first.wait_for()


def test_the_experiment_shows_methods_with_the_columns_of_the_table(shown: Shown, tab: Any) -> None:
    tab.goto(shown.mlflow)
    see(tab, "FVD", "FVD_se", "zs2 · sprites · test", "tune-a-video · sprites · test")
    assert tab.get_by_text("Methods side by side").count()
    # The best first; what was made from its own references is not among the ranked.
    names = tab.locator("a", has_text="· sprites · test").all_inner_texts()
    assert [name.split(" ")[0] for name in names] == ["zs2", "text2video-zero", "ddim-frames", "tune-a-video"]


def test_runs_are_compared_by_these_names(shown: Shown, tab: Any) -> None:
    server = shown.mlflow.partition("#")[0]
    runs = json.dumps(shown.children).replace(" ", "")
    tab.goto(f'{server}#/compare-runs?runs={runs}&experiments=["1"]')
    see(tab, "Comparing 4 Runs from 1 Experiment", "FVD own references", "CLIPSIM_se", "saw")


def test_a_run_has_the_table_a_chart_and_clips_side_by_side(shown: Shown, tab: Any) -> None:
    server = shown.mlflow.partition("#")[0]
    tab.goto(f"{server}#/experiments/1/runs/{shown.parent}")
    see(tab, "demo 2026-01-01 03:00 UTC", "sprites/FVD/zs2")
    tab.get_by_text("255.1 ± 5.3").first.wait_for()  # the table, in the description
    tab.goto(f"{server}#/experiments/1/runs/{shown.parent}/artifacts")
    tab.get_by_text("chart_sprites.svg", exact=True).click()
    tab.locator("img[src*='chart'], img[src^='blob:']").first.wait_for()
    tab.get_by_text("clips", exact=True).click()
    tab.get_by_text("sprites_000.html", exact=True).click()
    frame = tab.frame_locator("iframe").last
    frame.get_by_text("text2video-zero", exact=True).wait_for()
    assert frame.locator("video").count() == 5


def test_the_page_is_served_and_ctrl_c_ends_everything(shown: Shown, page: Any) -> None:
    page.goto(shown.page)
    page.get_by_text("ddim-frames").first.wait_for(timeout=WAIT_MS)
    ports = [int(address.split(":")[2].split("/")[0]) for address in (shown.page, shown.mlflow)]
    os.kill(shown.process.pid, signal.SIGINT)
    assert shown.process.wait(60) == 130
    for port in ports:
        with pytest.raises(OSError, match="refused"), socket.create_connection(("127.0.0.1", port), 5):
            pass
