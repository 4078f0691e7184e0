"""A prepared set: columns of bars and texts in memory, from which any window is a slice."""

import contextlib
import dataclasses
import functools
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow
import tensorflow_datasets as tfds
from jaxtyping import Bool, Float, Float16, Float64, Int32, Int64, Shaped

from fusionjax.errors import InputError


@dataclasses.dataclass(frozen=True)
class Texts:
    """All texts, ordered by the bar that may first use them, then by time."""

    bar: Int64[np.ndarray, "K"]
    available_time: Int64[np.ndarray, "K"]  # seconds since 1970-01-01 UTC
    author: Int32[np.ndarray, "K"]  # stable 32-bit hash of the author's name
    embedding: Float16[np.ndarray, "K E"]
    lexicon: Float[np.ndarray, "K X"]


@dataclasses.dataclass(frozen=True)
class Media:
    """All items of one kind, ordered by the bar that may first use them, then by time.

    The files' content stays on disk until a batch wants it.
    """

    bar: Int64[np.ndarray, "K"]
    record: Int64[np.ndarray, "K"]  # of which file; several symbols may share one
    length: Int64[np.ndarray, "K"]  # what is not padding
    shape: tuple[int, ...]
    dtype: np.dtype
    source: Any  # of the records

    def read(self, at: Int64[np.ndarray, "B"]) -> Shaped[np.ndarray, "B ..."]:
        """The content of some items."""
        record, back = np.unique(self.record[at], return_inverse=True)
        rows = self.source.__getitems__(record.tolist())
        return np.stack([r["data"] for r in rows])[back]


@dataclasses.dataclass(frozen=True)
class Market:
    """All bars, ordered by symbol and session. A row's index is its ``sample_id``."""

    fingerprint: str
    symbols: tuple[str, ...]
    channel_names: tuple[str, ...]
    symbol: Int32[np.ndarray, "R"]  # index into ``symbols``
    session: Shaped[np.ndarray, "R"]  # datetime64[D]
    decision_time: Int64[np.ndarray, "R"]  # seconds since 1970-01-01 UTC
    ohlcv: Float[np.ndarray, "R 5"]
    adj_close: Float64[np.ndarray, "R"]
    subset: Bool[np.ndarray, "R"]
    channels: Float[np.ndarray, "R F"]  # NaN = missing
    first_row: Int64[np.ndarray, "R"]  # the symbol's first row
    texts: Texts | None
    media: dict[str, Media] = dataclasses.field(default_factory=dict)  # by kind

    @functools.cached_property
    def last_row(self) -> Int64[np.ndarray, "R"]:
        """The symbol's last row."""
        return np.searchsorted(self.symbol, self.symbol, side="right") - 1

    def columns(self, names: tuple[str, ...]) -> list[int]:
        """Positions of channels.

        Raises:
          InputError: a channel is not in this set.
        """
        unknown = [n for n in names if n not in self.channel_names]
        if unknown:
            raise InputError(
                f"config.modalities: channel {unknown[0]!r} is not in the prepared "
                f"data; it has {', '.join(self.channel_names)}"
            )
        return [self.channel_names.index(n) for n in names]


def load(folder: Path) -> Market:
    """Reads a prepared set.

    Raises:
      InputError: the folder is not one, or a record file is damaged.
    """
    try:
        manifest = json.loads((folder / "manifest.json").read_text())
    except (OSError, json.JSONDecodeError) as e:
        raise InputError(
            f"{folder}: no prepared set (manifest.json: {e}); run launch/prepare.py "
            "with the same config"
        ) from e
    bars = _read(folder, "bars")
    if len(bars["session"]) != manifest["rows"]:
        raise InputError(
            f"{folder}: holds {len(bars['session'])} bars, its manifest says "
            f"{manifest['rows']}; delete the folder and prepare again"
        )
    symbols, symbol = np.unique(bars["symbol"].astype(str), return_inverse=True)
    texts = None
    if manifest["documents"]:
        d = _read(folder, "documents")
        author = np.array([zlib.crc32(a) & 0x7FFFFFFF for a in d["author"]], np.int32)
        texts = Texts(d["bar"], d["available_time"], author, d["embedding"], d["lexicon"])
    return Market(
        fingerprint=manifest["fingerprint"],
        symbols=tuple(symbols.tolist()),
        channel_names=tuple(manifest["channels"]),
        symbol=symbol.astype(np.int32),
        session=bars["session"].astype("datetime64[D]"),
        decision_time=bars["decision_time"],
        ohlcv=bars["ohlcv"],
        adj_close=bars["adj_close"],
        subset=bars["subset"],
        channels=bars["channels"],
        first_row=np.searchsorted(symbol, symbol, side="left"),
        texts=texts,
        media={kind: _media(folder, kind) for kind in manifest["media"]},
    )


def _media(folder: Path, kind: str) -> Media:
    with _naming(folder, kind):
        items = pd.read_parquet(folder / kind / "items.parquet")
        items = items[items["record"] >= 0]  # the others were set aside
        source = _rows(folder / kind / "media")
        first = source[0]["data"]
    bar, record, length = (items[c].to_numpy(np.int64) for c in ("bar", "record", "length"))
    return Media(bar, record, length, first.shape, first.dtype, source)


def _read(folder: Path, name: str) -> dict[str, np.ndarray]:
    """All columns of one record set but the texts themselves, which only people read."""
    with _naming(folder, name):
        source = _rows(folder / name)
        rows = source.__getitems__(range(len(source)))
    return {key: np.array([r[key] for r in rows]) for key in rows[0] if key != "text"}


def _rows(folder: Path) -> Any:
    return tfds.builder_from_directory(str(folder / "1.0.0")).as_data_source("rows")


@contextlib.contextmanager
def _naming(folder: Path, name: str) -> Iterator[None]:
    """What goes wrong in reading a part of a prepared set becomes one message."""
    try:
        yield
    except (OSError, ValueError, RuntimeError, IndexError, pyarrow.ArrowException) as e:
        raise InputError(
            f"{folder / name}: cannot be read ({str(e).splitlines()[0]}); delete "
            f"{folder} and prepare again"
        ) from e
