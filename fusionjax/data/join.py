"""The point-in-time join: each item meets the first decision of its symbol that may know it."""

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Shaped

from fusionjax.data import calendar
from fusionjax.data.parts import Tables
from fusionjax.data.sources import Raw


def place(
    raw: Raw, root: Path, decisions: Shaped[np.ndarray, "R"]
) -> tuple[Tables, tuple[str, ...]]:
    """Bars with their decisions, and items with the session that may first use them.

    Args:
      raw: checked tables.
      root: of the raw files.
      decisions: datetime64[s] of each bar's decision, UTC.

    Returns:
      The rows of a set, and how many items came after their symbol's last decision.
    """
    bars = raw.bars
    session = bars["date"].to_numpy().astype("datetime64[D]").astype(np.int64)
    placed = bars.drop(columns=[c for c in bars if c not in _BARS]).assign(
        session=session, decision_time=decisions.astype(np.int64), subset=raw.subset
    )
    placed = pd.concat([placed, raw.channels.astype(np.float32)], axis=1)
    notes = []

    def joined(items: pd.DataFrame, what: str) -> pd.DataFrame:
        known, late = _join(items, bars, session, decisions)
        if late:
            notes.append(f"{late} {what} after the last decision of their symbol: not used")
        return known

    documents = pd.DataFrame()
    if raw.documents is not None:
        documents = joined(raw.documents, "texts")[
            ["symbol", "session", "event_time", "available_time", "author", "text"]
        ]
        documents["author"] = documents["author"].astype(str)
    media = {}
    for kind, items in raw.media.items():
        table = joined(items, f"items of {kind}")
        if len(table):
            content = {path: _content(root / path) for path in table["path"].unique()}
            media[kind] = table[
                ["symbol", "session", "event_time", "available_time", "source", "path"]
            ].assign(content=table["path"].map(content))
    return Tables(placed, documents, media), tuple(notes)


_BARS = ("symbol", "open", "high", "low", "close", "adj_close", "volume")


def _content(path: Path) -> str:
    """A hash of a file's bytes; empty where there is no such file."""
    if not path.is_file():
        return ""
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()[:32]


def _join(
    items: pd.DataFrame,
    bars: pd.DataFrame,
    session: np.ndarray,
    decisions: np.ndarray,
) -> tuple[pd.DataFrame, int]:
    """Gives each item the first session of its symbol that decides at or after available_time.

    Returns:
      The items that have one, and how many have none yet.
    """
    # Never usable before its last fraction of a second.
    event, available = (_seconds(items[c]) for c in ("event_time", "available_time"))
    first = np.full(len(items), -1)
    rows_of = bars.groupby("symbol").indices
    for symbol, rows in items.groupby("symbol").indices.items():
        own = rows_of[symbol]
        at = calendar.first_session_after(available[rows], decisions[own])
        in_time = at < len(own)
        first[rows[in_time]] = session[own[at[in_time]]]
    placed = items.assign(
        event_time=event.astype(np.int64),
        available_time=available.astype(np.int64),
        session=first,
    )
    return placed[first >= 0].reset_index(drop=True), int((first < 0).sum())


def _seconds(times: pd.Series) -> Shaped[np.ndarray, "_"]:
    utc = times.dt.ceil("s").dt.tz_convert("UTC").dt.tz_localize(None)
    return utc.to_numpy().astype("datetime64[s]")
