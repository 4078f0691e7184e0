"""Decodes pictures, sound, video and feature frames to arrays of a fixed shape.

Files are untrusted: headers are checked against limits before anything is decoded.
"""

import ctypes
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from jaxtyping import Float32, Int16, UInt8

from fusionjax.config import DataConfig
from fusionjax.errors import require_extra
from fusionjax.registry import MODALITIES

if TYPE_CHECKING:
    from av.container import InputContainer

_PIXELS = 50_000_000  # of a picture; larger ones may be decompression bombs
_FRAME_PIXELS = 17_000_000  # of a video's frame, 4096 × 4096; a decoder keeps 16 such and more
_SCANS = 100  # of a JPEG: each scan, even of a few bytes, decodes the whole picture again
# A container's header may differ from the stream in it: the decoder must know the limit too.
_BOUNDS = {"max_pixels": str(_FRAME_PIXELS), "max_streams": "10", "threads": "1"}
_BLOCK_BYTES = 64_000_000  # of one FFmpeg allocation: a frame, or a stream's index
_HERTZ, _CHANNELS = 384_000, 32  # the most a sound file may declare
_BLOCK = 65_536  # samples read at once
_TABLE_BYTES = 64_000_000  # of a table of frames as a file; unpacked, eight times as many


class Undecodable(Exception):
    """A file cannot be used; the message says why."""


def folders() -> dict[str, str]:
    """Kinds of modalities that read files, and the subfolder of a market folder for each."""
    by_kind = {kind: MODALITIES[kind].folder for kind in MODALITIES}
    return {kind: folder for kind, folder in by_kind.items() if folder}


def decoder(kind: str, config: DataConfig) -> Callable[[Path], tuple[np.ndarray, int]]:
    """``decode(path) -> (array, length)`` for a kind of file; the length excludes padding.

    The array has the kind's ``shape`` and ``dtype``. ``decode`` raises ``Undecodable``.

    Raises:
      InputError: the packages that decode are not installed.
    """
    decode = MODALITIES[kind].decoder(config)

    def guarded(path: Path) -> tuple[np.ndarray, int]:
        try:
            if path.exists() and not path.is_file():  # reading a pipe would block
                raise Undecodable("is not a regular file")
            return decode(path)
        except Undecodable:
            raise
        except FileNotFoundError as e:
            raise Undecodable("missing") from e
        except Exception as e:  # a damaged file may raise an error of any class
            reason = str(e).splitlines()[0] if str(e) else type(e).__name__
            raise Undecodable(f"cannot be decoded ({reason}); it may be truncated") from e

    return guarded


def require_packages() -> None:
    """Raises InputError unless the packages that read and write media are installed."""
    require_extra("media", "av", "PIL", "soundfile")


def picture(path: Path, config: DataConfig) -> tuple[UInt8[np.ndarray, "height width"], int]:
    """A picture in grey, resized; its length is 1."""
    from PIL import Image

    height, width = config.image_size
    with Image.open(path, formats=["PNG", "JPEG"]) as image:
        _check_pixels(image.width * image.height, _PIXELS)
        if path.stat().st_size > 4 * _PIXELS:
            raise Undecodable(f"has more than {4 * _PIXELS:,} bytes")
        if image.format == "JPEG" and path.read_bytes().count(b"\xff\xda") > _SCANS:
            raise Undecodable(f"has more than {_SCANS} scans")
        grey = image.convert("L").resize((width, height), Image.Resampling.BILINEAR)
        return np.asarray(grey), 1


def sound(path: Path, config: DataConfig) -> tuple[Int16[np.ndarray, "S"], int]:
    """The first ``audio_seconds`` of a recording or an MP4's sound track, mono and resampled."""
    size = round(config.audio_seconds * config.audio_sample_rate)
    track = _sound_track if path.suffix.lower() == ".mp4" else _recording
    mono = track(path, config)[:size]
    if not len(mono):
        raise Undecodable("holds no sound")
    mono = np.rint(np.clip(mono, -1, 1) * 32767).astype(np.int16)
    return np.pad(mono, (0, size - len(mono))), len(mono)


def _recording(path: Path, config: DataConfig) -> Float32[np.ndarray, "S"]:
    import soundfile
    from scipy.signal import resample_poly

    with soundfile.SoundFile(path) as f:
        if f.format not in ("WAV", "FLAC", "MP3", "OGG", "WAVEX"):
            raise Undecodable(f"holds {f.format}; expected WAV, FLAC, MP3 or OGG")
        _check_sound(f.samplerate, f.channels)
        _check_duration(f.frames / f.samplerate, config)
        frames = min(f.frames, round(config.audio_seconds * f.samplerate))
        parts = [
            f.read(min(_BLOCK, frames - start), dtype="float32", always_2d=True).mean(1)
            for start in range(0, frames, _BLOCK)
        ]
        rate = f.samplerate
    mono = np.concatenate([np.zeros(0, np.float32), *parts])
    if len(mono) < frames:
        raise Undecodable(f"ends after {len(mono)} of {frames} samples; it may be truncated")
    if rate != config.audio_sample_rate:
        step = np.gcd(rate, config.audio_sample_rate)
        mono = resample_poly(mono, config.audio_sample_rate // step, rate // step)
    return mono.astype(np.float32)


def _sound_track(path: Path, config: DataConfig) -> Float32[np.ndarray, "S"]:
    import av
    from av.audio.frame import AudioFrame

    size = round(config.audio_seconds * config.audio_sample_rate)
    parts, count = [np.zeros(0, np.float32)], 0
    with path.open("rb") as raw, _open_mp4(raw) as container:
        if not container.streams.audio:
            raise Undecodable("holds no sound track")
        stream = container.streams.audio[0]
        _check_sound(stream.rate or 0, stream.channels)
        _check_duration(float((container.duration or 0) / av.time_base), config)
        resampler = av.AudioResampler(format="flt", layout="mono", rate=config.audio_sample_rate)

        def resampled() -> Iterator[AudioFrame]:
            for frame in container.decode(stream):
                yield from resampler.resample(frame)
            yield from resampler.resample(None)

        for frame in resampled():
            parts.append(frame.to_ndarray()[0].astype(np.float32))
            count += len(parts[-1])
            if count >= size:
                break
    return np.concatenate(parts)


def table(path: Path, config: DataConfig) -> tuple[Float32[np.ndarray, "frames features"], int]:
    """The first rows of a parquet or CSV table, all of whose columns are features; NaN where a cell
    is empty or not a number."""
    _check_bytes(path.stat().st_size)
    if path.suffix.lower() not in (".parquet", ".csv"):
        raise Undecodable("is neither .parquet nor .csv")
    if path.suffix.lower() == ".parquet":
        with pq.ParquetFile(path) as f:
            groups = range(f.metadata.num_row_groups)
            _check_bytes(sum(f.metadata.row_group(i).total_byte_size for i in groups) // 8)
            count, columns = f.metadata.num_rows, f.metadata.num_columns
            _check_columns(columns, config)
            pages = f.iter_batches(min(config.max_frames, max(count, 1)))
            rows = next((p.to_pandas() for p in pages), pd.DataFrame())
    else:
        rows = pd.read_csv(
            path, nrows=config.max_frames, compression=None, float_precision="round_trip"
        )
        _check_columns(rows.shape[1], config)
    if not len(rows):
        raise Undecodable("holds no rows")
    numbers = rows.apply(pd.to_numeric, errors="coerce").to_numpy(np.float32)
    numbers = np.where(np.isfinite(numbers), numbers, np.float32(np.nan))[: config.max_frames]
    padding = np.full((config.max_frames - len(numbers), config.frame_features), np.nan, np.float32)
    return np.concatenate([numbers, padding]), len(numbers)


def _check_bytes(size: int) -> None:
    if size > _TABLE_BYTES:
        raise Undecodable(f"has more than {_TABLE_BYTES:,} bytes; a table of frames is smaller")


def _check_columns(columns: int, config: DataConfig) -> None:
    if columns != config.frame_features:
        raise Undecodable(
            f"has {columns} columns; config.data.frame_features is {config.frame_features}"
        )


def _check_sound(rate: int, channels: int) -> None:
    if rate > _HERTZ or channels > _CHANNELS:
        raise Undecodable(f"declares {channels} channels at {rate:,} Hz")


def clip(path: Path, config: DataConfig) -> tuple[UInt8[np.ndarray, "frames height width"], int]:
    """Evenly spaced frames, first and last included if the stream declares its length."""
    import av
    from av.video.frame import VideoFrame

    height, width = config.video_size
    with path.open("rb") as raw, _open_mp4(raw) as container:
        if not container.streams.video:
            raise Undecodable("holds no video stream")
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1  # starting threads costs more than short clips do
        stream.codec_context.options = _BOUNDS
        _check_pixels(stream.width * stream.height, _FRAME_PIXELS)
        _check_duration(float((container.duration or 0) / av.time_base), config)
        total = max(stream.frames, 1)
        keep = np.unique(np.rint(np.linspace(0, total - 1, config.video_frames)).astype(int))
        frames: list[VideoFrame] = []
        for i, frame in enumerate(itertools.islice(container.decode(stream), total)):
            if i in keep:
                frames.append(frame.reformat(width, height, "gray"))
    if len(frames) < len(keep):
        raise Undecodable(f"ends after {len(frames)} of {len(keep)} frames; it may be truncated")
    at = np.rint(np.linspace(0, len(frames) - 1, config.video_frames)).astype(int)
    pixels = np.stack([frame.to_ndarray() for frame in frames])
    return pixels[at], len(frames)


def _open_mp4(raw: IO[bytes]) -> "InputContainer":
    """Opens an MP4. If FFmpeg guessed the format, a playlist could make it open other files."""
    import av

    # PyAV has no option for this: four bytes can declare an index of a billion frames.
    ctypes.CDLL(av._core.__file__).av_max_alloc(ctypes.c_size_t(_BLOCK_BYTES))
    return av.open(raw, "r", format="mp4", options=_BOUNDS)


def _check_pixels(pixels: int, most: int) -> None:
    if not 0 < pixels <= most:
        raise Undecodable(f"declares {pixels:,} pixels; expected 1 to {most:,}")


def _check_duration(seconds: float, config: DataConfig) -> None:
    if seconds > config.max_media_seconds:
        most = f"{config.max_media_seconds:,.0f}"
        raise Undecodable(f"lasts {seconds:,.0f} s; config.data.max_media_seconds allows {most}")
