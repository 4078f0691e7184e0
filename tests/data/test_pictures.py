"""Pictures are read as a viewer shows them, whatever the way in which they are stored."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps
from PIL.PngImagePlugin import PngInfo
from test_media import config

from fusionjax.data import media

SIZE = (24, 36)  # height and width
LIGHT, DARK, WHITE = 200, 10, 255


def shown(path: Path) -> np.ndarray:
    """What is decoded at the size at which it is stored."""
    return media.decoder("image", config(image_size=SIZE))(path)[0]


def arrow() -> Image.Image:
    """Of eight ways to lay it, no two look alike."""
    grey = np.full(SIZE, 250, np.uint8)
    grey[2:8, 2:30] = DARK
    grey[8:20, 24:30] = 120
    return Image.fromarray(grey)


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(colour: int, depth: int, row: bytes, *more: bytes, width: int = 2) -> bytes:
    """A PNG of a single row."""
    header = struct.pack(">IIBBBBB", width, 1, depth, colour, 0, 0, 0)
    body = chunk(b"IDAT", zlib.compress(b"\0" + row)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(more) + body


def clear(*levels: int) -> bytes:
    """Says which grey or colour is transparent."""
    return chunk(b"tRNS", struct.pack(f">{len(levels)}H", *levels))


@pytest.mark.parametrize("kind", ["jpg", "png", "webp", "xmp"])
@pytest.mark.parametrize("turn", range(1, 9))
def test_a_photograph_is_turned_upright(tmp_path: Path, turn: int, kind: str) -> None:
    """Pillow turns the stored picture back; the way it must be stored is found by trying all."""
    exif = Image.Exif()
    exif[0x0112] = turn
    ways = [arrow(), *(arrow().transpose(way) for way in Image.Transpose)]
    for stored in ways:
        stored.getexif()[0x0112] = turn
    upright = [s for s in ways if ImageOps.exif_transpose(s).tobytes() == arrow().tobytes()]
    upright = [s for s in upright if ImageOps.exif_transpose(s).size == arrow().size]
    path = tmp_path / f"a.{'png' if kind == 'xmp' else kind}"
    stored = Image.frombytes("L", upright[0].size, upright[0].tobytes()).convert("RGB")
    if kind == "xmp":
        words = PngInfo()
        words.add_itxt(
            "XML:com.adobe.xmp",
            '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description xmlns:tiff="http://ns.adobe.com/'
            f'tiff/1.0/" tiff:Orientation="{turn}"/></x:xmpmeta>',
        )
        stored.save(path, pnginfo=words)
    else:
        stored.save(path, exif=exif, **({"lossless": True} if kind == "webp" else {"quality": 95}))
    difference = shown(path).astype(int) - np.asarray(arrow())
    assert np.abs(difference).max() <= (25 if kind == "jpg" else 1)
    assert np.abs(difference).mean() < 2


@pytest.mark.parametrize("exif", [b"Exif\0\0garbage!", b"Exif\0\0II*\0\x08\0\0\0\xff\xff", b"x"])
@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_damaged_exif_hides_no_picture(tmp_path: Path, exif: bytes, suffix: str) -> None:
    arrow().save(tmp_path / f"a.{suffix}", exif=exif)
    assert np.abs(shown(tmp_path / f"a.{suffix}").astype(int) - np.asarray(arrow())).mean() < 2


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [(m, s) for m in ("RGBA", "LA", "P") for s in ("png", "webp")] + [("RGBA", "gif")],
)
def test_transparent_parts_are_white(tmp_path: Path, mode: str, suffix: str) -> None:
    """A dark line on nothing, whose hidden colour is black."""
    drawing = Image.new("RGBA", SIZE[::-1], (0, 0, 0, 0))
    drawing.paste((DARK, DARK, DARK, 255), (6, 6, 30, 18))
    how = {"lossless": True} if suffix == "webp" else {}
    picture = drawing.quantize(2) if mode == "P" else drawing.convert(mode)
    picture.save(tmp_path / f"a.{suffix}", **how)
    expected = np.full(SIZE, WHITE)
    expected[6:18, 6:30] = DARK
    np.testing.assert_allclose(shown(tmp_path / f"a.{suffix}"), expected, atol=1)


def test_half_transparent_parts_are_mixed_with_white(tmp_path: Path) -> None:
    Image.new("RGBA", (4, 4), (55, 55, 55, 51)).save(tmp_path / "a.png")
    assert np.unique(shown(tmp_path / "a.png")).tolist() == [round(255 - 200 * 51 / 255)]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (png(0, 16, struct.pack(">2H", 257 * DARK, 257 * LIGHT)), (DARK, LIGHT)),
        (png(0, 16, struct.pack(">2H", 0, 65_535)), (0, 255)),
        (png(0, 16, struct.pack(">2H", 2600, 51_400), clear(2600)), (WHITE, LIGHT)),
        (png(2, 16, struct.pack(">6H", *[257 * DARK] * 3, *[257 * LIGHT] * 3)), (DARK, LIGHT)),
        (png(4, 16, struct.pack(">4H", 2570, 65_535, 0, 0)), (DARK, WHITE)),
        (png(6, 16, struct.pack(">8H", *[2570] * 3, 65_535, 0, 0, 0, 0)), (DARK, WHITE)),
        (png(0, 8, bytes([DARK, LIGHT]), clear(DARK)), (WHITE, LIGHT)),
        (png(0, 4, b"\x2c", clear(2)), (WHITE, 12 * 17)),
        (png(0, 2, b"\x10", clear(0)), (WHITE, 85)),
        (png(0, 2, b"\x10", clear(1)), (0, WHITE)),
        (png(0, 1, b"\x40", clear(1)), (0, WHITE)),
        (png(0, 1, b"\x40", clear(0)), (WHITE, 255)),
        (png(2, 8, bytes([DARK] * 3 + [LIGHT] * 3), clear(DARK, DARK, DARK)), (WHITE, LIGHT)),
        (
            png(
                *(3, 8, b"\0\1"),
                *(chunk(b"PLTE", bytes([DARK] * 3 + [LIGHT] * 3)), chunk(b"tRNS", b"\xff\0")),
            ),
            (DARK, WHITE),
        ),
    ],
    ids=[
        *(
            "16 bit grey",
            "its ends",
            "16 bit grey, one clear",
            "16 bit colour",
            "16 bit grey+alpha",
        ),
        *("16 bit colour+alpha", "8 bit, one clear", "4 bit", "2 bit black", "2 bit grey"),
        *("white", "black", "colour, one clear", "palette"),
    ],
)
def test_each_depth_and_way_to_be_transparent(
    tmp_path: Path, content: bytes, expected: tuple[int, int]
) -> None:
    (tmp_path / "a.png").write_bytes(content)
    pixels, _ = media.decoder("image", config(image_size=(1, 2)))(tmp_path / "a.png")
    np.testing.assert_allclose(pixels, [expected], atol=1)


def test_print_colours_and_profiles_are_read_by_their_numbers(tmp_path: Path) -> None:
    arrow().convert("RGB").convert("CMYK").save(tmp_path / "ink.jpg", quality=95)
    assert np.abs(shown(tmp_path / "ink.jpg").astype(int) - np.asarray(arrow())).mean() < 2
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    arrow().save(tmp_path / "profile.png", icc_profile=profile)
    np.testing.assert_array_equal(shown(tmp_path / "profile.png"), np.asarray(arrow()))


@pytest.mark.parametrize("suffix", ["gif", "webp", "png"])
def test_of_an_animation_the_first_picture_is_shown(tmp_path: Path, suffix: str) -> None:
    blank = Image.new("L", arrow().size, 60)
    how = {"lossless": True} if suffix == "webp" else {}
    arrow().save(tmp_path / f"a.{suffix}", save_all=True, append_images=[blank, blank], **how)
    assert np.abs(shown(tmp_path / f"a.{suffix}").astype(int) - np.asarray(arrow())).max() <= 1


def test_a_phones_picture_may_be_followed_by_its_film(tmp_path: Path) -> None:
    """In a film of some megabytes there are hundreds of pairs of bytes that look like scans."""
    raw = io.BytesIO()
    arrow().save(raw, "JPEG", quality=95)
    (tmp_path / "motion.jpg").write_bytes(raw.getvalue() + b"\xff\xda" * 1000)
    assert np.abs(shown(tmp_path / "motion.jpg").astype(int) - np.asarray(arrow())).mean() < 2
    arrow().convert("RGB").save(
        tmp_path / "two.jpg", "MPO", save_all=True, append_images=[arrow().convert("RGB")]
    )
    assert np.abs(shown(tmp_path / "two.jpg").astype(int) - np.asarray(arrow())).mean() < 2


def test_a_second_picture_hides_no_scans(tmp_path: Path) -> None:
    """A JPEG with a table of several pictures has a format of its own in Pillow."""
    raw = io.BytesIO()
    arrow().save(raw, "MPO", save_all=True, append_images=[arrow()], progressive=True)
    whole = raw.getvalue()
    end = whole.index(b"\xff\xd9")
    last = whole.rindex(b"\xff\xda", 0, end)
    (tmp_path / "a.jpg").write_bytes(whole[:last] + whole[last:end] * 200 + whole[end:])
    with pytest.raises(media.Undecodable, match="has more than 100 scans"):
        shown(tmp_path / "a.jpg")


@pytest.mark.parametrize("form", ["BMP", "TIFF", "PDF", "ICO"])
def test_another_format_is_told_so(tmp_path: Path, form: str) -> None:
    arrow().save(tmp_path / "a.png", form)
    with pytest.raises(media.Undecodable, match="is not a PNG, JPEG, GIF or WebP picture"):
        shown(tmp_path / "a.png")
