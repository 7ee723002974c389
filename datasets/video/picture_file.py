"""A picture file as 8-bit RGB.

Pictures are read by Pillow, except those of 16-bit colour, of which Pillow gives the upper 8 bits only: PyAV
reads them. 16 bits are scaled to 8 (v / 257, rounded), grey and palette become RGB, EXIF orientation is
applied, colour profiles are not. Transparent pixels lie on the background that they have in videos
(`core.transparency`). Damage is noticed where a file is cut off, or in PNG (it has checksums).
"""

from __future__ import annotations

import io
from pathlib import Path

import av
import numpy as np
from PIL import ExifTags, Image, ImageFile, ImageOps, UnidentifiedImageError

from ...core.errors import VideoError
from ...core.transparency import over_background
from .bounds import LIMITS, refuse_large, refuse_special

PICTURE_SUFFIXES = frozenset({".avif", ".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"})

_WIDE_GREY = {"I;16", "I;16B", "I;16L", "I;16N"}
_WIDE_COLOUR = {"rgb48be", "rgb48le", "rgba64be", "rgba64le", "ya16be", "ya16le"}
_WIDE_CODECS = {"PNG": "png", "TIFF": "tiff"}


def read_picture(path: Path) -> np.ndarray:
    """A picture as uint8 RGB [H,W,3]; see the module's docstring.

    Raises:
        VideoError: damaged, of several pictures, or of values that have no 8-bit form.
    """
    try:
        refuse_special(path)
        data = path.read_bytes()
        with Image.open(io.BytesIO(data)) as opened:
            refuse_large(path, *opened.size)
            if opened.format == "PNG":
                opened.verify()  # the checksums: reading alone misses some changed bytes
        with Image.open(io.BytesIO(data)) as opened:
            depth, orientation = _raw_mode(opened), opened.getexif().get(ExifTags.Base.Orientation, 1)
            # Phones add a second picture to a JPEG (the format is then MPO); the first is the photograph.
            num_pictures = 1 if opened.format == "MPO" else getattr(opened, "n_frames", 1)
            opened.load()
            image: Image.Image = ImageOps.exif_transpose(opened)
    except VideoError:
        raise
    except Exception as error:  # Pillow's readers let through whatever damaged bytes lead them to
        if isinstance(error, UnidentifiedImageError):
            reason = "its bytes are of no known format"  # Pillow names the buffer that holds them
        else:
            said = getattr(error, "strerror", None) or str(error) or type(error).__name__
            reason = said.splitlines()[0][:120]
        raise VideoError(
            f"{str(path)!r} cannot be read as a picture ({reason})",
            "the file may be cut off or damaged: copy it again",
        ) from error
    if num_pictures > 1:
        raise VideoError(
            f"{str(path)!r} holds {num_pictures} pictures, a frame is one", "save each as a file of its own"
        )
    if image.mode in ("F", "I") or "I;12" in depth:
        raise VideoError(
            f"{str(path)!r} holds values of which the range is not known (mode {image.mode}, {depth})",
            "save it as 8 or 16 bit",
        )
    if ";16" in depth and (image.mode not in _WIDE_GREY or image.has_transparency_data):
        return _from_wide_colour(path, data, str(opened.format), orientation)
    if image.mode in _WIDE_GREY:
        grey = np.asarray(_in_8_bits(np.asarray(image)))
        return np.repeat(grey[..., None], 3, axis=-1)
    if image.has_transparency_data:
        with_alpha = np.asarray(image.convert("RGBA"))
        return over_background(with_alpha[..., :3], with_alpha[..., 3] / 255)
    try:
        return np.asarray(image.convert("RGB"))
    except ValueError as error:
        raise VideoError(f"{str(path)!r} is in {image.mode}: {error}", "save it as RGB") from error


def _raw_mode(image: ImageFile.ImageFile) -> str:
    """How the file stores its pixels, by Pillow's name ("RGB;16B"); known until they are loaded."""
    for tile in image.tile:
        arguments = tile[3]
        return str(arguments[0] if isinstance(arguments, tuple) else arguments)
    return image.mode


def _from_wide_colour(path: Path, data: bytes, format_: str, orientation: int) -> np.ndarray:
    """16-bit colour, or grey with transparency, to 8-bit RGB."""
    try:
        decoder = av.VideoCodecContext.create(_WIDE_CODECS[format_], "r")
        decoder.options = LIMITS
        frame = [*decoder.decode(av.Packet(data)), *decoder.decode(None)][0]
        if frame.format.name not in _WIDE_COLOUR:
            raise ValueError(f"stored as {frame.format.name}")
        values = frame.reformat(format="rgba64le").to_ndarray()
    except (av.FFmpegError, ValueError, KeyError, IndexError) as error:
        raise VideoError(
            f"{str(path)!r}: this kind of 16-bit picture cannot be read ({error})", "save it as 8 bit"
        ) from error
    picture = Image.fromarray(over_background(values[..., :3] / 257, values[..., 3] / 65535))
    picture.getexif()[ExifTags.Base.Orientation] = orientation
    return np.asarray(ImageOps.exif_transpose(picture))


def _in_8_bits(values: np.ndarray) -> np.ndarray:
    """uint16 to uint8: 65,535 becomes 255."""
    return np.rint(values / 257).astype(np.uint8)
