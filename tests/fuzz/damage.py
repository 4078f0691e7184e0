"""Bytes that were whole: flipped, cut, repeated, spliced, and fields of their headers rewritten."""

import re
import struct
import zlib
from collections.abc import Callable, Sequence

from hypothesis import strategies as st

_HERE = st.integers(0, 2**16 - 1)  # of a position, modulo the length: short to draw and to shrink
_TAG = re.compile(rb"[A-Za-z]{4}")  # what chunks, boxes and pages begin with
_NUMBERS = (
    *(0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0xFFFFFF),
    *(0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF, 2**63 - 1, 2**63, 2**64 - 1),
)
_HOW = ("flip", "field", "number", "cut", "drop", "repeat", "splice", "raw")
_MOST = 200_000  # bytes of a damaged file: cases stay cheap


@st.composite
def damaged(draw: Callable, whole: Sequence[bytes]) -> bytes:
    """One of the files, with up to six damages; now and then its checksums are made right again."""
    data = bytearray(draw(st.sampled_from(whole)))
    for _ in range(draw(st.integers(0, 6))):
        if data:
            _damage(draw, data, whole)
    del data[_MOST:]
    return _resealed(bytes(data)) if draw(st.booleans()) else bytes(data)


def _damage(draw: Callable, data: bytearray, whole: Sequence[bytes]) -> None:
    at = draw(_HERE) % len(data)
    how = draw(st.sampled_from(_HOW))
    if how == "flip":
        data[at] ^= 1 << draw(st.integers(0, 7))
    elif how in ("field", "number"):
        if how == "field" and (tags := [m.start() for m in _TAG.finditer(data)]):
            at = max(tags[at % len(tags)] + draw(st.integers(-4, 40)), 0)
        width = draw(st.sampled_from([1, 2, 4, 8]))
        number = draw(st.sampled_from(_NUMBERS) | st.integers(0, 2**32 - 1)) % 2 ** (8 * width)
        data[at : at + width] = number.to_bytes(width, draw(st.sampled_from(["big", "little"])))
    elif how == "cut":
        del data[at:]
    elif how == "drop":
        del data[at : at + draw(st.integers(1, 64))]
    elif how == "repeat":
        data[at:at] = data[at : at + draw(st.integers(1, 256))] * draw(st.integers(1, 50))
    elif how == "splice":
        other = draw(st.sampled_from(whole))
        start = draw(_HERE) % max(len(other), 1)
        data[at : at + draw(st.integers(0, 64))] = other[start : start + draw(st.integers(1, 512))]
    else:
        data[at : at + draw(st.integers(0, 16))] = draw(st.binary(max_size=16))


def _resealed(data: bytes) -> bytes:
    """Checksums over what is there, so that damage reaches what lies behind their test."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return _resealed_png(data)
    return _resealed_ogg(data) if data.startswith(b"OggS") else data


def _resealed_png(data: bytes) -> bytes:
    out, at = bytearray(data), 8
    while at + 12 <= len(out):
        (size,) = struct.unpack_from(">I", out, at)
        end = at + 8 + size
        if end + 4 > len(out):
            break
        struct.pack_into(">I", out, end, zlib.crc32(out[at + 4 : end]))
        at = end + 4
    return bytes(out)


def _resealed_ogg(data: bytes) -> bytes:
    starts = [m.start() for m in re.finditer(b"OggS", data)]
    pages = [bytearray(data[a:b]) for a, b in zip(starts, [*starts[1:], None], strict=True)]
    for page in pages:
        if len(page) >= 27:
            page[22:26] = bytes(4)
            page[22:26] = _ogg_sum(page).to_bytes(4, "little")
    return b"".join(pages)


def _ogg_sum(page: bytes) -> int:
    """CRC-32 of polynomial 0x04C11DB7, not reflected, from 0 (RFC 3533)."""
    total = 0
    for byte in page:
        total = (total << 8 & 0xFFFFFFFF) ^ _OGG[total >> 24 ^ byte]
    return total


def _ogg_row(byte: int) -> int:
    row = byte << 24
    for _ in range(8):
        row = (row << 1) ^ (0x04C11DB7 if row & 0x80000000 else 0)
    return row & 0xFFFFFFFF


_OGG = [_ogg_row(byte) for byte in range(256)]
