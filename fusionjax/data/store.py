"""A prepared set: columns of bars and texts in memory, from which any window is a slice."""

import contextlib
import dataclasses
import functools
import json
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow
from jaxtyping import Bool, Float, Float16, Float64, Int32, Int64, Shaped, UInt16

from fusionjax.data import parts
from fusionjax.errors import InputError

_PAGE = 65_536  # records read at once: their dicts outweigh the columns they become


@dataclasses.dataclass(frozen=True)
class Texts:
    """All texts, ordered by the bar that may first use them, then by time."""

    bar: Int64[np.ndarray, "K"]
    event_time: Int64[np.ndarray, "K"]  # seconds since 1970-01-01 UTC, as the next
    available_time: Int64[np.ndarray, "K"]
    author: Int32[np.ndarray, "K"]  # stable 32-bit hash of the author's name
    names: dict[int, str]  # of the authors, by hash
    embedding: Float16[np.ndarray, "K E"]
    lexicon: Float[np.ndarray, "K X"]
    tokens: UInt16[np.ndarray, "K L"]  # 0 = padding
    record: Int64[np.ndarray, "K"]  # where each text itself lies
    records: tuple[Any, ...]  # of each part, one after the other

    def read(self, at: Int64[np.ndarray, "B"]) -> list[str]:
        """Some texts as they were written, for people."""
        return [row["text"].decode() for row in _fetched(self.records, self.record[at])]


@dataclasses.dataclass(frozen=True)
class Media:
    """All items of one kind, ordered by the bar that may first use them, then by time.

    The files' content stays on disk until a batch wants it.
    """

    bar: Int64[np.ndarray, "K"]
    event_time: Int64[np.ndarray, "K"]  # seconds since 1970-01-01 UTC, as the next
    available_time: Int64[np.ndarray, "K"]
    author: Int32[np.ndarray, "K"]  # stable 32-bit hash of the source's name
    names: dict[int, str]  # of the sources, by hash
    record: Int64[np.ndarray, "K"]  # of which file; several symbols may share one
    length: Int64[np.ndarray, "K"]  # what is not padding
    content: Shaped[np.ndarray, "K"]  # a hash of the file's bytes
    path: Shaped[np.ndarray, "K"]  # of the file, inside its folder
    shape: tuple[int, ...]
    dtype: np.dtype
    records: tuple[Any, ...]  # of each part, one after the other

    def read(self, at: Int64[np.ndarray, "B"]) -> Shaped[np.ndarray, "B ..."]:
        """The content of some items."""
        record, back = np.unique(self.record[at], return_inverse=True)
        return np.stack([row["data"] for row in _fetched(self.records, record)])[back]


def _fetched(records: tuple[Any, ...], at: Int64[np.ndarray, "B"]) -> list[dict[str, Any]]:
    """Records by their number, over parts that lie one after the other.

    Raises:
      InputError: a file is damaged.
    """
    ends = np.cumsum([len(r) for r in records])
    part = np.searchsorted(ends, at, side="right")
    rows: list[dict[str, Any]] = [{}] * len(at)
    for p in np.unique(part):
        asked = np.flatnonzero(part == p)
        inside = (at[asked] - ends[p] + len(records[p])).tolist()
        try:
            got = records[p].__getitems__(inside)
        except (OSError, ValueError, RuntimeError, IndexError) as e:
            raise InputError(
                f"a record file of the prepared set is damaged ({str(e).splitlines()[0]}); delete "
                "the set's folder and prepare again"
            ) from e
        for i, row in zip(asked.tolist(), got, strict=True):
            rows[i] = row
    return rows


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
    notes: tuple[str, ...] = ()  # what was left out when it was prepared, and why
    misaligned: tuple[str, ...] = ()  # events whose items do not pair up
    sectors: dict[str, str] = dataclasses.field(default_factory=dict)  # by symbol, where known

    @functools.cached_property
    def last_row(self) -> Int64[np.ndarray, "R"]:
        """The symbol's last row."""
        return np.searchsorted(self.symbol, self.symbol, side="right") - 1

    @property
    def items(self) -> "dict[str, Texts | Media]":
        """Texts and media, by the kind of the modality that shows them."""
        return {**({} if self.texts is None else {"text": self.texts}), **self.media}

    def look_back(
        self, rows: Int64[np.ndarray, "B"], sessions: int
    ) -> tuple[Int64[np.ndarray, "B T"], Bool[np.ndarray, "B T"]]:
        """The last sessions' rows, oldest first, and which of them the symbol has; the others are
        its first."""
        at = rows[:, None] + np.arange(1 - sessions, 1)
        first = self.first_row[rows][:, None]
        return np.maximum(at, first), at >= first

    def oldest(self, rows: Int64[np.ndarray, "B"], sessions: int) -> Int64[np.ndarray, "B"]:
        """The first row that a look-back of so many sessions reaches from each row."""
        return np.maximum(rows - sessions + 1, self.first_row[rows])

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
    chain = [folder.parent / "parts" / name for name in manifest.get("parts", ())]
    digests = [parts.digests(part) for part in chain]
    lost = [part for part, rows in zip(chain, digests, strict=True) if rows is None]
    if lost or not chain:
        raise InputError(
            f"{folder}: its part {lost[0].name if lost else ''} is missing or was not finished; "
            "run launch/prepare.py with the same config"
        )
    held = {part: rows for part, rows in zip(chain, digests, strict=True) if rows is not None}
    bars = _read(held, "bars")
    if len(bars["session"]) != manifest["rows"]:
        raise InputError(
            f"{folder}: its parts hold {len(bars['session'])} bars, its manifest says "
            f"{manifest['rows']}; delete the folder and prepare again"
        )
    symbols, symbol = np.unique(bars["symbol"].astype(str), return_inverse=True)
    order = np.lexsort((bars["session"], symbol))
    bars, symbol = {k: v[order] for k, v in bars.items()}, symbol[order].astype(np.int32)

    def row_of(names: np.ndarray, session: np.ndarray) -> Int64[np.ndarray, "K"]:
        """The bar of each symbol and session."""
        held, wanted = (
            _key(symbol, bars["session"]),
            _key(np.searchsorted(symbols, names), session),
        )
        at = np.searchsorted(held, wanted)
        assert (held[np.minimum(at, len(held) - 1)] == wanted).all(), "an item without its bar"
        return at

    texts = None
    if manifest["documents"]:
        d = _read(held, "documents")
        bar = row_of(d["symbol"].astype(str), d["session"])
        at = np.lexsort((d["digest"], d["available_time"], bar))
        author, names = _hashed(d["author"][at].astype(str))
        texts = Texts(
            bar[at],
            d["event_time"][at],
            d["available_time"][at],
            author,
            names,
            d["embedding"][at],
            d["lexicon"][at],
            d["tokens"][at],
            at,
            tuple(_rows(part / "documents") for part in held if (part / "documents").exists()),
        )
    return Market(
        fingerprint=manifest["fingerprint"],
        symbols=tuple(symbols.tolist()),
        channel_names=tuple(manifest["channels"]),
        symbol=symbol,
        session=bars["session"].astype("datetime64[D]"),
        decision_time=bars["decision_time"],
        ohlcv=bars["ohlcv"],
        adj_close=bars["adj_close"],
        subset=bars["subset"],
        channels=bars["channels"],
        first_row=np.searchsorted(symbol, symbol, side="left"),
        texts=texts,
        media={kind: _media(chain, kind, row_of) for kind in manifest["media"]},
        notes=tuple(manifest["notes"]),
        misaligned=tuple(manifest["misaligned"]),
        sectors=manifest["sectors"],
    )


def _key(symbol: np.ndarray, session: np.ndarray) -> Int64[np.ndarray, "_"]:
    """Orders rows by symbol, then by session."""
    return (symbol.astype(np.int64) << 32) + session


def _media(
    chain: list[Path], kind: str, row_of: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> Media:
    listed, records, start = [], [], 0
    for part in chain:
        if not (part / kind).exists():
            continue
        with _naming(part, kind):
            items = pd.read_parquet(part / kind / "items.parquet")
            items = items[items["record"] >= 0]  # the others were set aside
            if not len(items):
                continue
            records.append(_rows(part / kind / "media"))
            first = records[-1][0]["data"]
        listed.append(items.assign(record=items["record"] + start))
        start += len(records[-1])
    items = pd.concat(listed, ignore_index=True)
    items = items.assign(bar=row_of(items["symbol"].to_numpy(str), items["session"].to_numpy()))
    items = items.sort_values(["bar", "available_time", "content"], kind="stable")
    author, names = _hashed(items["source"].to_numpy(str))
    numbers = ("bar", "event_time", "available_time", "record", "length")
    return Media(
        **{c: items[c].to_numpy(np.int64) for c in numbers},
        author=author,
        names=names,
        content=items["content"].to_numpy(str),
        path=items["path"].to_numpy(str),
        shape=first.shape,
        dtype=first.dtype,
        records=tuple(records),
    )


def _hashed(names: np.ndarray) -> tuple[Int32[np.ndarray, "K"], dict[int, str]]:
    distinct, at = np.unique(names, return_inverse=True)
    hashes = np.array([zlib.crc32(n.encode()) & 0x7FFFFFFF for n in distinct.tolist()], np.int32)
    return hashes[at], dict(zip(hashes.tolist(), distinct.tolist(), strict=True))


def _read(held: dict[Path, parts.Digests], name: str) -> dict[str, np.ndarray]:
    """All columns of one table but the texts themselves, which only people read."""
    pages: list[dict[str, np.ndarray]] = []
    for part, digests in held.items():
        if not (part / name).exists():
            continue
        with _naming(part, name):
            source = _rows(part / name)
            for start in range(0, len(source), _PAGE):
                rows = source.__getitems__(range(start, min(start + _PAGE, len(source))))
                columns = {k: np.array([r[k] for r in rows]) for k in rows[0] if k != "text"}
                pages.append({**columns, "digest": digests[name][start : start + _PAGE]})
    return {key: np.concatenate([p[key] for p in pages]) for key in pages[0]}


def _rows(folder: Path) -> Any:
    import tensorflow_datasets as tfds

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
