"""Values over the nights: only those of one protocol on the same samples belong together."""

from __future__ import annotations

from pathlib import Path

from reelbench.core.tables import ClipRow, SummaryRow, Tables
from reelbench.reports.nights.history import history_rows, read_history
from reelbench.reports.nights.history_page import write_history_page


def night(folder: Path, value: float | None, num_clips: int, digest: str = "p" * 64) -> Path:
    clips = [
        ClipRow(
            run="demo", side="generated", method="<b>", dataset="d", split="", sample_id=f"s{index}",
            source=f"s{index}", seed=0, clip_key=f"k{index}", status="done",
        )
        for index in range(num_clips)
    ]  # fmt: skip
    summary = SummaryRow(
        run="demo", metric="fvd", label="FVD", unit="", higher_is_better=False, level="set", protocol="clean",
        protocol_digest=digest, method="<b>", method_name="b", method_version="1", method_config="{}",
        dataset="d", split="", conditioning="text", seed=None, num_seeds=1, value=value, n=num_clips,
        num_failures=0, coverage=1.0, hardware="CPU",
    )  # fmt: skip
    Tables(clips=clips, summary=[summary]).write(folder / "tables")
    return folder


def test_lines_join_what_can_be_compared_and_damaged_nights_are_named(tmp_path: Path) -> None:
    ids = [f"2026112{day}T030000Z" for day in range(1, 7)]
    sizes = [4, 4, 2, 4, 4, 4]
    folders = [
        night(tmp_path / name, None if index == 4 else float(index), sizes[index], "pq"[index == 3] * 64)
        for index, name in enumerate(ids)
    ]
    (folders[5] / "tables" / "summary.parquet").write_bytes(b"PAR1")
    (cell,), notes = read_history((name, path, None) for name, path in zip(ids, folders, strict=True))
    series = [point.series for point in cell.points]
    assert series[0] == series[1] == series[4]
    assert len({series[0], series[2], series[3]}) == 3
    assert [point.value for point in cell.points] == [0.0, 1.0, 2.0, 3.0, None]
    (note,) = notes
    assert note.startswith(f"{ids[5]} is left out")
    assert [row["value"] for row in history_rows([cell])] == [0.0, 1.0, 2.0, 3.0, None]
    assert read_history([(ids[0], folders[0], None)], metrics=["kvd"]) == ([], [])
    page = write_history_page("demo", [cell], tmp_path / "history.html").read_text()
    assert page.count("<circle") == 4
    assert page.count('stroke="#99a"') == 1  # the first two alone are of one series
    assert "<b>FVD of &lt;b&gt; on d</b>" in page
