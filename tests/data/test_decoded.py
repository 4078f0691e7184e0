"""The audit looks at what files were decoded to: nothing in them, or the same again."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Lock, active_count

import numpy as np
import pandas as pd
import pytest
import soundfile
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from test_folder import config, manifest, prepared
from test_media import config as of_data
from test_recordings import film

from fusionjax.config import DataConfig
from fusionjax.data import media
from fusionjax.data.audit import audit, content
from fusionjax.data.audit.finding import Finding
from fusionjax.modalities.image import Image as ImageModality
from fusionjax.registry import MODALITIES

SESSIONS = pd.bdate_range("2024-05-01", "2024-05-24")
RNG = np.random.default_rng(0)


def picture(path: Path, i: int) -> None:
    Image.fromarray(RNG.integers(0, 256, (8, 16), dtype=np.uint8)).save(path)


def sound(path: Path, i: int) -> None:
    soundfile.write(path, 0.01 * np.sin(np.arange(2000) / (5 + i)), 8000)


def numbers(path: Path, i: int) -> None:
    pd.DataFrame(RNG.normal(size=(5, 29))).to_csv(path, index=False)


def moving(path: Path, i: int) -> None:
    film(path, levels=[5 * k + 8 * i for k in range(20)])


KINDS = {  # folder, name of file i, and what writes a good one
    "image": ("images", "{}.png", picture),
    "audio": ("audio", "{}.wav", sound),
    "video": ("video", "{}.mp4", moving),
    "frames": ("frames", "{}.csv", numbers),
}


def findings(tmp_path: Path, spoilt: dict[str, Callable[[Path, int], None]]) -> dict[str, Finding]:
    """What the audit says of six files of each kind, of which some writers are replaced."""
    root = tmp_path / "market"
    close = 50 + np.arange(len(SESSIONS)) / 10
    bars = {"symbol": "AA", "date": SESSIONS.strftime("%Y-%m-%d"), "volume": 1e6, "mood": close}
    for name in ("open", "high", "low", "close", "adj_close"):
        bars[name] = close
    for kind, (folder, name, good) in KINDS.items():
        (root / folder).mkdir(parents=True)
        rows = []
        for i in range(6):
            write = spoilt.get(kind, good) if i < 3 else good
            write(root / folder / name.format(i), i)
            day = f"{SESSIONS[i]:%Y-%m-%d}T10:00:00-04:00"
            rows.append(("AA", day, day, "desk", name.format(i)))
        manifest(root / folder, rows)
    pd.DataFrame(bars).to_csv(root / "bars.csv", index=False)
    c = config(root, tmp_path)
    market = prepared(c)[1]
    report = {f.code: f for f in audit(market, c).findings}
    assert all(report[f.code] == f for f in content.findings(market)), "it is part of the audit"
    return {f.code: f for f in content.findings(market)}


def test_good_files_are_not_accused(tmp_path: Path) -> None:
    said = findings(tmp_path, {})
    assert {f.level for f in said.values()} == {"fine"}
    for kind in KINDS:
        assert said[f"{kind} content"].what == (
            f"0 of 6 different files of {kind} seem empty; 0 are decoded to the same as another"
        )


def grey(path: Path, i: int) -> None:
    Image.new("L", (8, 16), 40 + i).save(path)


def hiss(path: Path, i: int) -> None:
    """Silence, as a converter leaves it, on a level that is not zero."""
    soundfile.write(path, 0.1 + RNG.normal(0, 1e-4, 4000), 8000)


def still(path: Path, i: int) -> None:
    film(path, coded={"crf": str(i)}, levels=[10 + i] * 40)


def same_number(path: Path, i: int) -> None:
    pd.DataFrame(np.full((5, 29), float(i))).to_csv(path, index=False)


def no_number(path: Path, i: int) -> None:
    pd.DataFrame([["n/a"] * 29] * (2 + i)).to_csv(path, index=False)


@pytest.mark.parametrize(
    ("kind", "write", "word"),
    [
        ("image", grey, "constant"),
        ("audio", hiss, "silent"),
        ("video", still, "constant"),
        ("frames", same_number, "constant"),
        ("frames", no_number, "without numbers"),
    ],
)
def test_files_that_show_nothing_are_named(
    tmp_path: Path, kind: str, write: Callable[[Path, int], None], word: str
) -> None:
    said = findings(tmp_path, {kind: write})
    finding = said.pop(f"{kind} content")
    assert {f.level for f in said.values()} == {"fine"}, "no other kind is accused"
    assert finding.level == "watch"
    first = f"{KINDS[kind][0]}/{KINDS[kind][1].format(0)}"
    assert f"3 of 6 different files of {kind} seem empty: " in finding.what
    assert f"{first} is {word}" in finding.what


def test_a_film_of_one_picture_is_named() -> None:
    frame = RNG.integers(0, 255, (8, 8), dtype=np.uint8)
    noise = RNG.integers(0, 2, (4, 8, 8), dtype=np.uint8)
    flaw = MODALITIES["video"].flaw
    assert flaw(frame[None] // 2 + noise, 4) == "a still picture"
    moving = np.stack([np.roll(frame, i, 1) for i in range(4)])
    assert flaw(moving, 4) == ""
    assert flaw(frame[None], 1) == "", "a single frame cannot move"


def test_files_that_are_decoded_to_the_same_are_named(tmp_path: Path) -> None:
    """As from a converter that always draws the same: no two files have equal bytes."""

    def same(path: Path, i: int) -> None:
        words = PngInfo()
        words.add_text("Title", f"chart {i}")
        levels = np.arange(128, dtype=np.uint8).reshape(8, 16)
        Image.fromarray(levels).save(path, pnginfo=words)

    finding = findings(tmp_path, {"image": same})["image content"]
    assert finding.level == "watch"
    assert "0 of 6 different files of image seem empty" in finding.what
    assert "3 are decoded to the same as another: images/0.png, images/1.png" in finding.what


class Watched:
    """Decodes in a while; counts how many do at once, and the most that were ahead of the use."""

    def __init__(self, threads: int) -> None:
        self.threads, self.lock = threads, Lock()
        self.now = self.most = self.begun = 0

    def __call__(self, path: Path) -> tuple[np.ndarray, int]:
        with self.lock:
            self.now, self.begun = self.now + 1, self.begun + 1
            self.most = max(self.most, self.now)
        time.sleep(0.02 if int(path.name) % 2 else 0.01)  # not in their order
        with self.lock:
            self.now -= 1
        if path.name == "7":
            raise media.Undecodable("is no file")
        return np.full((4, 6), int(path.name), np.uint8), 1


def test_files_are_decoded_on_all_cores_in_order_and_not_far_ahead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cores, before = 4, active_count()
    decode = Watched(cores)

    def decoder(data: DataConfig) -> Watched:
        return decode

    monkeypatch.setattr(ImageModality, "decoder", staticmethod(decoder))
    monkeypatch.setattr(media.os, "cpu_count", lambda: cores)

    def asked() -> Iterator[Path]:
        yield from (Path(str(i)) for i in range(40))

    for i, file in enumerate(media.decoded("image", of_data(), asked())):
        assert decode.begun <= i + 2 * cores + 1
        if i == 7:
            assert str(file) == "is no file"
        else:
            assert isinstance(file, media.Decoded)
            assert file.data[0, 0] == i
    assert i == 39
    assert decode.most == cores
    assert active_count() == before
