"""The contact sheet: its size, its pixels, what it says where a clip is missing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reelbench.core.errors import ReelbenchError, UnknownNameError
from reelbench.core.tables import read_table, write_table
from reelbench.reports.pages.contact_sheet import write_contact_sheet


def colors(path: Path) -> set[tuple[int, ...]]:
    with Image.open(path) as sheet:
        pixels = np.asarray(sheet.convert("RGB")).reshape(-1, 3)
    return {tuple(map(int, color)) for color in np.unique(pixels, axis=0)}


def test_tiny_clips_are_enlarged_by_whole_factors_without_smoothing(
    make_tables: Callable[..., Path], tmp_path: Path
) -> None:
    out = write_contact_sheet(
        make_tables(), tmp_path / "sheet.png", 1, 4, methods=["ddim-frames"], tile_px=100
    )
    with Image.open(out) as sheet:
        pixels = np.asarray(sheet.convert("RGB")).astype(int)
    # 32 pixels x 3 = 96: two rows (reference, method) of four tiles, three pixels apart.
    # The method's row is the last one; the reference above it is compressed.
    square = (pixels[-(96 + 3 + 16) :] == (220, 60, 40)).all(axis=2)
    assert square.sum() == 4 * (12 * 3) ** 2
    height, width = pixels.shape[:2]
    assert width > 4 * 96 + 3 * 3
    assert 2 * 96 < height < 2 * 96 + 100


def test_a_row_for_each_method_and_a_block_for_each_prompt(
    make_tables: Callable[..., Path], tmp_path: Path
) -> None:
    tables = make_tables()
    sizes = []
    for num_prompts, num_columns in ((1, 4), (2, 4), (1, 8)):
        out = write_contact_sheet(tables, tmp_path / "sheet.png", num_prompts, num_columns, tile_px=32)
        with Image.open(out) as sheet:
            sizes.append(sheet.size)
    assert sizes[1][0] == sizes[0][0]
    assert sizes[1][1] > 1.9 * sizes[0][1] - 40
    assert sizes[2][0] - sizes[0][0] == 4 * (32 + 3)


def test_prompts_may_be_chosen_in_any_order(make_tables: Callable[..., Path], tmp_path: Path) -> None:
    """The second one alone is the lower block of the first two; given twice and turned it is above."""
    tables = make_tables()
    ids = [row["sample_id"] for row in read_table(tables, "clips").to_pylist() if row["side"] == "generated"]
    first, second = list(dict.fromkeys(ids))[:2]

    def drawn(*samples: str) -> np.ndarray:
        to = write_contact_sheet(tables, tmp_path / "sheet.png", 2, 2, tile_px=32, samples=samples)
        with Image.open(to) as sheet:
            return np.asarray(sheet.convert("RGB"))

    assert np.array_equal(drawn(first, second), drawn())
    assert not np.array_equal(drawn(second, first), drawn())
    alone = drawn(second)
    assert np.array_equal(alone[-100:], drawn()[-100:])
    with pytest.raises(UnknownNameError, match="nowhere"):
        drawn("nowhere")


def test_a_failed_clip_leaves_a_message(make_tables: Callable[..., Path], tmp_path: Path) -> None:
    tables = make_tables()
    whole = write_contact_sheet(tables, tmp_path / "a.png", 1, 2, methods=["zs2"])
    failed = write_contact_sheet(tables, tmp_path / "b.png", 2, 2, methods=["zs2"])
    assert (179, 38, 30) not in colors(whole)
    assert (179, 38, 30) in colors(failed)


def test_where_nothing_is_made_there_is_no_sheet(make_tables: Callable[..., Path], tmp_path: Path) -> None:
    tables = make_tables()
    rows = read_table(tables, "clips").to_pylist()
    write_table(tables, "clips", [{**row, "status": "missing"} for row in rows])
    with pytest.raises(ReelbenchError, match=r"none of the clips .* is made"):
        write_contact_sheet(tables, tmp_path / "sheet.png", 1, 2)


def test_lost_files_leave_a_message(make_tables: Callable[..., Path], tmp_path: Path) -> None:
    out = write_contact_sheet(make_tables(videos=False), tmp_path / "sheet.png", 1, 2)
    assert (179, 38, 30) in colors(out)


def test_unknown_names_are_answered(make_tables: Callable[..., Path], tmp_path: Path) -> None:
    tables = make_tables(videos=False)
    with pytest.raises(UnknownNameError, match="did you mean 'zs2'"):
        write_contact_sheet(tables, tmp_path / "sheet.png", methods=["zs3"])
    with pytest.raises(UnknownNameError, match="sprites"):
        write_contact_sheet(tables, tmp_path / "sheet.png", dataset="msrvtt")
    with pytest.raises(ReelbenchError, match="no generated clips of seed 5"):
        write_contact_sheet(tables, tmp_path / "sheet.png", seed=5)
    with pytest.raises(ValueError, match="at least 1 prompt"):
        write_contact_sheet(tables, tmp_path / "sheet.png", num_prompts=0)


@pytest.mark.parametrize("name", ["sheet.jpg", "sheet"])
def test_other_names_than_a_pngs_are_refused(
    make_tables: Callable[..., Path], tmp_path: Path, name: str
) -> None:
    with pytest.raises(ReelbenchError, match=rf"is a PNG, and .*{name} is not named as one"):
        write_contact_sheet(make_tables(), tmp_path / name)
    assert not (tmp_path / name).exists()
