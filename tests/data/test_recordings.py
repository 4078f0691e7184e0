"""Sound and film are read as a player plays them, whatever the container."""

import io
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile
from test_media import config

from fusionjax.data import media, recordings

RATE = 48_000
AUDIO = config(audio_sample_rate=16_000, audio_seconds=10.0)


def tone(seconds: float, level: float = 0.2, hertz: int = 440, rate: int = RATE) -> np.ndarray:
    return (level * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(
        np.float32
    )


def encode(
    path: Path, form: str, codec: str, channels: Iterable[np.ndarray], **options: str
) -> Path:
    """Writes sound by FFmpeg; in MP4, an edit list hides what the encoder puts before it."""
    x = np.stack(list(channels))
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[len(x)]
    with av.open(path, "w", format=form, options=options) as out:
        stream = out.add_stream(codec, rate=RATE, layout=layout)
        stream.codec_context.open()
        resampler = av.AudioResampler(
            stream.format.name, layout, RATE, stream.codec_context.frame_size or 1024
        )
        frame = av.AudioFrame.from_ndarray(x, "fltp", layout)
        frame.sample_rate, frame.pts = RATE, 0
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            out.mux(stream.encode(piece))
        out.mux(stream.encode(None))
    return path


def heard(path: Path) -> np.ndarray:
    samples, length = media.decoder("audio", AUDIO)(path)
    assert not samples[length:].any()
    return samples[:length] / 32767


def loudness(samples: np.ndarray) -> float:
    """Root of the mean power, away from the ends."""
    return float(np.sqrt(np.square(samples[4000:-4000]).mean()))


CONTAINERS = {
    "m4a": ("ipod", "aac"),
    "mp4": ("mp4", "aac"),
    "mov": ("mov", "pcm_s16le"),
    "alac.m4a": ("ipod", "alac"),
    "aac": ("adts", "aac"),
    "mp3": ("mp3", "libmp3lame"),
    "webm": ("webm", "libopus"),
    "opus": ("ogg", "libopus"),
    "mka": ("matroska", "pcm_s16le"),
    "flac": ("flac", "flac"),
    "wav": ("wav", "pcm_s16le"),
    "24.wav": ("wav", "pcm_s24le"),
    "float.wav": ("wav", "pcm_f32le"),
    "mulaw.wav": ("wav", "pcm_mulaw"),
    "adpcm.wav": ("wav", "adpcm_ima_wav"),
}
UNPADDED = {"mp4", "m4a", "mov", "alac.m4a", "mp3", "webm", "opus", "mka", "flac", "wav"}


@pytest.mark.parametrize("name", CONTAINERS)
@pytest.mark.parametrize("channels", [1, 2])
def test_a_sound_is_equally_loud_in_every_container(
    tmp_path: Path, name: str, channels: int
) -> None:
    path = encode(tmp_path / f"a.{name}", *CONTAINERS[name], [tone(3)] * channels)
    x = heard(path)
    # LAME writes a sound 5 % softer than it is.
    assert abs(loudness(x) / (0.19 if name == "mp3" else 0.2) * np.sqrt(2) - 1) < 0.02
    spectrum = np.abs(np.fft.rfft(x[8000:24_000]))
    assert spectrum.argmax() == 440
    # What an encoder puts before and after is no sound: 3 s, to a millisecond.
    assert abs(len(x) - 48_000) <= (16 if name in UNPADDED else 1000)
    if name in UNPADDED:
        at = slice(1000, 40_000)
        shift = np.argmax(np.correlate(tone(3, rate=16_000)[at], x[984:40_016])) - 16
        assert abs(shift) <= 2, "what was heard at a time is heard then"


@pytest.mark.parametrize(
    ("form", "subtype"),
    [
        *[("WAV", s) for s in ("PCM_U8", "PCM_32", "DOUBLE", "ALAW", "MS_ADPCM", "GSM610")],
        *[("WAVEX", "PCM_24"), ("WAVEX", "FLOAT"), ("RF64", "PCM_16"), ("OGG", "VORBIS")],
    ],
)
def test_every_kind_of_wav_is_read(tmp_path: Path, form: str, subtype: str) -> None:
    soundfile.write(tmp_path / "a", tone(1, rate=8000), 8000, format=form, subtype=subtype)
    x = heard(tmp_path / "a")
    assert abs(len(x) - 16_000) < 1000
    assert abs(loudness(x) - 0.2 / np.sqrt(2)) < 0.01


@pytest.mark.parametrize("name", ["mp4", "flac", "wav", "webm"])
def test_a_centre_speaker_is_a_sixth_everywhere_and_nothing_clips(
    tmp_path: Path, name: str
) -> None:
    silent = np.zeros(3 * RATE, np.float32)
    centre = [silent, silent, tone(3, 0.9), silent, silent, silent]
    x = heard(encode(tmp_path / f"c.{name}", *CONTAINERS[name], centre))
    assert abs(loudness(x) - 0.9 / 6 / np.sqrt(2)) < 0.005
    x = heard(encode(tmp_path / f"a.{name}", *CONTAINERS[name], [tone(3, 0.9)] * 2))
    assert abs(loudness(x) - 0.9 / np.sqrt(2)) < 0.02
    assert np.abs(x).max() < 0.95


@pytest.mark.parametrize("name", ["mp4", "wav", "webm"])
def test_channels_that_cancel_are_heard(tmp_path: Path, name: str) -> None:
    both = [tone(2, 0.3), -tone(2, 0.4)]
    x = heard(encode(tmp_path / f"a.{name}", *CONTAINERS[name], [both[0], -both[0]]))
    assert abs(loudness(x) - 0.3 / np.sqrt(2)) < 0.01
    x = heard(encode(tmp_path / f"b.{name}", *CONTAINERS[name], both))
    assert abs(loudness(x) - 0.4 / np.sqrt(2)) < 0.01, "the loudest"
    x = heard(encode(tmp_path / f"c.{name}", *CONTAINERS[name], [both[0], 0 * both[0]]))
    assert abs(loudness(x) - 0.15 / np.sqrt(2)) < 0.01, "one side alone: the mean"


def test_unrelated_channels_are_mixed_however_many(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, (16_000, 32)).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", noise, 16_000, subtype="FLOAT")
    np.testing.assert_allclose(heard(tmp_path / "a.wav"), noise.mean(1), atol=1e-4)


def mp3(path: Path, *, header: bool, variable: bool) -> Path:
    """Six seconds, loud and soft, so that a variable rate varies."""
    with av.open(path, "w", format="mp3", options={"write_xing": str(int(header))}) as out:
        stream = out.add_stream("libmp3lame", rate=44_100, layout="mono")
        if variable:
            stream.options = {"flags": "+qscale", "global_quality": "472"}
        else:
            stream.bit_rate = 64_000
        x = np.concatenate(
            [np.zeros(44_100), np.random.default_rng(0).normal(0, 0.2, 5 * 44_100)]
        ).astype(np.float32)
        resampler = av.AudioResampler(stream.format.name, "mono", 44_100, 1152)
        frame = av.AudioFrame.from_ndarray(x[None], "fltp", "mono")
        frame.sample_rate = 44_100
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            out.mux(stream.encode(piece))
        out.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("variable", [False, True])
@pytest.mark.parametrize("header", [False, True])
@pytest.mark.parametrize("tag", [0, 300, 70_000])
def test_an_mp3_is_heard_to_its_end(tmp_path: Path, header: bool, variable: bool, tag: int) -> None:
    """Without the optional first frame that counts the others, its length is not guessed."""
    path = mp3(tmp_path / "a.mp3", header=header, variable=variable)
    picture = b"\0\0\0" + b"Xing" * (
        tag // 4
    )  # an ID3 tag such as a cover picture, then at the end
    size = bytes((len(picture) + 10) >> 7 * i & 127 for i in (3, 2, 1, 0))
    frame = b"PRIV" + size_of(len(picture)) + b"\0\0" + picture
    id3 = b"ID3\4\0\0" + size + frame
    path.write_bytes((id3 if tag else b"") + path.read_bytes() + b"TAG" + bytes(125))
    x = heard(path)
    assert abs(len(x) / 16_000 - 6) < 0.06
    assert abs(loudness(x[20_000:]) - 0.11) < 0.04


def size_of(count: int) -> bytes:
    """A number as ID3 writes it, seven bits a byte."""
    return bytes(count >> 7 * i & 127 for i in (3, 2, 1, 0))


def heard_or_reason(folder: Path, content: bytes) -> tuple[int, str]:
    """Samples of some bytes, or why there are none."""
    (folder / "some").write_bytes(content)
    try:
        return len(heard(folder / "some")), ""
    except media.Undecodable as e:
        return 0, str(e)


@pytest.mark.parametrize("name", ["wav", "flac", "mp4", "m4a", "webm", "mka"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.8])
def test_a_sound_cut_short_is_set_aside(tmp_path: Path, name: str, share: float) -> None:
    noise = [np.random.default_rng(0).normal(0, 0.2, 5 * RATE).astype(np.float32)]
    options = {"movflags": "faststart"} if name in ("mp4", "m4a") else {}
    whole = encode(tmp_path / f"a.{name}", *CONTAINERS[name], noise, **options).read_bytes()
    count, why = heard_or_reason(tmp_path, whole[: round(len(whole) * share)])
    assert not count
    assert "truncated" in why


def test_an_mp3_cut_short_is_set_aside_if_it_counts_its_frames(tmp_path: Path) -> None:
    whole = mp3(tmp_path / "a.mp3", header=True, variable=True).read_bytes()
    _, why = heard_or_reason(tmp_path, whole[: len(whole) // 2])
    assert "of 6.0 s; it may be truncated" in why


@pytest.mark.parametrize("size", [0, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF])
def test_a_wav_from_a_pipe_is_heard(tmp_path: Path, size: int) -> None:
    soundfile.write(tmp_path / "a.wav", tone(3, rate=16_000), 16_000)
    whole = bytearray((tmp_path / "a.wav").read_bytes())
    for at in (4, whole.index(b"data") + 4):
        whole[at : at + 4] = struct.pack("<I", size)
    (tmp_path / "a.wav").write_bytes(whole)
    assert len(heard(tmp_path / "a.wav")) == 48_000


def test_a_long_wav_knows_its_size_elsewhere(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a", tone(3, rate=16_000), 16_000, format="RF64")
    whole = (tmp_path / "a").read_bytes()
    assert heard_or_reason(tmp_path, whole) == (48_000, "")
    assert "truncated" in heard_or_reason(tmp_path, whole[: len(whole) // 2])[1]


def test_a_streamed_flac_is_heard(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.flac", tone(3, rate=16_000), 16_000)
    content = bytearray((tmp_path / "a.flac").read_bytes())
    content[21] &= 0xF0  # the number of samples, 36 bits
    content[22:26] = bytes(4)
    assert heard_or_reason(tmp_path, bytes(content)) == (48_000, "")


def test_a_live_recording_states_no_length(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.webm", "webm", "libopus", [tone(3)], live="1")
    assert abs(len(heard(path)) - 48_000) < 200


def film(path: Path, form: str = "mp4", **how: object) -> Path:
    """Frame i of 60 has the level 3 i, or that of ``levels``; ``times`` in 1/25 s."""
    levels: Any = how.get("levels")
    times = how.get("times") or range(len(levels) if levels else 60)
    with av.open(path, "w", format=form, options=how.get("options") or {}) as out:
        stream = out.add_stream(str(how.get("codec", "libx264")), rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 32, "yuv420p"
        stream.options = {"g": "10", **(how.get("coded") or {})}
        for i, time in enumerate(times):
            grey = np.full((48, 64), 128, np.uint8)
            grey[:32] = 16 + (levels[i] if levels else 3 * i)
            frame = av.VideoFrame.from_ndarray(grey, "yuv420p")
            frame.pts = time
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return path


def numbers(path: Path, count: int = 4) -> list[int]:
    """Which frames are seen."""
    frames, length = media.decoder("video", config(video_frames=count))(path)
    seen = np.rint(frames.mean((1, 2)) * 219 / 255 / 3).astype(int).tolist()
    assert length == len(set(seen))
    return seen


FILMS = {
    "mp4": {},
    "b-frames": {"coded": {"bf": "3"}},
    "mov": {"form": "mov"},
    "fragmented": {"options": {"movflags": "frag_keyframe+empty_moov"}},
    "dash": {"options": {"movflags": "frag_keyframe+empty_moov+default_base_moof+dash"}},
    "fast start": {"options": {"movflags": "faststart"}},
    "mkv": {"form": "matroska"},
    "webm": {"form": "webm", "codec": "libvpx-vp9"},
    "av1": {"form": "webm", "codec": "libsvtav1", "coded": {"preset": "12"}},
    "live": {"form": "webm", "codec": "libvpx-vp9", "options": {"live": "1"}},
    "mpeg4": {"codec": "mpeg4"},
    "hevc": {"codec": "libx265", "coded": {"x265-params": "log-level=none"}},
    "vp8": {"form": "webm", "codec": "libvpx"},
}


@pytest.mark.parametrize("name", FILMS)
def test_frames_are_spread_over_the_whole_film(tmp_path: Path, name: str) -> None:
    seen = numbers(film(tmp_path / "a", **FILMS[name]))
    assert np.abs(np.subtract(seen, [0, 19, 39, 59])).max() <= (name in ("webm", "mpeg4"))


@pytest.mark.parametrize("form", ["mp4", "matroska"])
def test_uneven_frames_are_seen_when_a_player_shows_them(tmp_path: Path, form: str) -> None:
    """Forty frames in 1.6 s, then one every two seconds."""
    times = [i if i < 40 else 40 + (i - 39) * 50 for i in range(44)]
    seen = numbers(film(tmp_path / "a", form, times=times), 8)
    at = np.arange(8) * times[-1] / 7
    assert seen == (np.searchsorted(times, at, side="right") - 1).tolist()
    assert seen == [0, 34, 39, 40, 40, 41, 42, 43]


def trimmed(source: Path, target: Path, frames: int) -> Path:
    """The same packets; the first ``frames`` lie before time zero: an edit list hides them."""
    with av.open(source) as raw:
        stream = raw.streams.video[0]
        with av.open(target, "w", "mp4", options={"avoid_negative_ts": "disabled"}) as out:
            copy = out.add_stream_from_template(stream)
            shift = round(frames / 25 / stream.time_base)
            for packet in raw.demux(stream):
                if packet.dts is not None:
                    packet.pts -= shift
                    packet.dts -= shift
                    packet.stream = copy
                    out.mux(packet)
    return target


@pytest.mark.parametrize("frames", [5, 25])
def test_what_an_edit_list_hides_is_not_seen(tmp_path: Path, frames: int) -> None:
    path = trimmed(film(tmp_path / "a", coded={"bf": "0"}), tmp_path / "b", frames)
    span = 59 - frames
    assert numbers(path) == [frames + span * k // 3 for k in range(4)]


TURNS = {  # a, b, c, d of the display matrix, and how NumPy turns a picture so
    "upright": ((1, 0, 0, 1), lambda x: x),
    "90": ((0, 1, -1, 0), lambda x: np.rot90(x, -1)),
    "180": ((-1, 0, 0, -1), lambda x: np.rot90(x, 2)),
    "270": ((0, -1, 1, 0), lambda x: np.rot90(x)),
    "mirrored": ((-1, 0, 0, 1), np.fliplr),
    "upside down": ((1, 0, 0, -1), np.flipud),
    "90, mirrored": ((0, 1, 1, 0), np.transpose),
    "270, mirrored": ((0, -1, -1, 0), lambda x: np.rot90(x, 2).T),
}


def turned(folder: Path, matrix: tuple[float, ...]) -> Path:
    """A film of one picture, with a matrix in its track header."""
    picture = np.full((48, 64), 128, np.uint8)
    picture[:32] = 220
    picture[:8, :48] = 40
    picture[8:24, 40:48] = 120
    with av.open(folder / "a.mp4", "w", format="mp4") as out:
        stream = out.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 32, "yuv420p"
        stream.options = {"qp": "1"}
        out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "yuv420p")))
        out.mux(stream.encode())
    content = bytearray((folder / "a.mp4").read_bytes())
    a, b, c, d = (round(x * 65_536) for x in matrix)
    at = content.index(b"tkhd") + 44
    content[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    (folder / "a.mp4").write_bytes(content)
    return folder / "a.mp4"


@pytest.mark.parametrize("turn", TURNS)
def test_a_film_is_turned_as_its_header_says(tmp_path: Path, turn: str) -> None:
    matrix, way = TURNS[turn]
    upright = media.decoder("video", config(video_size=(32, 64)))(turned(tmp_path, (1, 0, 0, 1)))[0]
    expected = way(upright[0].astype(int))
    path = turned(tmp_path, matrix)
    frames, _ = media.decoder("video", config(video_size=expected.shape))(path)
    assert np.abs(frames[0] - expected).mean() < 2


def test_a_film_at_an_angle_is_set_aside(tmp_path: Path) -> None:
    with pytest.raises(media.Undecodable, match="is shown at an angle; expected quarter turns"):
        media.decoder("video", config())(turned(tmp_path, (0.87, 0.5, -0.5, 0.87)))


@pytest.mark.parametrize("name", ["fast start", "fragmented", "webm", "mkv", "b-frames"])
@pytest.mark.parametrize("share", [0.5, 0.8])
def test_a_film_cut_short_is_set_aside(tmp_path: Path, name: str, share: float) -> None:
    how = FILMS[name] if name != "b-frames" else {"options": {"movflags": "faststart"}}
    times = range(0, 240, 4)
    whole = film(tmp_path / "a", **how, times=times).read_bytes()
    (tmp_path / "a").write_bytes(whole[: round(len(whole) * share)])
    with pytest.raises(media.Undecodable, match="truncated|is not a whole MP4"):
        numbers(tmp_path / "a")


@pytest.mark.parametrize(("form", "codec"), [("mp4", "aac"), ("matroska", "libopus")])
@pytest.mark.parametrize("seconds", [1, 4])
def test_sound_and_film_may_end_at_other_times(
    tmp_path: Path, form: str, codec: str, seconds: int
) -> None:
    sound, picture = tmp_path / "sound", film(tmp_path / "film", form, coded={"bf": "0"})
    encode(sound, form, codec, [tone(seconds)])
    with av.open(tmp_path / "both", "w", form) as out, av.open(sound) as a, av.open(picture) as b:
        streams = [a.streams.audio[0], b.streams.video[0]]
        copies = [out.add_stream_from_template(stream) for stream in streams]
        for raw, copy in zip((a, b), copies, strict=True):
            for packet in raw.demux():
                if packet.dts is not None:
                    packet.stream = copy
                    out.mux(packet)
    assert abs(len(heard(tmp_path / "both")) / 16_000 - seconds) < 0.02
    assert numbers(tmp_path / "both") == [0, 19, 39, 59]


def test_a_sound_that_changes_its_kind_midway_is_set_aside(tmp_path: Path) -> None:
    one = encode(tmp_path / "a.opus", "ogg", "libopus", [tone(1)]).read_bytes()
    two = encode(tmp_path / "b.opus", "ogg", "libopus", [tone(1)] * 2).read_bytes()
    assert "damaged" in heard_or_reason(tmp_path, one + two)[1]


def test_a_film_that_takes_too_long_to_decode_is_set_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = film(tmp_path / "a")
    monkeypatch.setattr(recordings, "_FILM_PIXELS", 60 * 64 * 32)
    numbers(path)
    monkeypatch.setattr(recordings, "_FILM_PIXELS", 60 * 64 * 32 - 1)
    with pytest.raises(media.Undecodable, match="holds more than 122,879 pixels"):
        numbers(path)
    monkeypatch.setattr(recordings, "_FRAMES_A_SECOND", 24)
    with pytest.raises(media.Undecodable, match="holds more than 58 frames"):
        media.decoder("video", config(max_media_seconds=2.4))(path)


def test_a_film_of_many_tracks_is_read_or_told_so(tmp_path: Path) -> None:
    for count in (32, 33, 60):
        with av.open(tmp_path / "a", "w", "matroska") as out:
            streams = [out.add_stream("pcm_s16le", rate=8000, layout="mono") for _ in range(count)]
            for stream in streams:
                frame = av.AudioFrame.from_ndarray(np.full((1, 8000), 99, np.int16), "s16", "mono")
                frame.sample_rate = 8000
                out.mux(stream.encode(frame))
                out.mux(stream.encode(None))
        samples, why = heard_or_reason(tmp_path, (tmp_path / "a").read_bytes())
        assert (samples, why) == (
            (16_000, "") if count == 32 else (0, "holds more than 32 streams")
        )


def test_a_cover_is_no_film(tmp_path: Path) -> None:
    encode(tmp_path / "a.m4a", "ipod", "aac", [tone(1)])
    with av.open(tmp_path / "a.m4a") as raw, av.open(tmp_path / "b.m4a", "w", "mp4") as out:
        copies = {raw.streams.audio[0]: out.add_stream_from_template(raw.streams.audio[0])}
        cover = out.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 32, 16, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic.value
        out.mux(cover.encode(av.VideoFrame(32, 16, "yuvj420p")))
        for packet in raw.demux():
            if packet.dts is not None:
                packet.stream = copies[packet.stream]
                out.mux(packet)
    assert abs(len(heard(tmp_path / "b.m4a")) - 16_000) < 100
    with pytest.raises(media.Undecodable, match="holds no video stream"):
        media.decoder("video", config())(tmp_path / "b.m4a")


PLAYLISTS = {
    "concat": "ffconcat version 1.0\nfile 'secret.mp4'\n",
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nsecret.mp4\n#EXT-X-ENDLIST\n",
    "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"></MPD>',
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 9 RTP/AVP 0\n",
}


@pytest.mark.parametrize("form", PLAYLISTS)
@pytest.mark.parametrize("suffix", ["mp4", "m3u8", "wav"])
def test_a_playlist_opens_no_other_file(tmp_path: Path, form: str, suffix: str) -> None:
    film(tmp_path / "secret.mp4")
    path = tmp_path / f"a.{suffix}"
    path.write_text(PLAYLISTS[form])
    for kind in ("audio", "video"):
        with pytest.raises(media.Undecodable, match=r"is not a whole MP4, .* or AAC file"):
            media.decoder(kind, config())(path)


@pytest.mark.parametrize(
    ("form", "codec"), [("avi", "mpeg4"), ("mpegts", "mpeg2video"), ("flv", "flv1")]
)
def test_another_container_is_told_so(tmp_path: Path, form: str, codec: str) -> None:
    path = film(tmp_path / "a.mp4", form, codec=codec)
    with pytest.raises(media.Undecodable, match=r"is not a whole MP4, .* or AAC file"):
        numbers(path)


def test_a_codec_that_is_not_read_is_named(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mkv", "matroska", codec="mpeg2video")
    with pytest.raises(media.Undecodable, match="is coded as mpeg2video, which is not read"):
        numbers(path)
    with av.open(io.BytesIO(path.read_bytes())) as raw:
        assert raw.streams.video[0].codec_context.name == "mpeg2video", "FFmpeg would"
