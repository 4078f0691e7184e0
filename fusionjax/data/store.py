"""A prepared set: mapped columns of bars and texts, from which any window is a slice."""

import dataclasses
import functools
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Float16, Float64, Int32, Int64, Shaped, UInt16

from fusionjax import files
from fusionjax.data import adjust, contents, sums
from fusionjax.data.calendar import Changes
from fusionjax.errors import InputError


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
    tokens: UInt16[np.ndarray, "K L"]  # the first of the text; 0 = padding
    pieces: Int32[np.ndarray, "K 2"]  # of the text: all, and those foreign to the encoder
    record: Int64[np.ndarray, "K"]  # its number in ``records``, which hold the text itself
    records: contents.Records | None

    def read(self, at: Int64[np.ndarray, "B"]) -> list[str]:
        """The original texts, for display."""
        assert self.records is not None, "these texts were not read from a set"
        return [str(text) for text in self.records.read(self.record[at])]


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
    records: contents.Records | None

    def read(self, at: Int64[np.ndarray, "B"]) -> Shaped[np.ndarray, "B ..."]:
        """The content of some items."""
        assert self.records is not None, "these items were not read from a set"
        record, back = np.unique(self.record[at], return_inverse=True)
        return np.stack(self.records.read(record))[back]


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
    late_events: tuple[str, ...] = ()  # how many were known only when they were due, by name
    revised: tuple[str, ...] = ()  # bars that differ from the set that was prepared before
    sectors: dict[str, str] = dataclasses.field(default_factory=dict)  # by symbol, where known
    # Codes of symbols whose calendar is not ``config.data.calendar``, and what calendars lack.
    exchanges: dict[str, str] = dataclasses.field(default_factory=dict)
    session_changes: dict[str, Changes] = dataclasses.field(default_factory=dict)  # by code
    # By the kind of items that one embeds: a pretrained encoder, and the month until which its own
    # training data reach.
    encoders: dict[str, tuple[str, str]] = dataclasses.field(default_factory=dict)
    member: Bool[np.ndarray, "R"] | None = None  # of the universe in that session; None: all are

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

    def forecast_rows(self, history: int) -> Bool[np.ndarray, "R"]:
        """Which rows may be forecast: those of members with so many returns behind them."""
        # The first bar of a symbol has no return, so that takes one bar more.
        enough = np.arange(len(self.session)) - self.first_row >= history
        return enough if self.member is None else enough & self.member

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

    def market_return(self, channel: str) -> Float[np.ndarray, "R"]:
        """The market's last return at each decision: a channel, or, of an empty name, the mean over
        the stocks that are decided at the same time; NaN where none has one.

        Raises:
          InputError: the channel is not in this set.
        """
        if channel:
            return self.channels[:, self.columns((channel,), "evaluate.market_channel")[0]]
        own = self.channels[:, self.columns(("ret",))[0]]
        times, at = np.unique(self.decision_time, return_inverse=True)
        known, at = np.isfinite(own), at.reshape(-1)
        total = np.bincount(at[known], own[known], len(times))
        count = np.bincount(at[known], minlength=len(times))
        with np.errstate(invalid="ignore"):
            return (total / count)[at]

    def columns(self, names: tuple[str, ...], key: str = "modalities") -> list[int]:
        """Positions of channels in ``channels``.

        Args:
          names: of the channels.
          key: of the config, which names them.

        Raises:
          InputError: a channel is not in this set.
        """
        unknown = [n for n in names if n not in self.channel_names]
        if unknown:
            raise InputError(
                f"config.{key}: channel {unknown[0]!r} is not in the prepared "
                f"data; it has {', '.join(self.channel_names)}"
            )
        return [self.channel_names.index(n) for n in names]


def derived_columns(symbol: np.ndarray, session: np.ndarray) -> dict[str, np.ndarray]:
    """What follows from the order of bars: where symbols begin and end, and sessions' ordinals.

    Args:
      symbol: index of each bar's symbol, sorted.
      session: days since 1970-01-01.
    """
    return {
        "first_row": np.searchsorted(symbol, symbol, side="left"),
        "last_row": np.searchsorted(symbol, symbol, side="right") - 1,
        "ordinal": np.unique(session, return_inverse=True)[1].reshape(-1),
    }


def write(
    folder: Path,
    columns: dict[str, np.ndarray],
    items: dict[str, pd.DataFrame],
    manifest: dict[str, Any],
) -> None:
    """Writes the files of a set into an empty folder, each with its sum.

    Args:
      folder: of the set.
      columns: of bars, and ``text_``'s of texts.
      items: by kind, in their order in the set.
      manifest: the rest.
    """
    for name, column in columns.items():
        contents.save_array(folder / f"{name}.npy", column)
    for kind, table in items.items():
        table.to_parquet(folder / f"{kind}.parquet", index=False)
    kinds = {name: [x.dtype.str, list(x.shape)] for name, x in columns.items()}
    files.write_text(folder / "manifest.json", json.dumps(manifest | {"columns": kinds}, indent=2))
    sums.write(folder)


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a prepared set, whose files are compared with their sums; large columns not.

    Raises:
      InputError: the folder is not a prepared set, or is damaged.
    """
    if not (folder / sums.NAME).exists():
        raise InputError(
            f"{folder}: no prepared set of this version (it lacks {sums.NAME}); run "
            "fusionjax prepare with the same config"
        )
    sums.check(folder)
    return json.loads((folder / "manifest.json").read_text())


def load(folder: Path) -> Market:
    """Opens a prepared set. Columns are mapped: the processes of a node share their memory.

    Raises:
      InputError: the folder is not a prepared set, or a file is damaged.
    """
    manifest = read_manifest(folder)
    columns = {name: _column(folder, name, *kind) for name, kind in manifest["columns"].items()}
    of_text = {n: columns.pop(n) for n in [*columns] if n.startswith("text_")}
    # Derived, but mapped too: of 48 million bars each is 0.4 GB.
    derived = {name: columns.pop(name) for name in ("last_row", "ordinal")}
    opened = {k: _opened(folder, k, home) for k, home in manifest["contents"].items()}
    text = opened.pop("text", None)
    if opened:
        contents.import_tfds()
    market = Market(
        fingerprint=manifest["fingerprint"],
        symbols=tuple(manifest["symbols"]),
        channel_names=tuple(manifest["channels"]),
        **columns | {"session": columns["session"].view("datetime64[D]")},
        texts=None if text is None else _texts(text[1], of_text),
        media={k: _media(*both, *manifest["decoded"][k]) for k, both in opened.items()},
        notes=tuple(manifest["notes"]),
        misaligned=tuple(manifest["misaligned"]),
        late_events=tuple(manifest.get("late_events", ())),  # sets before events lack them
        revised=tuple(manifest["revised"]),
        sectors=manifest["sectors"],
        exchanges=manifest["exchanges"],
        session_changes=manifest["sessions"],
        encoders={"text": (manifest["encoder"], manifest["encoder_data_cutoff"])}
        if "encoder" in manifest
        else {},
    )
    vars(market).update(derived)
    return market


def _column(folder: Path, name: str, dtype: str, shape: list[int]) -> np.ndarray:
    column = contents.load_array(folder / f"{name}.npy")
    if column.shape != tuple(shape) or column.dtype.str != dtype:
        raise InputError(
            f"{folder / name}.npy: holds {column.dtype.str} {column.shape}, the manifest says "
            f"{dtype} {tuple(shape)}; delete {folder} and prepare again"
        )
    return column


def _opened(folder: Path, kind: str, home: str) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The items of a kind, and what texts and media have in common."""
    items = pd.read_parquet(folder / f"{kind}.parquet")
    records = contents.Records(folder.parent / contents.HOME / home, folder)
    author, names = _hash_names(items["source"].to_numpy(str))
    numbers = ("bar", "event_time", "available_time")
    shared = {c: items[c].to_numpy(np.int64) for c in numbers}
    record = records.find(items["key"].to_numpy(contents.KEY))
    return items, shared | {"author": author, "names": names, "record": record, "records": records}


def _texts(shared: dict[str, Any], features: dict[str, np.ndarray]) -> Texts:
    return Texts(**shared | {n.removeprefix("text_"): x for n, x in features.items()})


def _media(items: pd.DataFrame, shared: dict[str, Any], dtype: str, shape: list[int]) -> Media:
    words = ("content", "decoded", "flaw", "path")
    return Media(
        **shared | {name: items[name].to_numpy(str) for name in words},
        length=items["length"].to_numpy(np.int64),
        shape=tuple(shape),
        dtype=np.dtype(dtype),
    )


def _hash_names(names: np.ndarray) -> tuple[Int32[np.ndarray, "K"], dict[int, str]]:
    distinct, at = np.unique(names, return_inverse=True)
    hashes = np.array([zlib.crc32(n.encode()) & 0x7FFFFFFF for n in distinct.tolist()], np.int32)
    return hashes[at], dict(zip(hashes.tolist(), distinct.tolist(), strict=True))
