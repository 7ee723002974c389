"""The store's codec: how the clips it keeps are written and read."""

from __future__ import annotations

from ..core.store import ClipCodec


def default_codec() -> ClipCodec:
    """Lossless clips for measuring, small previews for browsers; see `video_writing`."""
    from .video import read_lossless, write_lossless, write_preview

    return ClipCodec(write_lossless=write_lossless, read_lossless=read_lossless, write_preview=write_preview)
