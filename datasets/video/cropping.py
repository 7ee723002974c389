"""Cropping that a container states beside its pictures: MP4's clean aperture, and PixelCrop of Matroska.

FFmpeg's decoders crop what the codec itself states (H.264's 1080 lines of 1088). What the container states,
the `ffmpeg` command crops from version 7.1 on; earlier versions and the libraries do not.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_MOST_BYTES = 2**24
"""So much of an index is looked through; what stands in front of its tables is far less."""

_MOST_BOXES = 100_000
"""Fragmented files have two for each fragment."""

_CLAP = b"\0\0\0\x28clap"
_SEGMENT, _TRACKS, _ENTRY, _VIDEO = 0x18538067, 0x1654AE6B, 0xAE, 0xE0
_PIXEL_CROP = (0x54AA, 0x54BB, 0x54CC, 0x54DD)


def crops_in_container(path: Path, width: int, height: int) -> bool:
    """Whether the container of a file says that less is shown than the codec's width and height."""
    with path.open("rb") as file:
        start = file.read(12)
        if start[:4] == b"\x1a\x45\xdf\xa3":
            return any(_matroska_crops(file))
        if start[4:8] in (b"ftyp", b"moov", b"wide", b"mdat", b"free", b"skip"):
            return any(shown not in (None, (width, height)) for shown in _clean_apertures(file))
    return False


def _clean_apertures(file: BinaryIO) -> Iterator[tuple[float, float] | None]:
    """Width and height of each clean aperture; None for one that says nothing (divided by zero)."""
    at, end = 0, file.seek(0, 2)
    for _ in range(_MOST_BOXES):
        file.seek(at)
        if len(head := file.read(16)) < 8:
            return
        size, kind = int.from_bytes(head[:4], "big"), head[4:8]
        if size == 1:
            size = int.from_bytes(head[8:], "big")
        if kind == b"moov":
            file.seek(at)
            index = file.read(min(size or _MOST_BYTES, _MOST_BYTES))
            found = index.find(_CLAP)
            while 0 <= found <= len(index) - 40:
                wide, by_wide, high, by_high = struct.unpack_from(">4i", index, found + 8)
                yield (wide / by_wide, high / by_high) if by_wide and by_high else None
                found = index.find(_CLAP, found + 40)
        at += size
        if size < 8 or at >= end:
            return


def _matroska_crops(file: BinaryIO) -> Iterator[bool]:
    """For each video track, whether it crops."""
    file.seek(0)
    data = file.read(2**20)  # tracks stand in front of the pictures
    for segment in _elements(data, _SEGMENT):
        for tracks in _elements(segment, _TRACKS):
            for entry in _elements(tracks, _ENTRY):
                for video in _elements(entry, _VIDEO):
                    yield any(any(crop) for kind in _PIXEL_CROP for crop in _elements(video, kind))


def _elements(data: bytes, wanted: int) -> Iterator[bytes]:
    """The contents of the elements of a kind (RFC 8794), one after another; the last one may be cut off."""
    at = 0
    while at < len(data) and data[at]:
        id_length = 9 - data[at].bit_length()
        kind = int.from_bytes(data[at : at + id_length], "big")
        at += id_length
        if at >= len(data) or not data[at]:
            return
        length = 9 - data[at].bit_length()
        size = int.from_bytes(data[at : at + length], "big") & ((1 << 7 * length) - 1)
        at += length
        if kind == wanted:
            yield data[at : at + size]
        at += size
