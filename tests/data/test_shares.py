"""Several workers prepare one set: the same bits as one, whoever dies in between."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from commands import ENVIRONMENT, launch
from conftest import ROOT, small
from PIL import Image
from rich.progress import Progress

from fusionjax.config import Config
from fusionjax.configs import planted_folder
from fusionjax.data import contents, items, prepare, shares, store, sums
from fusionjax.data.shares import Share
from fusionjax.errors import InputError

DAYS = pd.bdate_range("2024-05-01", "2024-05-24")
QUIET = Progress(disable=True)
# With no seconds for a part each file becomes one, so that a kill comes between two of many.
WORKER = """
import sys
from rich.progress import Progress
from fusionjax.configs import planted_folder
from conftest import small
from fusionjax.data import items, shares
items._SECONDS = float(sys.argv[4])
c = small(planted_folder.get_config(), sys.argv[1], data__root=sys.argv[2])
print(shares.store(c.data, shares.Share.parse(sys.argv[3]), Progress(disable=True)))
"""


def folder(root: Path, pictures: int, texts: int) -> Path:
    """Two symbols; pictures of which one is damaged and one is another's copy; texts."""
    (root / "images").mkdir(parents=True)
    prices = dict.fromkeys(("open", "high", "low", "close", "adj_close"), 10.0)
    bars = [pd.DataFrame({"symbol": s, "date": DAYS, **prices, "volume": 1e3}) for s in "AB"]
    pd.concat(bars).to_parquet(root / "bars.parquet")
    rng = np.random.default_rng(0)
    names = [f"{i}.png" for i in range(pictures)]
    for name in names:
        Image.fromarray(rng.integers(0, 256, (8, 96), np.uint8)).save(root / "images" / name)
    (root / "images" / "1.png").write_bytes((root / "images" / "0.png").read_bytes())
    (root / "images" / "2.png").write_bytes(b"\x89PNG\r\n\x1a\n but no more")
    stamps = dict.fromkeys(("event_time", "available_time"), "2024-05-06T10:00:00Z")
    listed = pd.DataFrame({"path": names, "symbol": "A", "source": "desk", **stamps})
    listed.to_parquet(root / "images" / "manifest.parquet")
    words = np.array(["profit", "loss", "a", "new", "plant", "opens", "in", "May", "sales", "fall"])
    said = [" ".join(words[rng.integers(0, 10, 1 + i % 5)]) for i in range(texts)]
    if texts:
        said_of_b = pd.DataFrame({"text": said, "symbol": "B", **stamps})
        said_of_b.to_parquet(root / "texts.parquet")
    return root


def config(root: Path, home: Path) -> Config:
    return small(planted_folder.get_config(), home, data__root=str(root))


def same_bits(one: Path, other: Path) -> None:
    """The files of two sets by their sums, and what their contents hold, record by record."""
    assert one.name == other.name
    assert (one / sums.NAME).read_bytes() == (other / sums.NAME).read_bytes()
    for kind in store.read_manifest(one)["contents"].values():
        a, b = (contents.Index.open(f.parent / contents.HOME / kind) for f in (one, other))
        np.testing.assert_array_equal(a.keys, b.keys)
        numbers = np.arange(len(a.keys))
        np.testing.assert_array_equal(a.records(numbers), b.records(numbers))
        for column in ("length", "decoded", "flaw") if kind.startswith("image") else items.FEATURES:
            np.testing.assert_array_equal(a.column(column, numbers), b.column(column, numbers))


@pytest.mark.slow
def test_shares_make_the_set_that_one_makes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the set finds all of it stored: it decodes and embeds nothing again."""
    root = folder(tmp_path / "market", 12, 30)
    alone = prepare.prepare(config(root, tmp_path / "alone").data, QUIET)
    c = config(root, tmp_path / "shared")
    stored = [shares.store(c.data, Share(i, 3), QUIET) for i in range(3)]
    texts = set(pd.read_parquet(root / "texts.parquet")["text"])
    assert sum(s.get("text", 0) for s in stored) == len(texts)
    assert sum(s.get("image", 0) for s in stored) == 11, "one is damaged"
    assert all(s.get("text", 0) < len(texts) for s in stored)
    decoded: list[Path] = []
    decoder = items.media.decoder

    def noted(kind: str, data: object) -> object:
        decode = decoder(kind, data)
        return lambda path: decoded.append(path) or decode(path)

    monkeypatch.setattr(items.media, "decoder", noted)
    monkeypatch.setattr(items.text, "featuriser", lambda _: pytest.fail("embedded again"))
    same_bits(alone, prepare.prepare(c.data, QUIET))
    assert [p.name for p in decoded] == ["2.png"], "a file that cannot be used is tried again"


def test_a_share_hashes_its_own_files_alone(tmp_path: Path) -> None:
    root = folder(tmp_path / "market", 12, 3)
    old = time.time() - 3600
    for path in root.rglob("*.png"):
        os.utime(path, (old, old))
    c = config(root, tmp_path / "prepared")
    hashed = []
    for i in range(2):
        shares.store(c.data, Share(i, 2), QUIET)
        known = json.loads((tmp_path / "prepared" / "hashes").read_text().partition("\n")[2])
        hashed.append({Path(name).name for name in known})
    assert 0 < len(hashed[0]) < 12
    assert len(hashed[1]) == 12, "what another share hashed is remembered beside it"


def test_the_command_names_what_its_share_stored(tmp_path: Path) -> None:
    root = folder(tmp_path / "market", 4, 0)
    given = (f"--source={root}", "--share=0/1")
    said = launch(tmp_path, "prepare", "planted_folder", *given)
    assert "share 0/1: 3 of image stored; without --share the set is made of all" in said
    assert not list(tmp_path.glob("prepared/folder-*"))
    said = launch(tmp_path, "prepare", "planted_folder", given[0], "--share=1/1", status=2)
    assert "--share is '1/1'; expected 0/N to N-1/N" in said


@pytest.mark.parametrize("text", ["3/3", "1", "-1/2", "0/0", "a/b", "0/1/2"])
def test_what_is_no_share_is_told(text: str) -> None:
    with pytest.raises(InputError, match=r"--share is .*; expected 0/N to N-1/N"):
        Share.parse(text)


def worker(root: Path, home: Path, share: str, seconds: float) -> subprocess.Popen:
    paths = f"{ROOT}:{ROOT / 'tests'}"
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, str(home), str(root), share, str(seconds)],
        env=ENVIRONMENT | {"PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.slow
def test_workers_at_once_of_which_one_is_killed(tmp_path: Path) -> None:
    """Two real processes; one dies between two parts, is started again and decodes the rest."""
    root, home = folder(tmp_path / "market", 300, 20), tmp_path / "shared"
    alone = prepare.prepare(config(root, tmp_path / "alone").data, QUIET)
    kind = store.read_manifest(alone)["contents"]["image"]
    pictures = home / contents.HOME / kind
    killed = worker(root, home, "0/2", 0.0)
    until = time.monotonic() + 300
    while len(list(pictures.glob("*/SHA256SUMS"))) < 3 and killed.poll() is None:
        assert time.monotonic() < until
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    before = set(contents.Index.open(pictures).keys.tolist())
    assert 3 <= len(before) < 120
    both = [worker(root, home, f"{i}/2", 60.0) for i in range(2)]
    for process in both:
        said, _ = process.communicate(timeout=600)
        assert process.returncode == 0, said
    assert before < set(contents.Index.open(pictures).keys.tolist())
    same_bits(alone, prepare.prepare(config(root, home).data, QUIET))
