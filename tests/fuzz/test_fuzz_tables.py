"""Hostile bars, texts and manifests are read as documented, or refused by name."""

import os
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from tables import cells, packed, tables
from watch import folder, fuzzed, judged

from fusionjax.data import calendar, join
from fusionjax.data.hashes import Hashes
from fusionjax.data.join import Tables
from fusionjax.data.sources import Raw
from fusionjax.data.sources import folder as source

_DAYS = ("2024-05-01", "2024-05-02", "2024-05-03", "2024-05-06")
BARS = [
    {
        "symbol": s,
        "date": day,
        "open": 2.0,
        "high": 3.0,
        "low": 1.0,
        "close": 2.5,
        "adj_close": 2.5,
        "volume": 10,
        "mood": 0.5,
        "sector": "oil",
    }
    for s in ("A", "B")
    for day in _DAYS
]
_STAMPS = {"event_time": "2024-05-02T10:00:00Z", "available_time": "2024-05-02T06:30:00-04:00"}
ITEM = {"symbol": "A|B", **_STAMPS, "source": "wire", "path": "a.png", "id": 1, "event": "call"}
ITEMS = [
    ITEM,
    ITEM | {"symbol": "B", "path": "old/b.png", "id": 2, "event_time": "2024-05-01"},
    ITEM | {"symbol": "A", "path": "gone.png", "id": 3, "event": None},
]
POSTS = [
    {"symbol": "A", **_STAMPS, "text": "we grew", "author": "ann", "id": 1, "event": "call"},
    {"symbol": "B", **_STAMPS, "text": "they fell", "author": "", "id": 2, "event": "call"},
]
PATHS = (
    *("../secret.png", "/etc/passwd", "..", ".", "", "/", "a.png/../../../secret.png"),
    *("link.png", "chain.png", "loop.png", "up/secret.png", "pipe.png", "old", "a.png\0", "\0"),
    *("http://127.0.0.1:9/a.png", "file:///etc/passwd", "s3://b/a.png", "\\\\host\\a.png"),
    *(
        "~/a.png",
        "old/../a.png",
        "x" * 300 + ".png",
        "x/" * 3000 + "a.png",
        "C:\\a.png",
        "$HOME/a.png",
        "a.png ",
        "A.PNG",
    ),
    *("/proc/self/mem", "/dev/zero", "old/" * 50, "\ud800.png", "ü.png", "-rf", "manifest.csv"),
)


def _market(root: Path) -> Path:
    """A folder with whole bars in ``root``."""
    home = root / "market"
    home.mkdir()
    (home / "bars.csv").write_bytes(_csv(BARS))
    return home


def _media(root: Path, folder: Path) -> None:
    """Two pictures, and links of every sort that lead out of the folder."""
    (folder / "old").mkdir(parents=True)
    (root / "secret.png").write_bytes(b"canary")
    for name in ("a.png", "old/b.png"):
        (folder / name).write_bytes(b"a picture")
    (folder / "link.png").symlink_to(root / "secret.png")
    (folder / "chain.png").symlink_to("link.png")
    (folder / "loop.png").symlink_to("loop.png")
    (folder / "up").symlink_to(root)
    os.mkfifo(folder / "pipe.png")


def _csv(rows: list[dict[str, Any]]) -> bytes:
    return packed([(name, [row[name] for row in rows]) for name in rows[0]], ".csv")


def placed(root: Path) -> tuple[Raw, Tables]:
    """What preparing does with raw tables before it decodes files and embeds texts."""
    hashes = Hashes(root / "none")
    for path in source.files(root):
        hashes.of(path)
    raw = source.read(root, "XNYS")
    days, day = np.unique(raw.bars["date"].to_numpy().astype("datetime64[D]"), return_inverse=True)
    decisions = calendar.decision_times(days, "XNYS", 30)[day]
    return raw, join.place(raw, decisions, lambda path: hashes.of(root / path))[0]


def _holds(root: Path, *names: str) -> Tables | None:
    """Reads the folder ``market`` in ``root``; what comes out is fit to be written."""
    home = root / "market"
    found = judged(lambda: placed(home), home, *names)
    if found is None:
        return None
    raw, out = found
    assert np.isfinite(out.bars[["open", "high", "low", "close", "adj_close"]]).all(axis=None)
    assert raw.channels.dtypes.map(lambda kind: kind.kind).eq("f").all()
    for table in (out.documents, *out.media.values()):
        for column in table.select_dtypes(exclude="number"):
            for cell in table[column]:
                assert isinstance(cell, str), f"{column} holds {cell!r}"
                cell.encode()
    return out


@fuzzed(250)
@given(tables(BARS, (".csv", ".parquet")))
def test_bars(file: tuple[str, bytes]) -> None:
    suffix, content = file
    with folder() as root:
        (root / "market").mkdir()
        (root / "market" / f"bars{suffix}").write_bytes(content)
        _holds(root, f"bars{suffix}", "a bar on a day when XNYS was closed")


@fuzzed(200)
@given(tables(POSTS, (".csv", ".jsonl", ".parquet")))
def test_texts(file: tuple[str, bytes]) -> None:
    suffix, content = file
    with folder() as root:
        (_market(root) / f"texts{suffix}").write_bytes(content)
        _holds(root, f"texts{suffix}")


@fuzzed(250)
@given(
    tables(ITEMS, (".csv", ".jsonl", ".parquet"), st.sampled_from(PATHS) | cells),
    st.sampled_from(["images", "video"]),
)
def test_manifests(file: tuple[str, bytes], kind: str) -> None:
    suffix, content = file
    with folder() as root:
        home = _market(root) / kind
        _media(root, home)
        (home / f"manifest{suffix}").write_bytes(content)
        out = _holds(root, f"manifest{suffix}")
        for table in out.media.values() if out is not None else ():
            for path in table["path"]:
                real = Path(os.path.realpath(root / "market" / path))
                assert real.is_relative_to(home), f"{path!r} leads out"
