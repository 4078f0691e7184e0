"""Decodes files to arrays of a fixed shape; tables of feature frames here, the others beside it.

Files are untrusted: headers are checked against limits before anything is decoded.
"""

import collections
import dataclasses
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from jaxtyping import Float32

from fusionjax.config import DataConfig
from fusionjax.data import tables
from fusionjax.errors import require_extra
from fusionjax.registry import MODALITIES

_TABLE_BYTES = 64_000_000  # of a table of frames as a file; unpacked, eight times as many


class Undecodable(Exception):
    """A file cannot be used; the message says why."""


def folders() -> dict[str, str]:
    """Kinds of modalities that read files, and the subfolder of a market folder for each."""
    by_kind = {kind: MODALITIES[kind].folder for kind in MODALITIES}
    return {kind: folder for kind, folder in by_kind.items() if folder}


def decoder(kind: str, config: DataConfig) -> Callable[[Path], tuple[np.ndarray, int]]:
    """``decode(path) -> (array, length)`` for a kind of file; the length excludes padding.

    The array has the kind's ``shape`` and ``dtype``. ``decode`` raises ``Undecodable``.

    Raises:
      InputError: the packages that decode are not installed.
    """
    decode = MODALITIES[kind].decoder(config)

    def guarded(path: Path) -> tuple[np.ndarray, int]:
        try:
            if path.exists() and not path.is_file():  # reading a pipe would block
                raise Undecodable("is not a regular file")
            return decode(path)
        except Undecodable:
            raise
        except FileNotFoundError as e:
            raise Undecodable("missing") from e
        except Exception as e:  # a damaged file may raise an error of any class
            # FFmpeg's errors and those of files have words beside a number.
            words = getattr(e, "strerror", None) or str(e) or type(e).__name__
            reason = words.splitlines()[0]
            raise Undecodable(
                f"cannot be decoded ({reason}); it may be damaged or truncated"
            ) from e

    return guarded


@dataclasses.dataclass(frozen=True)
class Decoded:
    """What a file holds."""

    data: np.ndarray
    length: int  # without padding
    digest: str  # of ``data``
    flaw: str  # why it seems empty, in a word; mostly ""


def decoded(
    kind: str, config: DataConfig, paths: Iterable[Path]
) -> Iterator[Decoded | Undecodable]:
    """What each file holds, or why it cannot be used, in their order; decoded on all cores.

    Threads suffice: Pillow and FFmpeg let others run while they decode.
    """
    modality, decode = MODALITIES[kind], decoder(kind, config)

    def work(path: Path) -> Decoded | Undecodable:
        try:
            data, length = decode(path)
        except Undecodable as e:
            return e
        digest = hashlib.sha256(data.tobytes()).hexdigest()[:32]
        return Decoded(data, length, digest, modality.flaw(data, length))

    cores = os.cpu_count() or 1
    with ThreadPoolExecutor(cores) as pool:
        ahead: collections.deque[Future[Decoded | Undecodable]] = collections.deque()
        for path in paths:
            ahead.append(pool.submit(work, path))
            if len(ahead) > 2 * cores:  # no more in memory than the threads need
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


def require_packages() -> None:
    """Raises InputError unless the packages that read media are installed."""
    require_extra("media", "av", "PIL")


def table(path: Path, config: DataConfig) -> tuple[Float32[np.ndarray, "frames features"], int]:
    """The first rows of a parquet or CSV table, all of whose columns are features; NaN where a cell
    is empty or not a number."""
    _check_bytes(path.stat().st_size)
    if path.suffix.lower() not in (".parquet", ".csv"):
        raise Undecodable("is neither .parquet nor .csv")
    if what := tables.foreign(path):
        raise Undecodable(what)
    if path.suffix.lower() == ".parquet":
        with pq.ParquetFile(path) as f:
            groups = range(f.metadata.num_row_groups)
            _check_bytes(sum(f.metadata.row_group(i).total_byte_size for i in groups) // 8)
            count, columns = f.metadata.num_rows, f.metadata.num_columns
            _check_columns(columns, config)
            pages = [*_pages(f, min(config.max_frames, max(count, 1)))]
            rows = pd.concat(pages, ignore_index=True) if pages else pd.DataFrame()
    else:
        rows = pd.read_csv(
            path, nrows=config.max_frames, compression=None, float_precision="round_trip"
        )
        _check_columns(rows.shape[1], config)
    if not len(rows):
        raise Undecodable("holds no rows")
    numbers = rows.apply(pd.to_numeric, errors="coerce").to_numpy(np.float32)
    numbers = np.where(np.isfinite(numbers), numbers, np.float32(np.nan))[: config.max_frames]
    padding = np.full((config.max_frames - len(numbers), config.frame_features), np.nan, np.float32)
    return np.concatenate([numbers, padding]), len(numbers)


def _pages(file: pq.ParquetFile, count: int) -> Iterator[pd.DataFrame]:
    """The first ``count`` rows: where a column is one of categories, a page ends with its group."""
    for page in file.iter_batches(count):
        yield page.to_pandas()
        count -= len(page)
        if count <= 0:
            return


def _check_bytes(size: int) -> None:
    if size > _TABLE_BYTES:
        raise Undecodable(f"has more than {_TABLE_BYTES:,} bytes; a table of frames is smaller")


def _check_columns(columns: int, config: DataConfig) -> None:
    if columns != config.frame_features:
        raise Undecodable(
            f"has {columns} columns; config.data.frame_features is {config.frame_features}"
        )


def check_pixels(pixels: int, most: int) -> None:
    """Raises Undecodable unless a picture or frame has 1 to ``most`` pixels."""
    if not 0 < pixels <= most:
        raise Undecodable(f"declares {pixels:,} pixels; expected 1 to {most:,}")
