"""Files to arrays: what is decoded is what was written, and what cannot be says why."""

import io
import os
import resource
import struct
import zlib
from pathlib import Path

import av
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from PIL import Image

from fusionjax.config import DataConfig
from fusionjax.configs import base
from fusionjax.data import media


def config(**changes: object) -> DataConfig:
    c = base.get_config().data
    c.image_size, c.video_size, c.video_frames = (4, 6), (16, 32), 4
    c.audio_sample_rate, c.audio_seconds = 8000, 1.0
    c.update(changes)
    raw = {k: tuple(v) if isinstance(v, list) else v for k, v in c.to_dict().items()}
    return DataConfig(**raw)


def write_video(path: Path, levels: list[int], rate: int = 4) -> None:
    with av.open(path, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.width, stream.height, stream.pix_fmt = 64, 32, "yuv420p"
        for level in levels:
            grey = np.full((48, 64), 128, np.uint8)
            grey[:32] = level
            container.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="yuv420p")))
        container.mux(stream.encode())


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_pictures_become_grey_at_the_size_asked_for(tmp_path: Path, suffix: str) -> None:
    colour = np.zeros((40, 60, 3), np.uint8)
    colour[:, 30:] = 200
    Image.fromarray(colour).save(tmp_path / f"a.{suffix}")
    pixels, length = media.decoder("image", config())(tmp_path / f"a.{suffix}")
    assert (pixels.shape, pixels.dtype, length) == ((4, 6), np.uint8, 1)
    assert pixels[:, 0].max() < 10
    assert pixels[:, -1].min() > 190


@pytest.mark.parametrize(
    ("suffix", "subtype"), [("wav", "PCM_16"), ("flac", "PCM_16"), ("mp3", None)]
)
def test_sound_becomes_mono_at_the_rate_asked_for(
    tmp_path: Path, suffix: str, subtype: str | None
) -> None:
    """A tone of 440 Hz, left channel only, half a second at 44.1 kHz."""
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(22_050) / 44_100)
    stereo = np.stack([tone, np.zeros_like(tone)], 1)
    soundfile.write(tmp_path / f"a.{suffix}", stereo, 44_100, subtype=subtype)
    samples, length = media.decoder("audio", config())(tmp_path / f"a.{suffix}")
    assert (samples.shape, samples.dtype) == ((8000,), np.int16)
    assert abs(length - 4000) < (600 if suffix == "mp3" else 2)  # MP3 pads its ends
    assert not samples[length:].any()
    spectrum = np.abs(np.fft.rfft(samples[500:3500] / 32768.0)) * 2 / 3000
    assert spectrum.argmax() == round(440 * 3000 / 8000)
    np.testing.assert_allclose(spectrum.max(), 0.25, rtol=0.02)  # the mean of 0.5 and silence


def test_only_the_first_seconds_are_heard(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.r_[np.zeros(8000), np.ones(80_000)], 8000)
    samples, length = media.decoder("audio", config())(tmp_path / "a.wav")
    assert length == 8000
    assert not samples.any()


def test_video_frames_are_evenly_spaced_ends_included(tmp_path: Path) -> None:
    levels = [20 * i + 20 for i in range(10)]
    write_video(tmp_path / "a.mp4", levels)
    frames, length = media.decoder("video", config())(tmp_path / "a.mp4")
    assert (frames.shape, frames.dtype, length) == ((4, 16, 32), np.uint8, 4)
    level = frames.mean((1, 2))
    # Broadcast luma 16-235 to full range: (y - 16) · 255 / 219.
    expected = (np.array([20, 80, 140, 200]) - 16) * 255 / 219
    np.testing.assert_allclose(level, expected, atol=4)


def test_a_short_video_repeats_its_frames(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", [50, 200])
    frames, length = media.decoder("video", config())(tmp_path / "a.mp4")
    assert length == 2
    assert np.abs(np.diff(frames.mean((1, 2)))).astype(int).tolist()[0] == 0


def png_declaring(width: int, height: int) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = zlib.compress(b"\0" * 100)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    )


def test_what_cannot_be_decoded_says_why(tmp_path: Path) -> None:
    (tmp_path / "bomb.png").write_bytes(png_declaring(60_000, 60_000))
    (tmp_path / "text.png").write_bytes(b"not a picture")
    Image.new("L", (40, 40), 9).save(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:60])
    soundfile.write(tmp_path / "long.wav", np.zeros(8000 * 20), 8000)
    soundfile.write(tmp_path / "wide.wav", np.zeros((10, 40)), 8000)
    soundfile.write(tmp_path / "fast.wav", np.zeros(10), 4_000_000)
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), 8000)
    soundfile.write(tmp_path / "whole.mp3", np.zeros(8000), 8000)
    (tmp_path / "cut.mp3").write_bytes((tmp_path / "whole.mp3").read_bytes()[:20])
    write_video(tmp_path / "whole.mp4", [90] * 40)
    whole = (tmp_path / "whole.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: whole.index(b"moov") - 4])  # where the index begins
    write_video(tmp_path / "ten_hours.mp4", [90] * 3, rate=1)
    (tmp_path / "playlist.mp4").write_text("#EXTM3U\nfile:///etc/passwd\n")
    for kind, name, why in (
        ("image", "bomb.png", "3,600,000,000 pixels|decompression bomb"),
        ("image", "text.png", "is not a PNG, JPEG, GIF or WebP picture"),
        ("image", "cut.png", "cannot be decoded"),
        ("image", "absent.png", "missing"),
        ("audio", "long.wav", "lasts 20 s; config.data.max_media_seconds allows 10"),
        ("audio", "wide.wav", "declares 40 channels"),
        ("audio", "fast.wav", "declares 1 channels at 4,000,000 Hz"),
        ("audio", "empty.wav", "holds no sound"),
        ("audio", "cut.mp3", "is not a whole MP4, MOV, M4A"),
        ("video", "cut.mp4", "is not a whole MP4, MOV, M4A"),
        ("video", "playlist.mp4", "is not a whole MP4, MOV, M4A"),
    ):
        decode = media.decoder(kind, config(max_media_seconds=10.0))
        with pytest.raises(media.Undecodable, match=why):
            decode(tmp_path / name)
    with pytest.raises(media.Undecodable, match="lasts 3 s"):
        media.decoder("video", config(max_media_seconds=2.0))(tmp_path / "ten_hours.mp4")


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for kind in media.folders():
        with pytest.raises(media.Undecodable, match="is not a regular file"):
            media.decoder(kind, config())(tmp_path / "pipe")


def test_a_jpeg_that_paints_itself_over_and_over_is_not_painted(tmp_path: Path) -> None:
    """Each of 80,000 scans of a few bytes would take 30 ms: 40 minutes of 6 MB."""
    raw = io.BytesIO()
    Image.new("L", (7000, 7000)).save(raw, "JPEG", progressive=True)
    whole = raw.getvalue()
    last, end = whole.rindex(b"\xff\xda"), whole.rindex(b"\xff\xd9")
    (tmp_path / "a.jpg").write_bytes(whole[:last] + whole[last:end] * 80_000 + whole[end:])
    with pytest.raises(media.Undecodable, match="has more than 100 scans"):
        media.decoder("image", config())(tmp_path / "a.jpg")


def fields(mp4: bytes, box: bytes, offset: int, *numbers: int) -> bytes:
    """The file with other numbers in a box, counted from its name."""
    at = mp4.index(box) + offset
    new = struct.pack(f">{len(numbers)}I", *numbers)
    return mp4[:at] + new + mp4[at + len(new) :]


def test_a_video_takes_no_more_memory_than_its_frames_need(tmp_path: Path) -> None:
    """A kilobyte that declares an index of 80 million frames: 2.8 GB; and frames larger than the
    container says."""
    write_video(tmp_path / "a.mp4", [1, 2, 3, 4, 5])
    whole = (tmp_path / "a.mp4").read_bytes()
    many = fields(fields(whole, b"stsz", 8, 1, 80_000_000), b"stsc", 16, 80_000_000)
    (tmp_path / "a.mp4").write_bytes(many)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(media.Undecodable, match="declares 0 pixels|cannot be decoded"):
        media.decoder("video", config())(tmp_path / "a.mp4")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # kilobytes
    with av.open(tmp_path / "b.mp4", "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=4)
        stream.width, stream.height, stream.pix_fmt = 4608, 4096, "yuv420p"
        container.mux(stream.encode(av.VideoFrame(4608, 4096, "yuv420p")))
        container.mux(stream.encode())
    large = (tmp_path / "b.mp4").read_bytes()
    at = large.index(b"avc1", large.index(b"stsd")) + 28  # the size that the container says
    (tmp_path / "b.mp4").write_bytes(large[:at] + struct.pack(">HH", 32, 16) + large[at + 4 :])
    with pytest.raises(media.Undecodable, match="declares 18,874,368 pixels; expected 1 to 17,00"):
        media.decoder("video", config())(tmp_path / "b.mp4")


def tone(hertz: int, seconds: float, rate: int) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype("f4")


def write_video_with_sound(path: Path) -> None:
    with av.open(path, "w", format="mp4") as container:
        picture = container.add_stream("mpeg4", rate=4)
        picture.width, picture.height, picture.pix_fmt = 64, 32, "yuv420p"
        sound = container.add_stream("aac", rate=44_100, layout="mono")
        for _ in range(8):
            grey = np.full((48, 64), 128, np.uint8)
            container.mux(picture.encode(av.VideoFrame.from_ndarray(grey, format="yuv420p")))
        heard = av.AudioFrame.from_ndarray(tone(440, 2, 44_100)[None], "flt", "mono")
        heard.sample_rate = 44_100
        container.mux(sound.encode(heard))
        container.mux(sound.encode())
        container.mux(picture.encode())


def test_the_sound_track_of_a_video_is_heard(tmp_path: Path) -> None:
    write_video_with_sound(tmp_path / "talk.mp4")
    samples, length = media.decoder("audio", config())(tmp_path / "talk.mp4")
    assert (samples.shape, samples.dtype, length) == ((8000,), np.int16, 8000)
    power = np.abs(np.fft.rfft(samples[2000:6000]))
    assert abs(power.argmax() * 2 - 440) <= 4, "the tone's pitch, at the rate asked for"
    write_video(tmp_path / "mute.mp4", [1, 2, 3, 4])
    with pytest.raises(media.Undecodable, match="holds no sound track"):
        media.decoder("audio", config())(tmp_path / "mute.mp4")


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_feature_frames_keep_their_numbers_and_mark_dirt(tmp_path: Path, suffix: str) -> None:
    table = pd.DataFrame({"pitch": ["201.5", "--undefined--", "90"], "jitter": [0.1, 0.2, np.inf]})
    path = tmp_path / f"a.{suffix}"
    table.to_parquet(path) if suffix == "parquet" else table.to_csv(path, index=False)
    x, length = media.decoder("frames", config(max_frames=4, frame_features=2))(path)
    nan = np.float32(np.nan)
    expected = np.array([[201.5, 0.1], [nan, 0.2], [90, nan], [nan, nan]], np.float32)
    np.testing.assert_array_equal(x, expected)
    assert length == 3
    longer, length = media.decoder("frames", config(max_frames=2, frame_features=2))(path)
    np.testing.assert_array_equal(longer, expected[:2])
    assert length == 2
    with pytest.raises(media.Undecodable, match="has 2 columns; config.data.frame_features is 29"):
        media.decoder("frames", config(max_frames=4, frame_features=29))(path)
    path.write_bytes(b"PAR1" if suffix == "parquet" else b"a,b\n")
    with pytest.raises(media.Undecodable, match="cannot be decoded|holds no rows"):
        media.decoder("frames", config(max_frames=4, frame_features=2))(path)


def test_small_row_groups_and_categories_lose_no_frame(tmp_path: Path) -> None:
    words = pd.Series(["1.5", "2.5"] * 32, dtype="category")
    table = pd.DataFrame({"word": words, "x": np.arange(64.0)})
    table.to_parquet(tmp_path / "a.parquet", row_group_size=10)
    decode = media.decoder("frames", config(max_frames=50, frame_features=2))
    x, length = decode(tmp_path / "a.parquet")
    assert length == 50
    np.testing.assert_array_equal(x, table.astype(float)[:50])


def test_a_table_that_unpacks_to_far_more_is_not_read(tmp_path: Path) -> None:
    """A parquet bomb: 80 million equal numbers in a few kilobytes."""
    path = tmp_path / "bomb.parquet"
    table = pa.table({"x": np.zeros(80_000_000)})
    pq.write_table(table, path, use_dictionary=False, compression="zstd")
    assert path.stat().st_size < 1_000_000
    with pytest.raises(media.Undecodable, match="more than 64,000,000 bytes"):
        media.decoder("frames", config(frame_features=1))(path)


def test_a_packed_table_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "a.csv.gz"
    pd.DataFrame({"x": [1.0]}).to_csv(path, index=False)
    with pytest.raises(media.Undecodable, match="is neither .parquet nor .csv"):
        media.decoder("frames", config(frame_features=1))(path)
    path.rename(tmp_path / "a.csv")
    with pytest.raises(media.Undecodable, match="is compressed by gzip; unpack it$"):
        media.decoder("frames", config(frame_features=1))(tmp_path / "a.csv")
