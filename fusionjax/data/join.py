"""The point-in-time join: each item gets the first decision of its symbol that may use it."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pandas as pd
from jaxtyping import Shaped

from fusionjax.data import calendar
from fusionjax.data.sources import Raw

_PRICES = ("open", "high", "low", "close", "adj_close", "volume")


@dataclasses.dataclass(frozen=True)
class Tables:
    """Rows of a set, placed in time. Times are whole seconds.

    Attributes:
      bars: prices, ``session``, ``decision_time``, ``subset`` and the channels.
      documents: texts, with the ``session`` that may first use them and ``tie``, which orders those
        of one bar and time, whatever the order of the raw files.
      media: items by kind, likewise; ``content`` is a hash of the file, empty if there is none.
    """

    bars: pd.DataFrame
    documents: pd.DataFrame
    media: dict[str, pd.DataFrame]


def place(
    raw: Raw, decisions: Shaped[np.ndarray, "R"], content: Callable[[str], str]
) -> tuple[Tables, tuple[str, ...]]:
    """Adds decision times to bars, and to items the first session that may use them.

    Args:
      raw: checked tables.
      decisions: datetime64[s] of each bar's decision, UTC.
      content: ``content(path)``: the hash of a file that an item names.

    Returns:
      The rows of a set, and notes on items that came after their symbol's last decision.
    """
    bars = raw.bars
    session = bars["date"].to_numpy().astype("datetime64[D]").astype(np.int64)
    placed = bars[list(_PRICES)].astype(float)
    placed.insert(0, "symbol", bars["symbol"].astype(str))
    placed = placed.assign(
        session=session, decision_time=decisions.astype(np.int64), subset=raw.subset
    )
    placed = pd.concat([placed, raw.channels.astype(np.float32)], axis=1)
    notes = []

    def joined(items: pd.DataFrame, what: str) -> pd.DataFrame:
        usable, late = _join(items, bars, session, decisions)
        if late:
            notes.append(f"{late} {what} after the last decision of their symbol: not used")
        return usable

    documents = pd.DataFrame()
    if raw.documents is not None:
        documents = _with_text(joined(raw.documents, "texts"), ("symbol", "author", "text"))
    media = {}
    for kind, items in raw.media.items():
        table = joined(items, f"items of {kind}")
        if len(table):
            by_path = {path: content(path) for path in table["path"].unique()}
            table = table.assign(content=table["path"].map(by_path))
            media[kind] = _with_text(table, ("symbol", "source", "path", "content"))
    return Tables(placed, documents, media), tuple(notes)


def _with_text(items: pd.DataFrame, columns: tuple[str, ...]) -> pd.DataFrame:
    """Times and the named text columns; an empty cell becomes an empty text."""
    times = ["session", "event_time", "available_time"]
    placed = items[times].assign(**{c: items[c].fillna("").astype(str) for c in columns})
    # Of whole numbers and texts alone, which every version of pandas hashes alike.
    row_hash = pd.util.hash_pandas_object(placed, index=False)
    repeat = row_hash.groupby(row_hash).cumcount().to_numpy(np.uint64)
    return placed.assign(tie=row_hash.to_numpy(np.uint64) + repeat * np.uint64(0x9E3779B97F4A7C15))


def _join(
    items: pd.DataFrame,
    bars: pd.DataFrame,
    session: np.ndarray,
    decisions: np.ndarray,
) -> tuple[pd.DataFrame, int]:
    """Gives each item the first session of its symbol that decides at or after available_time.

    Returns:
      The items that have one, and the number of those that have none yet.
    """
    event, available = (calendar.seconds(items[c]) for c in ("event_time", "available_time"))
    first, in_time = np.zeros(len(items), np.int64), np.zeros(len(items), bool)
    rows_of = bars.groupby("symbol").indices
    for symbol, rows in items.groupby("symbol").indices.items():
        bar_rows = rows_of[symbol]
        position = calendar.first_session_after(available[rows], decisions[bar_rows])
        in_time[rows] = position < len(bar_rows)
        first[rows] = session[bar_rows[np.minimum(position, len(bar_rows) - 1)]]
    placed = items.assign(
        event_time=event.astype(np.int64),
        available_time=available.astype(np.int64),
        session=first,
    )
    return placed[in_time].reset_index(drop=True), int((~in_time).sum())
