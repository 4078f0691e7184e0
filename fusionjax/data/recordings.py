"""Decodes sound and film with FFmpeg, as a player plays them, whatever the container."""

import ctypes
import io
import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float32, Int16, Int64, UInt8

from fusionjax.config import DataConfig
from fusionjax.data.media import Undecodable, check_pixels

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame

_FRAME_PIXELS = 17_000_000  # of a film's frame, 4096 × 4096; a decoder keeps 16 such and more
_FILM_PIXELS = 2 * 10**12  # decoded of a film: two hours of 4K at 30 frames a second
_FRAMES_A_SECOND = 240  # on average: a byte can ask for a whole frame
_BLOCK_BYTES = 64_000_000  # of one FFmpeg allocation: a frame, or a stream's index
_STREAMS = 32  # FFmpeg leaves further ones out without a word
_HERTZ, _CHANNELS = 384_000, 32  # the most that a sound may declare
_GAP = 0.25  # seconds that a file may end early: containers round, encoders pad
_UNKNOWN = 0x7FFF_0000  # a RIFF size from here on says that it was written to a pipe
# A container is known by its content: a playlist would open other files, and what few use is where
# FFmpeg's faults are found.
_CONTAINERS = "mp4,webm,wav,flac,mp3,ogg,aac"
_NAMES = "MP4, MOV, M4A, WebM, MKV, WAV, FLAC, MP3, OGG, Opus or AAC"
_DECODERS = (
    *("h264", "hevc", "mpeg4", "vp8", "libvpx", "vp9", "libvpx-vp9", "libdav1d", "av1"),
    *("aac", "alac", "mp3", "mp3float", "flac", "vorbis", "opus", "libopus", "ac3", "eac3"),
    *("pcm_u8", "pcm_s16le", "pcm_s24le", "pcm_s32le", "pcm_f32le", "pcm_f64le", "pcm_s16be"),
    *("pcm_s24be", "pcm_alaw", "pcm_mulaw", "adpcm_ms", "adpcm_ima_wav", "gsm_ms"),
)
# A container's header may differ from the stream in it: the decoder must know the limits too.
_BOUNDS = {
    "max_pixels": str(_FRAME_PIXELS),
    "max_streams": str(_STREAMS + 1),
    "threads": "1",  # starting threads costs more than short clips do
    "format_whitelist": _CONTAINERS,
    "codec_whitelist": ",".join(_DECODERS),
    "protocol_whitelist": "none",
}


class _File(io.FileIO):
    """A seek to nowhere fails as FFmpeg knows it; PyAV prints what is raised."""

    def seek(self, offset: int, whence: int = 0) -> int:
        try:
            return super().seek(offset, whence)
        except OSError:
            return -1


def sound(path: Path, config: DataConfig) -> tuple[Int16[np.ndarray, "S"], int]:
    """The first ``audio_seconds`` of a recording or a film's sound track, mono and resampled.

    Mono is the mean of all channels, whatever the container; the loudest one where they cancel.
    """
    size = round(config.audio_seconds * config.audio_sample_rate)
    with _File(path) as raw:
        _check_riff(raw, path.stat().st_size)
        counted = _counts_frames(raw)
        with _opened(raw) as container:
            # Of others FFmpeg guesses the length from the first bit rate.
            stated = container.format.name not in ("mp3", "aac") or counted
            heard = _samples(container, stated, config)
    if not len(heard):
        raise Undecodable("holds no sound")
    mono = np.rint(np.clip(_mono(heard), -1, 1) * 32767).astype(np.int16)
    return np.pad(mono, (0, size - len(mono))), len(mono)


def clip(path: Path, config: DataConfig) -> tuple[UInt8[np.ndarray, "frames height width"], int]:
    """What is seen at evenly spaced times, from the first frame's to the last one's.

    The length is the number of different frames among them.
    """
    with _File(path) as raw, _opened(raw) as container:
        times = _times(container, config)
    with _File(path) as raw, _opened(raw) as container:
        frames, at = _seen(_frames(container), times)
        pixels = np.stack([_grey(frame, config) for frame in frames])
    return pixels[at], len(frames)


def _opened(raw: io.FileIO) -> "InputContainer":
    import av

    # PyAV has no option for this: four bytes can declare an index of a billion frames.
    ctypes.CDLL(av._core.__file__).av_max_alloc(ctypes.c_size_t(_BLOCK_BYTES))
    try:
        return av.open(raw, "r", options=_BOUNDS)
    except av.EOFError as e:
        raise Undecodable("ends before its contents; it may be truncated") from e
    except av.FFmpegError as e:
        raise Undecodable(f"is not a whole {_NAMES} file") from e


def _stream(container: "InputContainer", kind: str) -> Any:
    """The stream of a kind that a player chooses: the default one, else the first."""
    from av.stream import Disposition

    if len(container.streams) > _STREAMS:
        raise Undecodable(f"holds more than {_STREAMS} streams")
    streams = [
        s
        for s in container.streams
        if s.type == kind and not s.disposition & Disposition.attached_pic
    ]
    if not streams:
        raise Undecodable("holds no sound track" if kind == "audio" else "holds no video stream")
    stream: Any = max(streams, key=lambda s: bool(s.disposition & Disposition.default))
    codec = stream.codec_context and stream.codec_context.name
    if codec not in _DECODERS:
        raise Undecodable(f"is coded as {codec or 'something unknown'}, which is not read")
    stream.codec_context.options = _BOUNDS
    return stream


def _packets(container: "InputContainer", stream: Any, declared: float) -> "Iterator[Packet]":
    """The packets of a stream.

    Raises:
      Undecodable: at the end, if no stream lasts as long as ``declared``, in seconds.
    """
    start = (container.start_time or 0) / 1e6
    end = 0.0
    for packet in container.demux():
        if packet.pts is not None:
            stop = packet.pts + (packet.duration or 0)
            end = max(end, float(stop * packet.time_base) - start)
        if packet.stream.index == stream.index:
            yield packet
    if end < declared - _GAP:
        raise Undecodable(f"ends after {end:.1f} of {declared:.1f} s; it may be truncated")


def _samples(
    container: "InputContainer", stated: bool, config: DataConfig
) -> Float32[np.ndarray, "S channels"]:
    """The first ``audio_seconds`` of each channel, resampled; ``stated``: its length is known."""
    import av

    stream, rate = _stream(container, "audio"), config.audio_sample_rate
    size = round(config.audio_seconds * rate)
    if stream.rate > _HERTZ or stream.channels > _CHANNELS:
        raise Undecodable(f"declares {stream.channels} channels at {stream.rate:,} Hz")
    declared = (container.duration or 0) / 1e6 if stated else 0.0
    _check_duration(declared, config)
    # Packed: not every planar frame can be read as an array (PyAV 18.1).
    resampler = av.AudioResampler(format="flt", rate=rate)
    parts, count = [np.zeros((0, stream.channels), np.float32)], 0

    def resampled() -> Iterator[Any]:
        for packet in _packets(container, stream, declared):
            for frame in stream.decode(packet):
                yield from resampler.resample(frame)
        yield from resampler.resample(None)

    for frame in resampled():
        parts.append(frame.to_ndarray().reshape(-1, stream.channels))
        count += len(parts[-1])
        if count >= size:
            break
    else:
        # A lossy encoder fills its last block.
        length = round(float((stream.duration or 0) * stream.time_base) * rate)
        if stated and length < count < length + _GAP * rate:
            size = min(size, length)
    return np.concatenate(parts)[:size]


def _mono(heard: Float32[np.ndarray, "S channels"]) -> Float32[np.ndarray, "S"]:
    """The mean of the channels; the loudest one where that is far softer than chance would have it.

    Of unrelated channels the mean has 1 / channels of their mean power. A tenth of that means that
    they cancel, as a stereo line does of which one wire is reversed.
    """
    mean, power = heard.mean(1), np.square(heard).mean(0)
    if np.square(mean).mean() < power.mean() / (10 * len(power)):
        return heard[:, power.argmax()]
    return mean


def _times(container: "InputContainer", config: DataConfig) -> Int64[np.ndarray, "frames"]:
    """When to look, in units of the stream, from the times of all packets."""
    stream = _stream(container, "video")
    check_pixels(stream.width * stream.height, _FRAME_PIXELS)
    declared = (container.duration or 0) / 1e6
    _check_duration(declared, config)
    most = round(_FRAMES_A_SECOND * config.max_media_seconds)
    count, shown = 0, []
    for packet in _packets(container, stream, declared):
        if packet.pts is None:  # the end
            continue
        count += 1
        if count > most:
            raise Undecodable(f"holds more than {most:,} frames")
        if not packet.is_discard:  # an edit list hides it
            shown.append(packet.pts)
    if count < (stated := len(stream.index_entries)):
        raise Undecodable(f"ends after {count} of {stated} frames; it may be truncated")
    if not shown:
        raise Undecodable("holds no frames")
    first, last = min(shown), max(shown)
    _check_duration(float((last - first) * stream.time_base), config)
    steps = max(config.video_frames - 1, 1)
    return np.array([first + (last - first) * k // steps for k in range(config.video_frames)])


def _frames(container: "InputContainer") -> "Iterator[VideoFrame]":
    """All frames: a kilobyte can ask for hours of large ones that do not change."""
    pixels = 0
    for frame in container.decode(_stream(container, "video")):
        pixels += frame.width * frame.height
        if pixels > _FILM_PIXELS:
            raise Undecodable(f"holds more than {_FILM_PIXELS:,} pixels")
        yield frame


def _seen(
    frames: "Iterable[VideoFrame]", times: Int64[np.ndarray, "frames"]
) -> "tuple[list[VideoFrame], list[int]]":
    """The different frames seen at ``times``, and which of them at each."""
    seen: list[VideoFrame] = []
    at: list[int] = []
    before: VideoFrame | None = None
    for frame in itertools.chain(frames, [None]):
        until = np.iinfo(np.int64).max if frame is None else frame.pts
        if until is None:
            raise Undecodable("holds a frame without a time")
        now = int(np.searchsorted(times, until)) - len(at)
        if before is not None and now > 0:
            at += [len(seen)] * now
            seen.append(before)
        before = frame
    if not seen:
        raise Undecodable("holds no frames")
    return seen, at


def _grey(frame: "VideoFrame", config: DataConfig) -> UInt8[np.ndarray, "height width"]:
    """A frame in grey, resized and turned as its display matrix says."""
    (height, width), (a, b, c, d) = config.video_size, _display_matrix(frame)
    sideways = abs(b) > abs(a)
    size = (height, width) if sideways else (width, height)
    pixels = frame.reformat(*size, "gray").to_ndarray()
    if sideways:
        pixels, a, d = pixels.T, c, b
    return pixels[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]


def _display_matrix(frame: "VideoFrame") -> tuple[int, int, int, int]:
    """a, b, c, d: a pixel at (x, y) is shown at (a x + c y, b x + d y), apart from a shift."""
    from av.sidedata.sidedata import Type

    side_data: Any = frame.side_data  # PyAV's own types know neither its keys nor its bytes
    data = side_data.get(Type.DISPLAYMATRIX)
    if data is None:
        return 1, 0, 0, 1
    a, b, _, c, d, *_ = np.frombuffer(data, np.int32).tolist()
    if min(abs(a) + abs(d), abs(b) + abs(c)) > (abs(a) + abs(b) + abs(c) + abs(d)) / 100:
        raise Undecodable("is shown at an angle; expected quarter turns")
    return a, b, c, d


def _check_duration(seconds: float, config: DataConfig) -> None:
    if seconds > config.max_media_seconds:
        most = f"{config.max_media_seconds:,.0f}"
        raise Undecodable(f"lasts {seconds:,.0f} s; config.data.max_media_seconds allows {most}")


def _check_riff(raw: io.FileIO, size: int) -> None:
    """A WAV that ends early looks whole to FFmpeg; one from a pipe does not know its size."""
    head = raw.read(28)
    raw.seek(0)
    if head[:4] not in (b"RIFF", b"RF64") or head[8:12] != b"WAVE":
        return
    long = head[:4] == b"RF64" and head[12:16] == b"ds64"
    stated = int.from_bytes(head[20:28] if long else head[4:8], "little")
    if size < stated and (long or stated < _UNKNOWN):
        raise Undecodable(f"ends after {size:,} of {stated + 8:,} bytes; it may be truncated")


def _counts_frames(raw: io.FileIO) -> bool:
    """Whether an MP3 begins with a frame that says how many follow (Xing, LAME or Fraunhofer)."""
    head = raw.read(10)
    tagged = head[:3] == b"ID3" and len(head) == 10
    raw.seek(10 + sum((b & 127) << 7 * (3 - i) for i, b in enumerate(head[6:])) if tagged else 0)
    first = raw.read(4096)
    raw.seek(0)
    return any(mark in first for mark in (b"Xing", b"Info", b"VBRI"))
