"""README's table is what the recorded tables give, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reelbench.core.errors import ReelbenchError
from reelbench.reports.recorded.readme_table import (
    BEGIN,
    END,
    readme_table,
    table_between_marks,
    update_readme,
)
from reelbench.reports.recorded.tables import record_tables

ROOT = Path(__file__).resolve().parents[3]
RECORDED = ROOT / "docs" / "benchmark"

TABLE = """\
| Method | FVD ↓ \\[1\\] | CLIPSIM ↑ | Trained (parameters) ↓ |
| --- | ---: | ---: | ---: |
| *Saw: text* |  |  |  |
| ddim-frames | 298.1<br><sub>± 5.3</sub> | 0.2945<br><sub>0.2920 to 0.2970</sub> | 0 |
| text2video-zero | **276.6**<br><sub>± 5.3</sub> | 0.3055<br><sub>0.3030 to 0.3080</sub> | 0 |
| zs2 | **255.1**<br><sub>± 5.3</sub> | **0.3165**<br><sub>0.3140 to 0.3190</sub> | 319,236 |
| *Saw: text + reference video* |  |  |  |
| tune-a-video | 233.6<br><sub>± 5.3</sub> | – \\[2\\] | – \\[3\\] |

Under each value its 95% interval, or ± one standard error where it has none. Bold: the best value of those \
that saw the same, and all that the paired test does not tell from it, where it tells any (Holm over all \
metrics and pairs, 5%); of trained parameters: fewer than all others.

- Own references, so not ranked: FVD of methods that saw text + reference video: the clips were made from a \
part of the very references that they are held against, and closeness to these makes the values smaller even \
where the distribution is wrong; methods are told apart by values against the references of other clips
- Not told apart from the best value (paired test, Holm, 5%): FVD: zs2 and text2video-zero (detectable: 18)
- Protocol: fvd-demo-16x64 (af8a2851503d). Samples: 16 clips per method, of 8 source videos, 1 seed. \
Reference clips: 16.
- \\[1\\] fewer clips than features
- \\[2\\] not computed for this method
- \\[3\\] no number of trained parameters is recorded
"""


@pytest.fixture
def recorded(
    make_tables: Callable[..., Path], full_summary: list[dict[str, Any]], summary_row: Any, tmp_path: Path
) -> Path:
    """Recorded tables: FVD without intervals and with notes, a value that is missing, trained parameters."""
    summary = [row for row in full_summary if (row["method"], row["metric"]) != ("tune-a-video", "clipsim")]
    for row in summary:
        if row["metric"] == "fvd":
            row.update(low=None, high=None, notes="fewer clips than features")
            if row["method"] == "zs2":
                row["notes"] += "\na note on this value alone"
    for method, number in (("ddim-frames", 0), ("text2video-zero", 0), ("zs2", 319_236)):
        summary.append(
            summary_row(metric="trainable_parameters", label="Trained", unit="parameters", level="cost",
                        method=method, value=float(number), standard_error=None, low=None, high=None,
                        protocol=None, protocol_digest=None)
        )  # fmt: skip
    record_tables(make_tables(summary, videos=False), tmp_path / "recorded")
    return tmp_path / "recorded"


def test_the_table_is_short_and_marks_as_every_other(recorded: Path) -> None:
    assert readme_table(recorded) == TABLE


@pytest.mark.parametrize(("with_text", "shown"), [(False, "others"), (True, "own")])
def test_one_column_of_own_and_others_references(
    make_tables: Callable[..., Path], summary_row: Any, tmp_path: Path, with_text: bool, shown: str
) -> None:
    """Where all methods saw their references, the one against others'; else the usual one."""
    values = {"own": 11.5, "others": 22.5}
    rows = [
        summary_row(metric=f"fvd{'_others' * (kind == 'others')}", method=method, value=value,
                    low=None, high=None, references=kind if kind == "others" or method == "fca" else None)
        for method in ("fca", "zs2")[: 1 + with_text]
        for kind, value in values.items()
    ]  # fmt: skip
    record_tables(make_tables(rows, videos=False), tmp_path / "recorded")
    table = readme_table(tmp_path / "recorded")
    assert [kind for kind, value in values.items() if str(value) in table] == [shown]


def test_the_text_between_the_marks_is_replaced_and_nothing_else(recorded: Path, tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"# A\n\n{BEGIN}\nold\n{END}\n\nafter\n", encoding="utf-8")
    assert update_readme(readme, recorded)
    assert readme.read_text(encoding="utf-8") == f"# A\n\n{BEGIN}\n\n{TABLE}\n{END}\n\nafter\n"
    assert table_between_marks(readme) == TABLE
    assert not update_readme(readme, recorded)


@pytest.mark.parametrize("text", ["no marks", f"{END} {BEGIN}", f"{BEGIN} {BEGIN} {END}"])
def test_a_file_without_its_marks_is_refused(text: str, recorded: Path, tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(text, encoding="utf-8")
    with pytest.raises(ReelbenchError, match="two marks"):
        update_readme(readme, recorded)
    assert readme.read_text(encoding="utf-8") == text


def test_the_readme_has_a_place_for_it() -> None:
    assert table_between_marks(ROOT / "README.md")


@pytest.mark.skipif(not list(RECORDED.glob("*.parquet")), reason="no recorded tables in docs/benchmark")
def test_the_readme_shows_the_recorded_tables() -> None:
    assert table_between_marks(ROOT / "README.md") == readme_table(RECORDED), (
        "README.md is not what docs/benchmark gives: call `update_readme`"
    )
