"""Contents are stored once, merged into few parts, and read while others merge them."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT

from fusionjax.data import contents
from fusionjax.errors import InputError


def keys(numbers: range) -> list[str]:
    return [contents.key(str(i)) for i in numbers]


def add(home: Path, numbers: range) -> None:
    """Texts that say their number, or arrays where it is negative."""
    values = [f"text {i}" if i >= 0 else np.full((2, 3), -i, np.int16) for i in numbers]
    contents.add(home, keys(numbers), values, {"twice": np.array([2 * i for i in numbers])})
    contents.merge(home)


def parts(home: Path) -> int:
    return sum(p.is_dir() for p in home.iterdir())


def by_key(numbers: range) -> np.ndarray:
    return np.array(keys(numbers), contents.KEY)


def test_a_part_a_day_stays_few_parts_and_all_is_found(tmp_path: Path) -> None:
    most, written = 0, 0
    for day in range(70):
        before = set(tmp_path.glob("*/keys.npy"))
        add(tmp_path, range(day, day + 1))
        most = max(most, parts(tmp_path))
        new = set(tmp_path.glob("*/keys.npy")) - before
        written += sum(len(np.load(p)) for p in new)
    assert most <= 15
    assert written < 70 * 4, "a content is written again once for each size of part"
    index = contents.Index.open(tmp_path)
    at = index.find(by_key(range(70)))
    assert index.records(at) == [f"text {i}" for i in range(70)]
    np.testing.assert_array_equal(index.column("twice", at), 2 * np.arange(70))
    assert (index.find(by_key(range(70, 75))) == -1).all()


def test_parts_end_at_their_limit_and_full_ones_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contents, "BYTES", 120)  # ten arrays of twelve bytes
    for day in range(12):
        add(tmp_path, range(-10 * day - 10, -10 * day))
    sizes = [np.load(p).sum() for p in tmp_path.glob("*/size.npy")]
    assert max(sizes) <= 132
    full = {p: p.stat().st_mtime_ns for p in tmp_path.iterdir() if p.is_dir()}
    add(tmp_path, range(-200, -190))
    assert full.items() <= {p: p.stat().st_mtime_ns for p in tmp_path.iterdir()}.items()
    index = contents.Index.open(tmp_path)
    found = index.records(index.find(by_key(range(-120, 0))))
    assert [int(x[0, 0]) for x in found] == list(range(120, 0, -1))


def test_what_is_open_is_read_after_a_merge(tmp_path: Path) -> None:
    for day in range(7):
        add(tmp_path, range(day, day + 1))
    opened = contents.Records(tmp_path, tmp_path / "set")
    numbers = opened.find(by_key(range(7)))
    add(tmp_path, range(7, 8))
    assert parts(tmp_path) == 1, "the seven are gone"
    assert opened.read(numbers[::-1]) == [f"text {i}" for i in range(6, -1, -1)]
    assert opened.read(numbers[2:3]) == ["text 2"]


def test_a_killed_merge_leaves_nothing_twice(tmp_path: Path) -> None:
    add(tmp_path, range(5))
    add(tmp_path, range(3, 6))
    (tmp_path / "killed.tmp").mkdir()
    index = contents.Index.open(tmp_path)
    assert len(index.keys) == 6
    assert index.records(index.find(by_key(range(6)))) == [f"text {i}" for i in range(6)]
    for day in range(10, 16):
        add(tmp_path, range(day, day + 1))
    (merged,) = (p for p in tmp_path.iterdir() if p.is_dir() and p.suffix != ".tmp")
    assert len(np.load(merged / "keys.npy")) == 12


def test_what_is_not_needed_is_counted_and_goes(tmp_path: Path) -> None:
    add(tmp_path, range(4))
    add(tmp_path, range(4, 6))
    assert contents.unused(tmp_path, by_key(range(6))) == (0, 0)
    count, size = contents.unused(tmp_path, by_key(range(2)))
    assert count == 4
    assert size > 0
    contents.keep(tmp_path, by_key(range(2)))
    assert parts(tmp_path) == 1
    index = contents.Index.open(tmp_path)
    assert len(index.keys) == 2
    assert index.records(index.find(by_key(range(2)))) == ["text 0", "text 1"]


@pytest.mark.parametrize("file", ["*.array_record*", "twice.npy"])
def test_damage_does_not_get_a_sum_of_its_own_by_merging(tmp_path: Path, file: str) -> None:
    for day in range(7):
        add(tmp_path, range(day, day + 1))
    (damaged, *_) = sorted(tmp_path.rglob(file))
    raw = bytearray(damaged.read_bytes())
    raw[-2] ^= 1
    damaged.write_bytes(bytes(raw))
    with pytest.raises(InputError, match=rf"{damaged.name}: is not as it was written"):
        add(tmp_path, range(7, 8))


def test_a_lost_content_is_told_with_the_set_that_shows_it(tmp_path: Path) -> None:
    add(tmp_path, range(3))
    opened = contents.Records(tmp_path, tmp_path / "set")
    with pytest.raises(InputError, match="lacks 2 of 4 contents of .*set; delete .*set and prep"):
        opened.find(by_key(range(1, 5)))


def test_no_bar_is_drawn_while_the_library_of_records_is_imported(tmp_path: Path) -> None:
    """Its import makes relative imports of other threads fail, also those of a bar's thread."""
    code = (
        "import io, sys, threading\n"
        "from rich.console import Console\n"
        "from rich.progress import Progress\n"
        "from fusionjax.data import contents\n"
        "broken = []\n"
        "threading.excepthook = broken.append\n"
        "sys.setswitchinterval(1e-5)\n"
        "console = Console(file=io.StringIO(), force_terminal=True)\n"
        "with Progress(console=console, refresh_per_second=1000) as progress:\n"
        "    progress.add_task('[b]decoding[/b]', total=40)\n"
        "    contents.import_tfds(progress)\n"
        "    assert progress.live.is_started\n"
        "assert 'tensorflow_datasets' in sys.modules\n"
        "sys.exit(len(broken))\n"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
