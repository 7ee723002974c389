"""Reading and writing videos: the one face of the folder's video files.

What is wanted of a clip is in `reading`, decoding in `video_reading`, encoding and the lossless clips of the
store in `video_writing`.
"""

from __future__ import annotations

from .decoding import MAX_CLIP_BYTES, VideoInfo, probe, read_clip, read_clips
from .reading import Reading
from .writing import read_lossless, write_lossless, write_preview

__all__ = [
    "MAX_CLIP_BYTES",
    "Reading",
    "VideoInfo",
    "probe",
    "read_clip",
    "read_clips",
    "read_lossless",
    "write_lossless",
    "write_preview",
]
