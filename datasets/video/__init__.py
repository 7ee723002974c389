"""Reading and writing videos: what other folders import stands here.

*Reading* is of clips (`clips`), whether a clip is a video file or a folder of pictures; *decoding* is of
files (`decoding`, on `file` and `pictures`) and of folders (`frame_folder`, on `picture_file`). What is
wanted of a clip is a `Reading`. Encoding and the lossless clips of the store are in `writing`.
"""

from __future__ import annotations

from .animation import ANIMATION_SUFFIXES, is_animation
from .clips import ClipInfo, clip_digest, is_folder, probe, read_clip, read_clips, reference_clip
from .frame_folder import frame_files, frame_gaps
from .picture_file import PICTURE_SUFFIXES
from .reading import MAX_CLIP_BYTES, Reading
from .temporal_interpolation import seer_frames, seer_squares, seer_stride
from .writing import default_codec, read_lossless, write_lossless, write_preview

__all__ = [
    "ANIMATION_SUFFIXES",
    "MAX_CLIP_BYTES",
    "PICTURE_SUFFIXES",
    "ClipInfo",
    "Reading",
    "clip_digest",
    "default_codec",
    "frame_files",
    "frame_gaps",
    "is_animation",
    "is_folder",
    "probe",
    "read_clip",
    "read_clips",
    "read_lossless",
    "reference_clip",
    "seer_frames",
    "seer_squares",
    "seer_stride",
    "write_lossless",
    "write_preview",
]
