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

from fusionjax.data import adjust, parts
from fusionjax.data.calendar import Changes
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
    record: Int64[np.ndarray, "K"]  # its number in ``records``, which hold the text itself
    records: tuple[Any, ...]  # one source a part; ``record`` counts through all

    def read(self, at: Int64[np.ndarray, "B"]) -> list[str]:
        """The original texts, for display."""
        return [row["text"].decode() for row in _fetch(self.records, self.record[at])]


@dataclasses.dataclass(frozen=True)
class Media:
    """All items of one kind, ordered by the bar that may first use them, then by time.

    The files' content stays on disk until ``read``.
    """

    bar: Int64[np.ndarray, "K"]
    event_time: Int64[np.ndarray, "K"]  # seconds since 1970-01-01 UTC, as the next
    available_time: Int64[np.ndarray, "K"]
    author: Int32[np.ndarray, "K"]  # stable 32-bit hash of the source's name
    names: dict[int, str]  # of the sources, by hash
    record: Int64[np.ndarray, "K"]  # its number in ``records``; several symbols may share one
    length: Int64[np.ndarray, "K"]  # of the content before padding
    content: Shaped[np.ndarray, "K"]  # a hash of the file's bytes
    decoded: Shaped[np.ndarray, "K"]  # a hash of what the file was decoded to
    flaw: Shaped[np.ndarray, "K"]  # why it seems empty, such as "silent"; mostly ""
    path: Shaped[np.ndarray, "K"]  # of the file, relative to the raw data
    shape: tuple[int, ...]
    dtype: np.dtype
    records: tuple[Any, ...]  # one source a part; ``record`` counts through all

    def read(self, at: Int64[np.ndarray, "B"]) -> Shaped[np.ndarray, "B ..."]:
        """The content of some items."""
        record, back = np.unique(self.record[at], return_inverse=True)
        return np.stack([row["data"] for row in _fetch(self.records, record)])[back]


def _fetch(records: tuple[Any, ...], at: Int64[np.ndarray, "B"]) -> list[dict[str, Any]]:
    """Records by their number, counted through all parts.

    Raises:
      InputError: a file is damaged.
    """
    ends = np.cumsum([len(r) for r in records])
    part = np.searchsorted(ends, at, side="right")
    rows: list[dict[str, Any]] = [{}] * len(at)
    for p in np.unique(part):
        positions = np.flatnonzero(part == p)
        inside = (at[positions] - ends[p] + len(records[p])).tolist()
        try:
            fetched = records[p].__getitems__(inside)
        except (OSError, ValueError, RuntimeError, IndexError) as e:
            raise InputError(
                f"a record file of the prepared set is damaged ({str(e).splitlines()[0]}); delete "
                "the set's folder and prepare again"
            ) from e
        for i, row in zip(positions.tolist(), fetched, strict=True):
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
    ohlcv: Float[np.ndarray, "R 5"]  # as traded
    adj_close: Float64[np.ndarray, "R"]
    subset: Bool[np.ndarray, "R"]
    channels: Float[np.ndarray, "R F"]  # NaN = missing
    first_row: Int64[np.ndarray, "R"]  # the symbol's first row
    texts: Texts | None
    media: dict[str, Media] = dataclasses.field(default_factory=dict)  # by kind
    notes: tuple[str, ...] = ()  # what was left out when the set was prepared, and why
    misaligned: tuple[str, ...] = ()  # events with unequal numbers of items
    revised: tuple[str, ...] = ()  # bars that differ from the set that was prepared before
    sectors: dict[str, str] = dataclasses.field(default_factory=dict)  # by symbol, where known
    # Codes of symbols whose calendar is not ``config.data.calendar``, and what calendars lack.
    exchanges: dict[str, str] = dataclasses.field(default_factory=dict)
    session_changes: dict[str, Changes] = dataclasses.field(default_factory=dict)  # by code

    @functools.cached_property
    def last_row(self) -> Int64[np.ndarray, "R"]:
        """The symbol's last row."""
        return np.searchsorted(self.symbol, self.symbol, side="right") - 1

    @functools.cached_property
    def ordinal(self) -> Int64[np.ndarray, "R"]:
        """The place of the row's session among the sessions of all symbols, from 0."""
        return np.unique(self.session, return_inverse=True)[1].reshape(-1)

    @functools.cached_property
    def exchange(self) -> Shaped[np.ndarray, "N"]:
        """The code of each symbol's exchange; empty for ``config.data.calendar``."""
        return np.array([self.exchanges.get(name, "") for name in self.symbols], str)

    @functools.cached_property
    def adjusted(self) -> Float[np.ndarray, "R 5"]:
        """``ohlcv`` in the scale of ``adj_close``, volume in shares of the symbol's first bar."""
        values = adjust.adjusted(self.ohlcv, self.adj_close, self.first_row)
        return values.astype(self.ohlcv.dtype)

    @property
    def items(self) -> "dict[str, Texts | Media]":
        """Texts and media, by the kind of the modality that shows them."""
        return {**({} if self.texts is None else {"text": self.texts}), **self.media}

    def look_back(
        self, rows: Int64[np.ndarray, "B"], sessions: int
    ) -> tuple[Int64[np.ndarray, "B T"], Bool[np.ndarray, "B T"]]:
        """Rows of the last ``sessions``, oldest first, and whether each exists; the symbol's first
        row where it does not."""
        at = rows[:, None] + np.arange(1 - sessions, 1)
        first = self.first_row[rows][:, None]
        return np.maximum(at, first), at >= first

    def oldest(self, rows: Int64[np.ndarray, "B"], sessions: int) -> Int64[np.ndarray, "B"]:
        """The oldest row that ``look_back`` reaches from each row."""
        return np.maximum(rows - sessions + 1, self.first_row[rows])

    def columns(self, names: tuple[str, ...]) -> list[int]:
        """Positions of channels in ``channels``.

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
      InputError: the folder is not a prepared set, or a record file is damaged.
    """
    try:
        manifest = json.loads((folder / "manifest.json").read_text())
    except (OSError, json.JSONDecodeError) as e:
        raise InputError(
            f"{folder}: no prepared set (manifest.json: {e}); run launch/prepare.py "
            "with the same config"
        ) from e
    folders = [folder.parent / "parts" / name for name in manifest.get("parts", ())]
    digests = [parts.digests(part) for part in folders]
    missing = [part for part, rows in zip(folders, digests, strict=True) if rows is None]
    if missing or not folders:
        raise InputError(
            f"{folder}: its part {missing[0].name if missing else ''} is missing or was not "
            "finished; run launch/prepare.py with the same config"
        )
    stored = {part: rows for part, rows in zip(folders, digests, strict=True) if rows is not None}
    bars = _read_table(stored, "bars")
    if len(bars["session"]) != manifest["rows"]:
        raise InputError(
            f"{folder}: its parts hold {len(bars['session'])} bars, its manifest says "
            f"{manifest['rows']}; delete the folder and prepare again"
        )
    symbols, symbol = np.unique(bars["symbol"], return_inverse=True)
    order = np.lexsort((bars["session"], symbol))
    bars, symbol = {k: v[order] for k, v in bars.items()}, symbol[order].astype(np.int32)

    def row_of(names: np.ndarray, session: np.ndarray) -> Int64[np.ndarray, "K"]:
        """The bar of each symbol and session."""
        bar_keys = _sort_key(symbol, bars["session"])
        keys = _sort_key(np.searchsorted(symbols, names), session)
        at = np.searchsorted(bar_keys, keys)
        assert (bar_keys[np.minimum(at, len(bar_keys) - 1)] == keys).all(), "an item has no bar"
        return at

    texts = None
    if manifest["documents"]:
        d = _read_table(stored, "documents")
        bar = row_of(d["symbol"], d["session"])
        at = np.lexsort((d["digest"], d["available_time"], bar))
        author, names = _hash_names(d["author"][at])
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
            tuple(_records(part / "documents") for part in stored if (part / "documents").exists()),
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
        media={kind: _media(folders, kind, row_of) for kind in manifest["media"]},
        notes=tuple(manifest["notes"]),
        misaligned=tuple(manifest["misaligned"]),
        revised=tuple(manifest.get("revised", ())),  # sets of before have no such line
        sectors=manifest["sectors"],
        exchanges=manifest["exchanges"],
        session_changes=manifest["sessions"],
    )


def _sort_key(symbol: np.ndarray, session: np.ndarray) -> Int64[np.ndarray, "_"]:
    """A key that sorts rows by symbol, then by session."""
    return (symbol.astype(np.int64) << 32) + session


def _media(
    folders: list[Path], kind: str, row_of: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> Media:
    tables, records, start = [], [], 0
    for part in folders:
        if not (part / kind).exists():
            continue
        with _read_errors(part, kind):
            items = pd.read_parquet(part / kind / "items.parquet")
            items = items[items["record"] >= 0]  # -1: the file could not be used
            if not len(items):
                continue
            records.append(_records(part / kind / "media"))
            first = records[-1][0]["data"]
        tables.append(items.assign(record=items["record"] + start))
        start += len(records[-1])
    items = pd.concat(tables, ignore_index=True)
    items = items.assign(bar=row_of(items["symbol"].to_numpy(str), items["session"].to_numpy()))
    items = items.sort_values(["bar", "available_time", "content"], kind="stable")
    author, names = _hash_names(items["source"].to_numpy(str))
    numbers = ("bar", "event_time", "available_time", "record", "length")
    return Media(
        **{c: items[c].to_numpy(np.int64) for c in numbers},
        author=author,
        names=names,
        **{c: items[c].to_numpy(str) for c in ("content", "decoded", "flaw", "path")},
        shape=first.shape,
        dtype=first.dtype,
        records=tuple(records),
    )


def _hash_names(names: np.ndarray) -> tuple[Int32[np.ndarray, "K"], dict[int, str]]:
    distinct, at = np.unique(names, return_inverse=True)
    hashes = np.array([zlib.crc32(n.encode()) & 0x7FFFFFFF for n in distinct.tolist()], np.int32)
    return hashes[at], dict(zip(hashes.tolist(), distinct.tolist(), strict=True))


def _read_table(stored: dict[Path, parts.Digests], name: str) -> dict[str, np.ndarray]:
    """All columns of one table except the texts, which are read for display only."""
    pages: list[dict[str, np.ndarray]] = []
    for part, digests in stored.items():
        if not (part / name).exists():
            continue
        with _read_errors(part, name):
            source = _records(part / name)
            for start in range(0, len(source), _PAGE):
                rows = source.__getitems__(range(start, min(start + _PAGE, len(source))))
                columns = {k: np.array([r[k] for r in rows]) for k in rows[0] if k != "text"}
                pages.append({**columns, "digest": digests[name][start : start + _PAGE]})
    columns = {key: np.concatenate([p[key] for p in pages]) for key in pages[0]}
    return {k: np.char.decode(x, "utf-8") if x.dtype.kind == "S" else x for k, x in columns.items()}


def _records(folder: Path) -> Any:
    import tensorflow_datasets as tfds

    return tfds.builder_from_directory(str(folder / "1.0.0")).as_data_source("rows")


@contextlib.contextmanager
def _read_errors(folder: Path, name: str) -> Iterator[None]:
    """Turns an error in reading a part of a prepared set into an InputError."""
    try:
        yield
    except (OSError, ValueError, RuntimeError, IndexError, pyarrow.ArrowException) as e:
        raise InputError(
            f"{folder / name}: cannot be read ({str(e).splitlines()[0]}); delete "
            f"{folder} and prepare again"
        ) from e
