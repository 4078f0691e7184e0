"""Files are hashed once; damage is named; what no set needs is shown, then removed."""

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.progress import Progress
from test_folder import DAYS, change, config, prepared, root, write_texts

from fusionjax.config import Config
from fusionjax.data import hashes, prepare, store, sums, upkeep
from fusionjax.data.hashes import Hashes
from fusionjax.errors import InputError

__all__ = ["root"]  # a fixture
LONG_AGO = time.time() - 3600


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Paths of the files that are hashed from here on."""
    names, of = [], sums.of

    def counted(path: Path) -> str:
        names.append(str(path))
        return of(path)

    monkeypatch.setattr(hashes.sums, "of", counted)
    return names


def settle(root: Path) -> None:
    """As if all files had been there for an hour."""
    for path in root.rglob("*"):
        if path.is_file():
            os.utime(path, (LONG_AGO, LONG_AGO))


def test_a_start_hashes_nothing_that_has_not_changed(
    root: Path, tmp_path: Path, hashed: list[str]
) -> None:
    settle(root)
    c = config(root, tmp_path)
    prepared(c)
    raw = [path for path in hashed if path.startswith(str(root))]
    assert sorted(raw) == sorted(str(p) for p in root.rglob("*") if p.is_file()), "each once"
    hashed.clear()
    folder = prepare.prepare(c.data, Progress(disable=True))
    assert hashed == []
    change(root, 1, source="other")
    assert prepare.prepare(c.data, Progress(disable=True)) != folder
    raw = {path for path in hashed if path.startswith(str(root))}
    assert raw == {str(root / "images" / "manifest.jsonl")}


def test_a_file_that_is_too_young_is_hashed_again(tmp_path: Path) -> None:
    """It may change again without a later time stamp or another size."""
    path = tmp_path / "bars.csv"
    path.write_text("1")
    known = Hashes(tmp_path / "hashes")
    stamp = path.stat().st_mtime_ns
    first = known.of(path)
    known.save()
    path.write_text("2")
    os.utime(path, ns=(stamp, stamp))
    assert Hashes(tmp_path / "hashes").of(path) != first


def test_verifying_finds_a_change_that_kept_size_and_time(root: Path, tmp_path: Path) -> None:
    settle(root)
    c = config(root, tmp_path)
    folder, _ = prepared(c)
    text = (root / "bars.csv").read_text()
    (root / "bars.csv").write_text(text.replace("1000000.0", "2000000.0", 1))
    settle(root)
    assert prepared(c)[0] == folder
    found = prepare.prepare(c.data, Progress(disable=True), trusted=False)
    assert found != folder
    assert prepared(c)[0] == found, "and it is remembered"


def test_remembered_hashes_that_are_damaged_are_not_believed(tmp_path: Path) -> None:
    path, known = tmp_path / "a", tmp_path / "hashes"
    path.write_text("a")
    os.utime(path, (LONG_AGO, LONG_AGO))
    first = Hashes(known)
    digest = first.of(path)
    first.save()
    raw = known.read_text()
    for damaged in (raw.replace(digest, digest[::-1]), raw[:-3], "", raw + "\0"):
        known.write_text(damaged)
        assert Hashes(known).of(path) == digest


def test_a_file_that_is_gone_is_forgotten(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).write_text(name)
        os.utime(tmp_path / name, (LONG_AGO, LONG_AGO))
    known = Hashes(tmp_path / "hashes")
    assert known.of(tmp_path / "a") != known.of(tmp_path / "b")
    assert known.of(tmp_path / "c") == ""
    known.save()
    (tmp_path / "a").unlink()
    known.forget_missing()
    known.save()
    assert "/a" not in (tmp_path / "hashes").read_text()
    assert "/b" in (tmp_path / "hashes").read_text()


def test_a_file_that_changes_while_it_is_decoded_is_not_stored(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or another's pixels would be found under its hash for good."""
    decoder = prepare.items.media.decoder

    def late(kind: str, data: object) -> Callable:
        decode = decoder(kind, data)  # type: ignore[arg-type]

        def changed(path: Path) -> tuple[np.ndarray, int]:
            if path.name == "a.png":
                shutil.copyfile(root / "images" / "b.jpg", path)
            return decode(path)

        return changed

    monkeypatch.setattr(prepare.items.media, "decoder", late)
    with pytest.raises(InputError, match="its files changed while they were read; run again"):
        prepared(config(root, tmp_path))
    assert not list((tmp_path / "prepared").glob("contents/image*/*/keys.npy"))


def flip(path: Path, at: int, bit: int) -> bytes:
    """Flips a bit; returns what the file was."""
    whole = path.read_bytes()
    raw = bytearray(whole)
    raw[at] ^= 1 << bit
    path.write_bytes(bytes(raw))
    return whole


def test_any_flipped_bit_in_any_file_is_told(root: Path, tmp_path: Path) -> None:
    write_texts(root, [("AÅ", "2024-05-09T10:00:00Z", "up")])
    bars = pd.read_csv(root / "bars.csv")
    bars.assign(sector="oil").to_csv(root / "bars.csv", index=False)
    folder, _ = prepared(config(root, tmp_path))
    places = [folder, *(p for p in folder.parent.glob("contents/*/*") if p.is_dir())]
    assert len(places) == 4
    rng = np.random.default_rng(0)
    files = [p for place in places for p in place.rglob("*") if p.is_file()]
    assert len(files) > 30
    for path in files:
        for _ in range(5):
            whole = flip(path, int(rng.integers(path.stat().st_size)), int(rng.integers(8)))
            with pytest.raises(InputError, match=r"; delete .* and prepare again$"):
                store.load(folder)
            path.write_bytes(whole)
    assert upkeep.verify(folder) == 4


def test_a_flipped_bit_in_a_large_column_is_found_by_verifying(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = prepared(config(root, tmp_path))
    monkeypatch.setattr(sums, "_LARGE", 100)
    flip(folder / "adj_close.npy", -3, 2)
    store.load(folder)
    with pytest.raises(InputError, match=r"adj_close.npy: is not as it was written .*; delete"):
        upkeep.verify(folder)


@pytest.mark.parametrize("name", ["<i8", "(36,)"])
def test_a_damaged_header_of_a_large_column_is_told_at_once(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    folder, _ = prepared(config(root, tmp_path))
    monkeypatch.setattr(sums, "_LARGE", 100)
    path = folder / "session.npy"
    raw = path.read_bytes()
    text = name.encode()
    assert text in raw, len(DAYS)
    path.write_bytes(raw.replace(text, text.replace(b"i", b"u").replace(b"36", b"32")))
    with pytest.raises(InputError, match=r"session.npy: holds .* the manifest says <i8 \(36,\)"):
        store.load(folder)


def test_pruning_removes_earlier_states_and_what_they_alone_show(
    root: Path, tmp_path: Path
) -> None:
    c = config(root, tmp_path)
    home = tmp_path / "prepared"
    write_texts(root, [("AÅ", "2024-05-09T10:00:00Z", t) for t in ("up", "down")])
    first, _ = prepared(c)
    wide = c.override({"data.image_size": (8, 8)})
    other, _ = prepared(_elsewhere(root, tmp_path))
    write_texts(root, [("AÅ", "2024-05-09T10:00:00Z", t) for t in ("up", "sideways")])
    second, market = prepared(c)
    third, _ = prepared(wide)
    (home / "parts" / "old").mkdir(parents=True)
    (home / "sp500-000000000000").mkdir()
    (home / "sp500-000000000000" / "manifest.json").write_text('{"parts": ["old"]}')
    (home / "x.tmp").mkdir()
    before = upkeep.unneeded(second)
    assert set(before.folders) == {
        *(first, home / "parts", home / "sp500-000000000000", home / "x.tmp")
    }
    assert before.size > 0
    (text,) = before.contents
    assert any(f"{text}: 1 contents that no set shows" in line for line in before.lines)
    assert first.exists(), "it only looks"
    assert upkeep.prune(second).lines == before.lines
    assert not any(path.exists() for path in before.folders)
    for folder in (second, third, other):
        upkeep.verify(folder)
        store.load(folder)
    assert not upkeep.unneeded(second).lines
    assert market.texts is not None
    assert sorted(market.texts.read(np.arange(2))) == ["sideways", "up"]


def _elsewhere(root: Path, tmp_path: Path) -> Config:
    """Another market folder, prepared beside the first."""
    shutil.copytree(root, tmp_path / "other")
    (tmp_path / "other" / "texts.csv").unlink()
    return config(tmp_path / "other", tmp_path)


def test_sets_of_an_older_version_are_told_once(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    c = config(root, tmp_path)
    (tmp_path / "prepared" / "parts").mkdir(parents=True)
    folder = prepare.prepare(c.data, Progress(disable=True))
    assert "sets of an older version, which are made anew" in capsys.readouterr().out
    assert prepare.prepare(c.data, Progress(disable=True)) == folder
    assert not capsys.readouterr().out
