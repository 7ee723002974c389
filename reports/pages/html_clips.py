"""The clips behind the rows, as the HTML report shows them: embedded as data, within a budget of bytes."""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...core.errors import VideoError
from ...core.types import ClipRef
from ..tables.measurement import is_value
from ..tables.run_tables import Row
from .run_clips import PromptClips, locate, methods_of, no_clip_words

_MEDIA_TYPES = {
    ".mp4": "video/mp4",
    ".webm": "video/webm",
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".png": "image/png",
}

_FOLDER_FRAMES, _FOLDER_FPS = 32, 8.0
"""What is shown of a folder of frames: so many, at the rate of the previews."""


@dataclass(frozen=True)
class ClipView:
    """A clip as the page shows it: embedded data, or the words that stand in its place."""

    heading: str
    data_uri: str = ""
    is_image: bool = False
    words: str = ""
    scores: Sequence[str] = ()
    width: int | None = None


@dataclass(frozen=True)
class PromptView:
    """A prompt with its sample's id and its clips."""

    prompt: str
    sample: str
    clips: tuple[ClipView, ...]


def prompt_groups(
    prompts: Sequence[PromptClips],
    order: Sequence[str],
    scores: Iterable[Row],
    labels: Mapping[str, str],
    tables_folder: Path,
    max_num_bytes: int,
) -> list[tuple[str, list[PromptView]]]:
    """(data set title, prompts): the reference first, then every method in one order.

    Args:
        order: methods in the order to show.
        scores: rows of the `scores` table.
        labels: what metrics are called.
        max_num_bytes: how much is embedded at most; a clip beyond that is named instead.
    """
    values: dict[tuple[object, ...], list[str]] = {}
    for row in scores:
        if is_value(row["value"]):
            key = (row["dataset"], row["split"], row["sample_id"], row["seed"], row["method"])
            values.setdefault(key, []).append(
                f"{labels.get(row['metric'], row['metric'])} {row['value']:.4g}"
            )
    embedder = ClipEmbedder(max_num_bytes)
    methods = methods_of(prompts, order)
    groups: dict[str, list[PromptView]] = {}
    for prompt in prompts:
        title = ", ".join(filter(None, (prompt.dataset, prompt.split)))
        views = (
            [] if prompt.reference is None else [embedder.view("reference", prompt.reference, tables_folder)]
        )
        for method in methods:
            key = (prompt.dataset, prompt.split, prompt.sample_id, prompt.seed, method)
            views.append(
                embedder.view(method, prompt.generated.get(method), tables_folder, values.get(key, ()))
            )
        groups.setdefault(title, []).append(PromptView(prompt.prompt, prompt.sample_id, tuple(views)))
    return list(groups.items())


class ClipEmbedder:
    """Embeds clips until a budget of bytes is spent."""

    def __init__(self, max_num_bytes: int) -> None:
        self._num_bytes_left = max_num_bytes

    def view(
        self, heading: str, row: Row | None, tables_folder: Path, scores: Sequence[str] = ()
    ) -> ClipView:
        """A row of the `clips` table, of the tables in a folder; None where there is none yet."""
        if row is None or row["status"] != "done":
            return ClipView(heading, words=no_clip_words(row))
        found = (locate(row[column], tables_folder) for column in ("preview", "path"))
        path = next((file for file in found if file is not None and _is_shown(file)), None)
        if path is None:
            return ClipView(heading, words="no preview file", scores=scores)
        try:
            media_type, content = _media(path)
        except (VideoError, OSError) as error:
            return ClipView(heading, words=str(error).partition("\n")[0], scores=scores)
        if len(content) > self._num_bytes_left:
            size = f"{len(content) / 2**20:.1f} MiB"
            words = f"not embedded ({size}): {row['preview'] or row['path']}"
            return ClipView(heading, words=words, scores=scores)
        self._num_bytes_left -= len(content)
        return ClipView(
            heading,
            data_uri=f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}",
            is_image=media_type.startswith("image/"),
            scores=scores,
            width=row["width"],
        )


def _is_shown(file: Path) -> bool:
    return file.is_dir() or file.suffix.lower() in _MEDIA_TYPES


def _media(path: Path) -> tuple[str, bytes]:
    """The media type and content of a clip as a browser plays it.

    Raises:
        VideoError, OSError: it cannot be read.
    """
    if not path.is_dir():
        return _MEDIA_TYPES[path.suffix.lower()], path.read_bytes()
    from ...datasets.video import reference_clip, write_preview

    with tempfile.TemporaryDirectory() as folder:
        preview = Path(folder, "preview.mp4")
        write_preview(preview, reference_clip(ClipRef(path), _FOLDER_FRAMES), _FOLDER_FPS)
        return _MEDIA_TYPES[".mp4"], preview.read_bytes()
