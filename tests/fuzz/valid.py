"""Small whole files to damage: each format that the readers take, in several of its dialects."""

import functools
import io

import av
import numpy as np
import soundfile
from PIL import Image
from PIL.PngImagePlugin import PngInfo


def _picture(mode: str) -> Image.Image:
    levels = np.arange(12 * 8 * 4, dtype=np.uint8).reshape(8, 12, 4)
    return Image.fromarray(levels, "RGBA").convert(mode)


@functools.cache
def pictures() -> tuple[bytes, ...]:
    """PNG, JPEG, GIF and WebP."""
    files = []
    for mode in ("L", "RGB", "RGBA", "P", "1", "I;16"):
        raw = io.BytesIO()
        picture = _picture("I").convert("I;16") if mode == "I;16" else _picture(mode)
        picture.save(raw, "PNG", pnginfo=_words() if mode == "L" else None)
        files.append(raw.getvalue())
    for mode, more in (("L", {}), ("RGB", {"progressive": True}), ("CMYK", {"comment": b"x"})):
        raw = io.BytesIO()
        exif = Image.Exif()
        exif[274] = 6  # turned on its side
        _picture(mode).save(raw, "JPEG", exif=exif, **more)
        files.append(raw.getvalue())
    for form, more in (("GIF", {}), ("WEBP", {"lossless": True}), ("WEBP", {}), ("MPO", {})):
        raw = io.BytesIO()
        mode = "RGB" if form == "MPO" else "RGBA"
        more = more | ({} if form == "WEBP" else {"append_images": [_picture(mode)]})
        _picture(mode).save(raw, form, save_all="append_images" in more, **more)
        files.append(raw.getvalue())
    return tuple(files)


def _words() -> PngInfo:
    words = PngInfo()
    words.add_text("Title", "x" * 40, zip=True)
    words.add_itxt("Comment", "ü", "de", "Wort")
    return words


@functools.cache
def recordings() -> tuple[bytes, ...]:
    """WAV, FLAC, MP3, OGG, AAC and M4A."""
    tone = 0.5 * np.sin(np.arange(600) / 5)
    stereo = np.stack([tone, -tone], 1)
    files = []
    for form, subtype, sound, rate in (
        ("WAV", "PCM_16", tone, 8000),
        ("WAV", "FLOAT", stereo, 44_100),
        ("WAV", "ULAW", tone, 8000),
        ("WAV", "IMA_ADPCM", tone, 8000),
        ("WAVEX", "PCM_24", stereo, 8000),
        ("RF64", "PCM_16", tone, 8000),
        ("FLAC", "PCM_16", stereo, 16_000),
        ("OGG", "VORBIS", tone, 8000),
        ("OGG", "OPUS", tone, 48_000),
        ("MP3", "MPEG_LAYER_III", tone, 16_000),
    ):
        raw = io.BytesIO()
        soundfile.write(raw, sound, rate, format=form, subtype=subtype)
        files.append(raw.getvalue())
    for form in ("adts", "ipod"):
        raw = io.BytesIO()
        with av.open(raw, "w", format=form) as container:
            _sing(container)
        files.append(raw.getvalue())
    return tuple(files)


def _sing(container: av.container.OutputContainer) -> None:
    """Adds a tone, as AAC."""
    stream = container.add_stream("aac", rate=8000, layout="mono")
    tone = np.sin(np.arange(2048) / 5, dtype=np.float32)[None] / 2
    frame = av.AudioFrame.from_ndarray(tone, "flt", "mono")
    frame.sample_rate = 8000
    container.mux(stream.encode(frame))
    container.mux(stream.encode())


@functools.cache
def clips() -> tuple[bytes, ...]:
    """MP4, whole and in fragments, WebM and MKV; with and without sound."""
    pieces = {"movflags": "frag_keyframe+empty_moov"}
    forms = [("mp4", codec, {}) for codec in ("mpeg4", "libx264")]
    forms += [("mp4", "libx264", pieces), ("webm", "libvpx-vp9", {}), ("matroska", "libx264", {})]
    return tuple(
        _clip(form, codec, options, sound)
        for form, codec, options in forms
        for sound in (False, True)
        if not (sound and form == "webm")  # has no AAC
    )


def _clip(form: str, codec: str, options: dict[str, str], sound: bool) -> bytes:
    raw = io.BytesIO()
    with av.open(raw, "w", format=form, options=options) as container:
        stream = container.add_stream(codec, rate=4)
        stream.width, stream.height, stream.pix_fmt = 32, 16, "yuv420p"
        frames = []
        for level in range(0, 240, 48):
            grey = np.full((24, 32), 128, np.uint8)
            grey[:16] = level
            frames.append(av.VideoFrame.from_ndarray(grey, format="yuv420p"))
        if sound:
            _sing(container)
        for frame in [*frames, None]:
            container.mux(stream.encode(frame))
    return raw.getvalue()
