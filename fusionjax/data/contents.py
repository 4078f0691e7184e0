"""Decoded files and texts, each stored once by what it is, whatever sets show it.

The contents of one kind lie in parts. A part holds records (array_record, written by tfds) in the
order of their keys, and beside them columns: ``keys``, ``size`` in bytes, and what the kind adds.
"""

import contextlib
import dataclasses
import functools
import hashlib
import io
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int32, Int64, Shaped
from rich.progress import Progress

from fusionjax import files
from fusionjax.data import sums
from fusionjax.errors import InputError

HOME = "contents"  # in ``config.data.prepared``, a folder a kind
KEY = "S32"  # hexadecimal digits of a SHA-256: 128 bits
# Limits of a part: tfds holds it in memory and needs TensorFlow from 1 GB on, and an interrupted
# call loses what is not yet a part.
BYTES, COUNT = 256_000_000, 16_384
# So many parts of about one size become one, so a content is written again once for each size, and
# the number of parts grows with the logarithm of that of contents, up to the limits of a part.
_ALIKE = 8
_OPEN = 64  # parts whose record file is kept open

Value = str | np.ndarray
Columns = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Index:
    """Where each content lies.

    Attributes:
      parts: folders.
      keys: of all contents, sorted.
      part: index into ``parts``.
      row: in its part.
    """

    parts: tuple[Path, ...]
    keys: Shaped[np.ndarray, "N"]
    part: Int32[np.ndarray, "N"]
    row: Int64[np.ndarray, "N"]

    @staticmethod
    def open(home: Path) -> "Index":
        """The index of the contents in ``home``, which may be empty or missing.

        Raises:
          InputError: a part is damaged.
        """
        while True:
            parts = _parts(home)
            try:
                for part in parts:
                    sums.check(part)
                by_part = [_column(p, "keys") for p in parts]
            except InputError:
                if all(p.exists() for p in parts):
                    raise
                continue  # another process has merged it
            keys = np.concatenate([np.zeros(0, KEY), *by_part])
            keys, at = np.unique(keys, return_index=True)
            count = np.array([len(k) for k in by_part], np.int64)
            ends = np.cumsum(count)
            of = np.searchsorted(ends, at, side="right")
            row = at - np.append(ends - count, 0)[of]
            return Index(tuple(parts), keys, of.astype(np.int32), row.astype(np.int64))

    def find(self, keys: Shaped[np.ndarray, "K"]) -> Int64[np.ndarray, "K"]:
        """The number of each content; -1 where there is none."""
        at = np.searchsorted(self.keys, keys)
        inside = at < len(self.keys)
        found = np.zeros(len(keys), bool)
        found[inside] = self.keys[at[inside]] == keys[inside]
        return np.where(found, at, -1).astype(np.int64)

    def column(self, name: str, numbers: Int64[np.ndarray, "K"]) -> np.ndarray:
        """The cells of some contents in a column."""
        pages = [(np.flatnonzero(self.part[numbers] == p), p) for p in self._used(numbers)]
        cells = [_column(self.parts[p], name)[self.row[numbers[at]]] for at, p in pages]
        out = np.empty((len(numbers), *cells[0].shape[1:]), np.result_type(*cells))
        for (at, _), page in zip(pages, cells, strict=True):
            out[at] = page
        return out

    def records(self, numbers: Int64[np.ndarray, "K"]) -> list[Value]:
        """Some contents.

        Raises:
          FileNotFoundError: a part is gone.
          InputError: a part cannot be read.
        """
        out: list[Any] = [None] * len(numbers)
        for p in self._used(numbers):
            at = np.flatnonzero(self.part[numbers] == p)
            for i, value in zip(at, _read(self.parts[p], self.row[numbers[at]]), strict=True):
                out[i] = value
        return out

    def _used(self, numbers: np.ndarray) -> list[int]:
        return np.unique(self.part[numbers]).tolist()


class Records:
    """Contents of one kind, to read while other processes add and merge.

    A content's number stays what it was when this was opened.

    Args:
      home: of the contents.
      folder: the set that shows them.
    """

    def __init__(self, home: Path, folder: Path) -> None:
        self._home, self._folder = home, folder
        self._index = Index.open(home)
        self._keys = self._index.keys

    def find(self, keys: Shaped[np.ndarray, "K"]) -> Int64[np.ndarray, "K"]:
        """The number of each content.

        Raises:
          InputError: one is not there.
        """
        numbers = self._index.find(keys)
        if lost := int((numbers < 0).sum()):
            raise InputError(
                f"{self._home}: lacks {lost} of {len(keys)} contents of {self._folder}; delete "
                f"{self._folder} and prepare again"
            )
        return numbers

    def read(self, numbers: Int64[np.ndarray, "K"]) -> list[Value]:
        """Some contents by number.

        Raises:
          InputError: a record is damaged or gone.
        """
        keys = self._keys[numbers]
        while True:
            try:
                return self._index.records(self.find(keys))
            except FileNotFoundError:  # another process has merged its part
                self._index = Index.open(self._home)


def key(content: str) -> str:
    """The key of a text."""
    return hashlib.sha256(content.encode()).hexdigest()[:32]


def add(home: Path, keys: list[str], values: Sequence[Value], columns: Columns) -> None:
    """Stores contents.

    Args:
      home: of the kind.
      keys: distinct.
      values: texts, or arrays of one shape.
      columns: a row a content.
    """
    if not keys:
        return
    by_key = np.array(keys, KEY)
    order = np.argsort(by_key)
    size = np.array([len(v.encode()) if isinstance(v, str) else v.nbytes for v in values], np.int64)
    columns = {name: column[order] for name, column in columns.items()}
    with files.locked(home):
        _write(
            home, [values[i] for i in order], columns | {"keys": by_key[order], "size": size[order]}
        )


def merge(home: Path) -> None:
    """Makes one part of many that are alike, until there are few."""
    with files.locked(home):
        while len(group := _alike(home)) >= _ALIKE:
            _rewrite(home, group[:_ALIKE], lambda keys: np.ones(len(keys), bool))


def unused(home: Path, needed: Shaped[np.ndarray, "K"]) -> tuple[int, int]:
    """Number and bytes of the contents that are not ``needed``."""
    count, total = 0, 0
    for part in _parts(home):
        waste = ~np.isin(_column(part, "keys"), needed)
        on_disk = sum(p.stat().st_size for p in part.rglob("*") if p.is_file())
        count, total = count + int(waste.sum()), total + round(on_disk * waste.mean())
    return count, total


def keep(home: Path, needed: Shaped[np.ndarray, "K"]) -> None:
    """Deletes the contents that are not ``needed``."""
    with files.locked(home):
        for left in home.glob("*.tmp"):  # by a call that was killed
            shutil.rmtree(left)
        for part in _parts(home):
            if not np.isin(_column(part, "keys"), needed).all():
                _rewrite(home, [part], lambda keys: np.isin(keys, needed))


def check(home: Path) -> int:
    """Compares all files with their sums.

    Returns:
      The number of parts.

    Raises:
      InputError: naming the file that is damaged.
    """
    parts = _parts(home)
    for part in parts:
        sums.check(part, all_files=True)
    return len(parts)


def _parts(home: Path) -> list[Path]:
    return sorted(p for p in home.glob("*") if p.is_dir() and p.suffix != ".tmp")


def _alike(home: Path) -> list[Path]:
    """The parts that may still grow, of the size of which there are most."""
    by_size: dict[int, list[Path]] = {}
    for part in _parts(home):
        size = _column(part, "size")
        if len(size) <= COUNT // 2 and size.sum() <= BYTES // 2:
            by_size.setdefault(int(np.log(len(size)) / np.log(_ALIKE)), []).append(part)
    return max(by_size.values(), key=len, default=[])


def _rewrite(home: Path, parts: list[Path], wanted: Callable[[np.ndarray], np.ndarray]) -> None:
    """Replaces parts by parts of what is wanted of them."""
    for part in parts:
        sums.check(part, all_files=True)  # or damage would get a sum of its own
    columns = [{n: _column(p, n) for n in _names(p)} for p in parts]
    rows = [np.flatnonzero(wanted(c["keys"])) for c in columns]
    values = [v for p, r in zip(parts, rows, strict=True) for v in _read(p, r)]
    joined = {
        n: np.concatenate([c[n][r] for c, r in zip(columns, rows, strict=True)]) for n in columns[0]
    }
    _, order = np.unique(joined["keys"], return_index=True)  # a killed merge left some twice
    made = _write(home, [values[i] for i in order], {n: x[order] for n, x in joined.items()})
    for part in set(parts) - set(made):
        files.remove_folder(part)


def _write(home: Path, values: Sequence[Value], columns: Columns) -> list[Path]:
    """Writes contents, sorted by key, as parts; returns them."""
    count = len(values)
    page = np.cumsum(columns["size"]) // BYTES + np.arange(count) // COUNT
    made = []
    for rows in np.split(np.arange(count), np.flatnonzero(np.diff(page)) + 1) if count else ():
        keys = columns["keys"][rows]
        part = home / hashlib.sha256(keys.tobytes()).hexdigest()[:12]
        with files.new_folder(part) as aside:
            _write_records(aside, [values[i] for i in rows])
            for name, column in columns.items():
                save_array(aside / f"{name}.npy", column[rows])
            sums.write(aside)
        _source.cache_clear()  # a part of this name may have been open
        made.append(part)
    return made


def import_tfds(progress: Progress | None = None) -> None:
    """Imports the library of records while no bar is drawn.

    Meanwhile it replaces the function by which all threads import, and relative imports of others
    fail: also of the thread that draws a bar (findings/tfds_import_breaks_other_threads.sh).
    """
    if "tensorflow_datasets" in sys.modules:
        return
    if progress is not None:
        progress.stop()
    import tensorflow_datasets  # noqa: F401

    if progress is not None:
        progress.start()


def _write_records(folder: Path, values: Sequence[Value]) -> None:
    import tensorflow_datasets as tfds

    from fusionjax.data.builder.records.records_dataset_builder import Builder

    # tfds draws progress bars of its own on stderr, across ours.
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        tfds.disable_progress_bar()
        builder = Builder(values=values, data_dir=folder, file_format="array_record")
        try:
            builder.download_and_prepare()
        except RuntimeError as e:  # of the record writer, on a full disk
            raise OSError(str(e).strip().partition("\n")[0]) from e


def _names(part: Path) -> list[str]:
    return sorted(p.stem for p in part.glob("*.npy"))


def _column(part: Path, name: str) -> np.ndarray:
    return load_array(part / f"{name}.npy")


def save_array(path: Path, array: np.ndarray) -> None:
    """What ``np.save`` writes, but on a full disk the error says so."""
    array = np.ascontiguousarray(array)
    with path.open("wb") as f:
        np.lib.format.write_array_header_1_0(f, np.lib.format.header_data_from_array_1_0(array))
        f.write(array.data)


def load_array(path: Path) -> np.ndarray:
    """An array that is mapped, not read: processes of a node share its memory.

    Raises:
      InputError: it is damaged.
    """
    try:
        return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except Exception as e:  # a damaged header may raise an error of any class
        raise sums.unreadable(path, path.parent, e) from e


def _read(part: Path, rows: Int64[np.ndarray, "B"]) -> list[Value]:
    """Records of a part. Raises FileNotFoundError if it is gone."""
    try:
        found = [row["record"] for row in _source(part).__getitems__(rows.tolist())]
    except Exception as e:  # a damaged file may raise an error of any class
        _source.cache_clear()
        if not part.exists():
            raise FileNotFoundError(part) from e
        reason = str(e).splitlines()[0] if str(e) else type(e).__name__
        sums.check(part, all_files=True)  # tells the file if it is damaged
        raise InputError(f"{part}: cannot be read ({reason}), though its files are whole") from e
    return [v.decode() if isinstance(v, bytes) else v for v in found]


@functools.lru_cache(maxsize=_OPEN)
def _source(part: Path) -> Any:
    import tensorflow_datasets as tfds

    return tfds.builder_from_directory(str(part / "records" / "1.0.0")).as_data_source("rows")
