"""Damaged pictures, sound, video and feature frames are decoded or set aside with a reason."""

import functools

import numpy as np
import valid
from damage import damaged
from hypothesis import given
from hypothesis import strategies as st
from tables import tables
from watch import folder, fuzzed, judged

from fusionjax.config import DataConfig
from fusionjax.configs import base
from fusionjax.data import media
from fusionjax.registry import MODALITIES


@functools.cache
def _config() -> DataConfig:
    """What files are decoded to: as small as the files are."""
    raw = base.get_config().data.to_dict()
    small = {
        "image_size": (4, 6),
        "audio_sample_rate": 8000,
        "audio_seconds": 0.2,
        "video_frames": 3,
        "video_size": (8, 8),
        "max_frames": 4,
        "frame_features": 3,
    }
    return DataConfig(**raw | small)


def _decodes(kind: str, name: str, content: bytes) -> None:
    """Content under a name is an array as documented, or ``Undecodable`` in one line."""
    decode = media.decoder(kind, _config())
    with folder() as root:
        (root / name).write_bytes(content)
        found = judged(lambda: decode(root / name), root, refusal=media.Undecodable)
    if found is not None:
        array, length = found
        assert array.shape == MODALITIES[kind].shape(_config())
        assert array.dtype == MODALITIES[kind].dtype
        assert 1 <= length <= (1 if kind == "image" else len(array))
        assert kind != "frames" or not np.isinf(array).any()


@fuzzed(250)
@given(damaged(valid.pictures()), st.sampled_from(["a.png", "a.jpg", "a.JPEG"]))
def test_pictures(content: bytes, name: str) -> None:
    _decodes("image", name, content)


@fuzzed(250)
@given(
    damaged(valid.recordings()),
    st.sampled_from(["a.wav", "a.flac", "a.mp3", "a.ogg", "a.raw", "a"]),
)
def test_sound(content: bytes, name: str) -> None:
    _decodes("audio", name, content)


@fuzzed(120)
@given(damaged(valid.clips()), st.sampled_from(["video", "audio"]))
def test_video(content: bytes, kind: str) -> None:
    _decodes(kind, "a.mp4", content)


@fuzzed(150)
@given(tables([{"pitch": 201.5, "jitter": "--undefined--", "loud": 3}] * 3, (".csv", ".parquet")))
def test_frames(file: tuple[str, bytes]) -> None:
    suffix, content = file
    _decodes("frames", f"a{suffix}", content)
