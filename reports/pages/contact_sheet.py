"""A contact sheet: clips of a run as one picture, frames from left to right.

A block for each prompt, a row for the reference and each method. Tiny clips are enlarged by whole factors.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.atomic_write import output_path
from ...core.errors import ReelbenchError, VideoError, unknown_name
from ...core.types import ClipRef, Frames
from ..tables.run_tables import Row, RunTables
from .run_clips import PromptClips, clips_by_prompt, locate, methods_of, no_clip_words

if TYPE_CHECKING:
    from PIL import Image, ImageDraw, ImageFont

_INK, _QUIET, _PAGE, _EMPTY, _BAD = "#1d2127", "#5d6672", "#ffffff", "#eceef1", "#b3261e"
_MARGIN, _GAP, _BLOCK_GAP, _FONT_SIZE = 16, 3, 18, 17


@dataclass(frozen=True)
class _Strip:
    """A label and its frames; words where there are none."""

    label: str
    frames: Frames | None
    words: str = ""


@dataclass(frozen=True)
class _Block:
    prompt: str
    rows: tuple[_Strip, ...]


def write_contact_sheet(
    tables_folder: Path,
    out_png: Path,
    num_prompts: int = 4,
    num_columns: int = 8,
    *,
    dataset: str | None = None,
    methods: Sequence[str] = (),
    seed: int | None = None,
    samples: Sequence[str] = (),
    tile_px: int = 112,
) -> Path:
    """Write a PNG of the first prompts of a run.

    Args:
        tables_folder: the run's tables.
        out_png: the file to write, atomically.
        num_prompts: blocks; the first prompts in order.
        num_columns: frames of each clip, spread evenly from the first to the last.
        dataset: which data set; None takes the first.
        methods: which methods, in order; none for all, in the run file's order.
        seed: which run seed; None takes the smallest.
        samples: ids of the prompts to draw, in order, in place of the first ones.
        tile_px: about how wide a frame is drawn.

    Returns:
        `out_png`.

    Raises:
        ReelbenchError: `out_png` is not named *.png, or the run has no clips to show.
        UnknownNameError: it has no such data set, method or sample.
    """
    if out_png.suffix.lower() != ".png":
        raise ReelbenchError(f"a contact sheet is a PNG, and {out_png} is not named as one", "give FILE.png")
    if num_prompts < 1 or num_columns < 1 or tile_px < 16:
        raise ValueError(
            f"expected at least 1 prompt, 1 column and 16 px, got {num_prompts}, {num_columns} and {tile_px}"
        )
    run = RunTables(tables_folder)
    clips = run.rows("clips")
    prompts = clips_by_prompt(clips, len(clips) if samples else num_prompts, seed)
    datasets = list(dict.fromkeys(prompt.dataset for prompt in prompts))
    if not datasets:
        wanted = "" if seed is None else f" of seed {seed}"
        raise ReelbenchError(f"{tables_folder} lists no generated clips{wanted}", "run `reelbench run` first")
    if not any(row["status"] == "done" for prompt in prompts for row in prompt.generated.values()):
        raise ReelbenchError(
            f"none of the clips that {tables_folder} lists is made", "run `reelbench run` first"
        )
    if dataset is not None and dataset not in datasets:
        raise unknown_name("data set", dataset, datasets)
    prompts = [prompt for prompt in prompts if prompt.dataset == (dataset or datasets[0])]
    by_id = {prompt.sample_id: prompt for prompt in prompts}
    for sample in samples:
        if sample not in by_id:
            raise unknown_name("sample", sample, by_id)
    prompts = [by_id[sample] for sample in samples] or prompts[:num_prompts]
    known = methods_of(prompts, run.method_order)
    for method in methods:
        if method not in known:
            raise unknown_name("method", method, known)
    shown = list(methods) or known
    blocks = [_block(prompt, shown, num_columns, tables_folder) for prompt in prompts]
    with output_path(out_png) as temporary:
        _draw(blocks, num_columns, tile_px).save(temporary, format="PNG", optimize=True)
    return out_png


def _block(prompt: PromptClips, methods: Sequence[str], num_columns: int, tables_folder: Path) -> _Block:
    clips = [(method, prompt.generated.get(method)) for method in methods]
    if prompt.reference is not None:
        clips.insert(0, ("reference", prompt.reference))
    strips = (_strip(label, clip, num_columns, tables_folder) for label, clip in clips)
    return _Block(prompt.prompt, tuple(strips))


def _strip(label: str, clip: Row | None, num_columns: int, tables_folder: Path) -> _Strip:
    if clip is None or clip["status"] != "done":
        return _Strip(label, None, no_clip_words(clip))
    path = locate(clip["path"], tables_folder)
    if path is None:
        return _Strip(label, None, f"no file {clip['path']}")
    try:
        frames = _read(path, clip)
    except VideoError as error:
        return _Strip(label, None, error.message)
    chosen = np.linspace(0, len(frames) - 1, num_columns).round().astype(int)
    return _Strip(label, frames[chosen])


def _read(path: Path, clip: Row) -> Frames:
    """The frames of a clip: those that were made, or the part of the reference that is measured."""
    from ...datasets.video import read_clip, read_lossless

    if clip["side"] == "generated":
        return read_lossless(path)
    try:
        return read_clip(ClipRef(path), num_frames=clip["num_frames"], fps=clip["fps"])
    except VideoError:
        # Shorter than the table says when read from its start: show what there is.
        return read_clip(ClipRef(path))


def _draw(blocks: Sequence[_Block], num_columns: int, tile_px: int) -> Image.Image:
    from PIL import Image, ImageDraw

    font, bold = _font("DejaVuSans.ttf"), _font("DejaVuSans-Bold.ttf")
    measure = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    labels = [row.label for block in blocks for row in block.rows]
    label_px = min(240, max(math.ceil(measure.textlength(label, font)) for label in labels)) + 12
    tiles_px = _tile_size(blocks, tile_px)
    width = 2 * _MARGIN + label_px + num_columns * (tiles_px[0] + _GAP) - _GAP
    line_px = int(_FONT_SIZE * 1.35)
    headings = [_wrap(measure, block.prompt, bold, width - 2 * _MARGIN) for block in blocks]
    height = 2 * _MARGIN - _BLOCK_GAP
    for block, heading in zip(blocks, headings, strict=True):
        height += len(heading) * line_px + 4 + len(block.rows) * (tiles_px[1] + _GAP) + _BLOCK_GAP
    sheet = Image.new("RGB", (width, height), _PAGE)
    draw = ImageDraw.Draw(sheet)
    top = _MARGIN
    for block, heading in zip(blocks, headings, strict=True):
        for line in heading:
            draw.text((_MARGIN, top), line, _INK, bold)
            top += line_px
        top += 4
        for row in block.rows:
            label = _wrap(measure, row.label, font, label_px - 12)[:3]
            label_top = top + (tiles_px[1] - len(label) * line_px) // 2
            for index, line in enumerate(label):
                color = _QUIET if row.label == "reference" else _INK
                draw.text((_MARGIN, label_top + index * line_px), line, color, font)
            left = _MARGIN + label_px
            if row.frames is None:
                draw.rectangle((left, top, width - _MARGIN - 1, top + tiles_px[1] - 1), _EMPTY)
                words = _wrap(measure, row.words, font, width - _MARGIN - left - 20)[:3]
                draw.text((left + 10, top + 8), "\n".join(words), _BAD, font)
            else:
                for frame in row.frames:
                    tile = _fit(frame, tiles_px)
                    # A clip of another shape is centred in its tile.
                    offset = (tiles_px[0] - tile.width) // 2, (tiles_px[1] - tile.height) // 2
                    sheet.paste(tile, (left + offset[0], top + offset[1]))
                    left += tiles_px[0] + _GAP
            top += tiles_px[1] + _GAP
        top += _BLOCK_GAP
    return sheet


def _tile_size(blocks: Sequence[_Block], tile_px: int) -> tuple[int, int]:
    """Width and height of a tile: the first generated clip's shape, about `tile_px` wide."""
    rows = [row for block in blocks for row in block.rows if row.frames is not None]
    made = [row for row in rows if row.label != "reference"] or rows
    if not made:
        return tile_px, tile_px // 2
    assert made[0].frames is not None
    height, width = made[0].frames.shape[1:3]
    if width <= tile_px:
        factor = max(1, round(tile_px / width))
        return width * factor, height * factor
    return tile_px, max(1, round(height * tile_px / width))


def _fit(frame_HWC: np.ndarray, tile_px: tuple[int, int]) -> Image.Image:
    from PIL import Image

    height, width = frame_HWC.shape[:2]
    scale = min(tile_px[0] / width, tile_px[1] / height)
    if scale >= 1:
        size, method = (width * int(scale), height * int(scale)), Image.Resampling.NEAREST
    else:
        size, method = (max(1, round(width * scale)), max(1, round(height * scale))), Image.Resampling.LANCZOS
    return Image.fromarray(frame_HWC).resize(size, method)


def _wrap(draw: ImageDraw.ImageDraw, text: str, font: Any, width_px: int, num_lines: int = 4) -> list[str]:
    """`text` in lines of at most `width_px`; words too long are cut, as are lines too many."""
    lines = [""]
    for word in text.split() or [""]:
        longer = f"{lines[-1]} {word}".strip()
        if draw.textlength(longer, font) <= width_px:
            lines[-1] = longer
            continue
        if lines[-1]:
            lines.append("")
        for character in word:
            if lines[-1] and draw.textlength(lines[-1] + character, font) > width_px:
                lines.append("")
            lines[-1] += character
    if len(lines) > num_lines:
        lines = [*lines[: num_lines - 1], lines[num_lines - 1][:-1] + "…"]
    return lines


def _font(name: str) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """DejaVu from matplotlib's files (it knows ² and Cyrillic); Pillow's own font without them."""
    import importlib.util

    from PIL import ImageFont

    spec = importlib.util.find_spec("matplotlib")  # found, not imported
    if spec is not None and spec.origin is not None:
        path = Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf" / name
        if path.is_file():
            return ImageFont.truetype(str(path), _FONT_SIZE)
    return ImageFont.load_default(_FONT_SIZE)
