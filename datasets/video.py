"""Reading and writing videos: the one face of the folder's video files.

Decoding is in `video_reading`, encoding and the lossless clips of the store in `video_writing`.
"""

from __future__ import annotations

from .video_reading import VideoInfo, probe, read_clip
from .video_writing import read_lossless, write_lossless, write_preview

__all__ = ["VideoInfo", "probe", "read_clip", "read_lossless", "write_lossless", "write_preview"]
