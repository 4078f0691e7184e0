#!/usr/bin/env bash
# A WAV whose copy was interrupted: the header says ten seconds, the file holds five.
#
# Good guess: FFmpeg says so, by an error at the end or by the ten seconds that it states.
# Seen with PyAV 18.1.0 (FFmpeg 8.1.2): stream and container state 5.0 s, all is decoded, nothing is
# raised: the length is taken from the size of the file. Whether it is whole only the header tells:
# Python's wave states the header's 80,000 frames and reads 39,961 without a word. The same cut in a
# FLAC is told: its stated length stays ten seconds.
#
# Installs in a temporary folder (PYTHON=python3). Fails where what is seen changes.
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet av==18.1.0 numpy==2.3.5
"$work/venv/bin/python" - <<'PY'
import io
import wave

import av
import numpy as np

print("av", av.__version__)
tone = (9000 * np.sin(np.arange(80_000) / 20)).astype(np.int16)


def written(kind):
    to = io.BytesIO()
    with av.open(to, "w", format=kind) as container:
        stream = container.add_stream({"wav": "pcm_s16le"}.get(kind, kind), rate=8000, layout="mono")
        for start in range(0, len(tone), 4000):
            frame = av.AudioFrame.from_ndarray(tone[None, start : start + 4000], layout="mono")
            frame.rate, frame.pts = 8000, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return to.getvalue()


def read(data):
    with av.open(io.BytesIO(data)) as container:
        stated, count = container.duration / 1e6, 0
        try:
            for frame in container.decode(audio=0):
                count += frame.samples
        except av.FFmpegError:
            pass  # of a codec that notices the cut inside a block
    return stated, count / 8000


for kind in ("wav", "flac"):
    data = written(kind)
    whole, cut = read(data), read(data[: len(data) // 2])
    print(kind, "whole: states, holds", whole, "cut:", cut)
    assert whole == (10.0, 10.0)
    assert cut[1] < 5.5
    assert (cut[0] < 5.1) == (kind == "wav")
with wave.open(io.BytesIO(written("wav")[:80_000])) as f:
    print("wave states", f.getnframes(), "frames and reads", len(f.readframes(10**6)) // 2)
PY
