"""The store's codec: how the clips it keeps are written and read."""

from __future__ import annotations

from ...core.file_digests import FileDigests
from ...core.store import ClipCodec
from ...core.types import ClipRef


def default_codec() -> ClipCodec:
    """Lossless clips for measuring, small previews for browsers; see `video_writing`."""
    from . import read_lossless, write_lossless, write_preview

    return ClipCodec(
        write_lossless=write_lossless,
        read_lossless=read_lossless,
        write_preview=write_preview,
        reference_digest=_reference_digest,
    )


def _reference_digest(ref: ClipRef, files: FileDigests) -> str:
    from .clips import clip_digest

    return clip_digest(ref, files)
