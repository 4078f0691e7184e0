"""Decodes pictures as a viewer shows them: upright, transparent parts on white, in grey."""

import io
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8

from fusionjax.config import DataConfig
from fusionjax.data.media import Undecodable, check_pixels

if TYPE_CHECKING:
    from PIL.Image import Image

_FORMATS = ("PNG", "JPEG", "GIF", "WEBP")
_PIXELS = 50_000_000  # larger ones may be decompression bombs
_SCANS = 100  # of a JPEG: each scan, even of a few bytes, decodes the whole picture again
# A marker, as opposed to a byte 255 inside a scan, a restart or a filler; these three have no body.
_MARKER = re.compile(rb"\xff([^\x00\xd0-\xd7\xff])", re.DOTALL)
_END, _SCAN, _BARE = b"\xd9", b"\xda", (b"\x01", b"\xd8")


def picture(path: Path, config: DataConfig) -> tuple[UInt8[np.ndarray, "height width"], int]:
    """A picture in grey, resized; its length is 1. Of an animated one, the first picture.

    Grey is .299 R + .587 G + .114 B of the stored numbers: colour profiles are ignored.
    """
    from PIL import Image, UnidentifiedImageError

    height, width = config.image_size
    if path.stat().st_size > 4 * _PIXELS:
        raise Undecodable(f"has more than {4 * _PIXELS:,} bytes")
    content = path.read_bytes()
    try:
        image = Image.open(io.BytesIO(content), formats=_FORMATS)
    except UnidentifiedImageError as e:
        raise Undecodable("is not a PNG, JPEG, GIF or WebP picture") from e
    with image:
        check_pixels(image.width * image.height, _PIXELS)
        if image.format in ("JPEG", "MPO") and _scans(content) > _SCANS:
            raise Undecodable(f"has more than {_SCANS} scans")
        grey, turn = _grey(image), _turn(image)
    # Turned when small: a sideways photograph takes no more memory than an upright one.
    sideways = turn in (5, 6, 7, 8)
    grey = grey.resize((height, width) if sideways else (width, height), Image.Resampling.BILINEAR)
    return _turned(_on_white(grey), turn), 1


def _grey(image: "Image") -> "Image":
    """Mode L, or LA where something is transparent."""
    from PIL import Image

    # Pillow compares the transparent level of 1, 2 and 4 bits with levels that it has scaled to 8.
    tiles = getattr(image, "tile", None)
    scale = {"1": 255, "L;2": 85, "L;4": 17}.get(tiles[0][3], 1) if tiles else 1
    image.load()
    clear = image.info.get("transparency")
    if image.mode == "I;16":  # Pillow clips it to 8 bits
        deep = np.asarray(image)
        levels = Image.fromarray(((deep.astype(np.uint32) + 128) // 257).astype(np.uint8))
        if clear is None:
            return levels
        return Image.merge("LA", (levels, Image.fromarray(deep != clear).convert("L")))
    if image.mode in ("1", "L") and isinstance(clear, int):
        levels = image.convert("L")
        opaque = Image.fromarray(np.asarray(levels) != clear * scale).convert("L")
        return Image.merge("LA", (levels, opaque))
    return image.convert("LA" if image.has_transparency_data else "L")


def _on_white(grey: "Image") -> UInt8[np.ndarray, "height width"]:
    if grey.mode == "L":
        return np.asarray(grey)
    level, opacity = np.moveaxis(np.asarray(grey, np.float32), 2, 0)
    return np.rint(255 + (level - 255) * opacity / 255).astype(np.uint8)


def _turn(image: "Image") -> int:
    """How EXIF or XMP says to show a loaded picture: 1 (as it is) to 8."""
    from PIL import ExifTags

    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # of any class; viewers show a picture whose EXIF is damaged as it is
        return 1


def _turned(
    pixels: UInt8[np.ndarray, "rows columns"], turn: int
) -> UInt8[np.ndarray, "height width"]:
    if turn in (5, 6, 7, 8):
        pixels = pixels.T
    rows = -1 if turn in (3, 4, 7, 8) else 1
    columns = -1 if turn in (2, 3, 6, 7) else 1
    return np.ascontiguousarray(pixels[::rows, ::columns])


def _scans(jpeg: bytes) -> int:
    """Scans up to the end of the picture; a phone's film or second picture may follow it."""
    count = at = 0
    while found := _MARKER.search(jpeg, at):
        name, at = found[1], found.end()
        if name == _END:
            break
        count += name == _SCAN
        if name not in _BARE:
            at += int.from_bytes(jpeg[at : at + 2])
    return count
