"""Recognised files into the tables of a market folder, with what was assumed and left out."""

import dataclasses

import numpy as np
import pandas as pd

from fusionjax.data import schema
from fusionjax.errors import InputError
from fusionjax.imports import calendars, crsp, layouts, values
from fusionjax.imports.calendars import Agreement
from fusionjax.imports.columns import Recognised
from fusionjax.imports.texts import texts_of
from fusionjax.imports.values import Order

_PRICES = ["open", "high", "low", "close", "adj_close"]
_CLOSED = 0.02  # share of a symbol's days without a session, from which on it trades elsewhere
_SPARSE = 0.8  # share of the sessions that a symbol has, below which it is named


@dataclasses.dataclass(frozen=True)
class Imported:
    """What was read.

    Attributes:
      bars: columns ``schema.BARS``, then ``sector`` and channels that were named.
      texts: columns ``schema.DOCUMENTS``, or None.
      calendar: the exchange that was guessed.
      rows: of each file, with symbols, first and last day.
      notes: what was assumed and left out, in sentences.
    """

    bars: pd.DataFrame
    texts: pd.DataFrame | None
    calendar: Agreement
    rows: list[tuple[int, int, str, str]]
    notes: list[str]

    @property
    def channels(self) -> tuple[str, ...]:
        """Columns of the user's own."""
        return tuple(c for c in map(str, self.bars) if c not in (*schema.BARS, "sector"))


def _without(bars: pd.DataFrame, bad: pd.Series, what: str, notes: list[str]) -> pd.DataFrame:
    """The bars that are not ``bad``; a note says how many are, why, and the first."""
    if bad.any():
        first = bars[bad].iloc[0]
        notes.append(
            f"left out: {int(bad.sum()):,} rows {what}, the first {first['symbol']} "
            f"{first['date']:%Y-%m-%d} ({first['file']})"
        )
    return bars[~bad].reset_index(drop=True)


def imported(files: list[Recognised], order: Order | None) -> Imported:
    """Reads the cells of recognised files and brings them together.

    Args:
      files: with at least one of bars.
      order: of dates such as 03/04/2024, where the user says it.

    Raises:
      InputError: naming the file, what was expected and what to do.
    """
    notes: list[str] = []
    priced = [file for file in files if file.is_bars]
    bars, spans = _all_bars(priced, order, notes)
    notes.append(priced[0].adjustment)
    bars = _complete(bars, priced[0], notes)
    bars = _once(bars, notes)
    bars, calendar = _in_sessions(bars, notes)
    extra = [c for c in map(str, bars) if c not in (*schema.BARS, "file")]
    sources = ", ".join(dict.fromkeys(str(file.cells.path.parent) for file in priced))
    schema.check_bars(bars, f"bars of {sources}, by symbol and date", calendar.code)
    texts = texts_of([f for f in files if not f.is_bars], {*bars["symbol"]}, calendar.code, order)
    notes += texts.notes
    spans |= texts.spans
    return Imported(
        bars[[*schema.BARS, *sorted(extra)]],
        texts.table,
        calendar,
        [spans[file.cells.path] for file in files],
        notes,
    )


def _all_bars(
    files: list[Recognised], order: Order | None, notes: list[str]
) -> tuple[pd.DataFrame, dict]:
    """The rows of all files, and of each how many, symbols, first and last day."""
    dates = [(f.cells.path, f.cells.rows[f.columns["date"][0]]) for f in files]
    order = values.date_order(dates, order)
    if order is not None:
        notes.append(f"dates such as {'31/01' if order == 'day-first' else '01/31'}/2024: {order}")
    parts, spans, zones = [], {}, set()
    for file in files:
        part, zone = _bars(file, order)
        zones |= {zone} - {None}
        parts.append(part)
        first, last = (f"{day:%Y-%m-%d}" for day in (part["date"].min(), part["date"].max()))
        spans[file.cells.path] = (len(part), part["symbol"].nunique(), first, last)
    if zones:
        notes.append(f"dates are midnights of {', '.join(sorted(map(str, zones)))}")
    return pd.concat(parts, ignore_index=True), spans


def _bars(file: Recognised, order: Order | None) -> tuple[pd.DataFrame, str | None]:
    """A file's rows, with its name; and the zone of its midnights."""
    where, rows = file.cells.path, file.cells.rows
    date, zone = values.days(rows[file.columns["date"][0]], where, file.names["date"][0], order)
    table: dict[str, object] = {"date": date, "file": where.name}
    for ours, (at, *_) in file.columns.items():
        if ours in ("symbol", "sector"):
            cells = rows[at].astype(object)
            text = cells.map(str).str.strip().str.replace(r"^(\d+)\.0$", r"\1", regex=True)
            table[ours] = text.where(cells.notna())
        elif ours == "returns":
            table[ours] = rows[at]
        elif ours != "date":
            table[ours] = values.numbers(rows[at], where, file.names[ours][0])
    if "symbol" not in table:
        stem = where.stem
        told = (match[1] for of in layouts.FILES if (match := of.fullmatch(stem)))
        table["symbol"] = next(told, stem)
    return pd.DataFrame(table, index=rows.index), zone


def _complete(bars: pd.DataFrame, like: Recognised, notes: list[str]) -> pd.DataFrame:
    """Bars with all of ``schema.BARS``, without rows that lack a price."""
    if like.layout is layouts.CRSP:
        bars, told = crsp.mended(bars)
        notes += told
    if "adj_close" not in bars:
        bars["adj_close"] = bars["close"]
    if "volume" not in bars:
        notes.append("no column of volumes: they are written as 0")
        bars["volume"] = 0.0
    missing = bars[_PRICES].isna() | (bars[_PRICES] == 0)
    symbols = {*bars["symbol"]}
    bars = _without(bars, missing.any(axis=1), "without prices", notes)
    if bars.empty:
        raise InputError(f"{like.cells.path}: no row has all prices; is it the right download?")
    if gone := sorted(map(str, symbols - {*bars["symbol"]})):
        notes.append(f"left out: no row with prices is of {', '.join(gone[:5])}")
    unknown = bars["volume"].isna()
    if unknown.any():
        notes.append(f"{int(unknown.sum()):,} volumes are missing: they are written as 0")
    return bars.assign(volume=bars["volume"].fillna(0.0))


def _once(bars: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    """One row a symbol and day, sorted.

    Raises:
      InputError: two rows of a symbol and day differ, or two symbols do in case alone.
    """
    cells = [c for c in map(str, bars) if c != "file"]
    bars = bars.sort_values(["symbol", "date", *cells, "file"], kind="stable", ignore_index=True)
    bars = _without(bars, bars.duplicated(cells), "that repeat another exactly", notes)
    again = bars.duplicated(["symbol", "date"])
    if again.any():
        at = int(np.flatnonzero(again)[0])
        first, second = bars.iloc[at - 1], bars.iloc[at]
        raise InputError(
            f"{first['file']} and {second['file']}: two bars of {first['symbol']} on "
            f"{first['date']:%Y-%m-%d} differ, closing at {first['close']:g} and "
            f"{second['close']:g}; keep one, of daily bars ({int(again.sum())} such days)"
        )
    names = pd.Series(bars["symbol"].unique(), dtype=object)
    twins = names[names.map(str).str.upper().duplicated(keep=False)]
    if len(twins):
        raise InputError(
            f"symbols {twins.iloc[0]!r} and {twins.iloc[1]!r} differ in case alone; keep one"
        )
    return bars.sort_values(["symbol", "date"], ignore_index=True)


def _in_sessions(bars: pd.DataFrame, notes: list[str]) -> tuple[pd.DataFrame, Agreement]:
    """Bars of sessions that have closed, and the exchange.

    Raises:
      InputError: a symbol's days are not those of the exchange whose sessions fit best.
    """
    now = pd.Timestamp.now("UTC").tz_localize(None)
    bars = _without(bars, bars["date"] > now, "of days to come", notes)
    if bars.empty:
        raise InputError("all bars are of days to come; check the order of day and month")
    days = bars["date"].to_numpy().astype("datetime64[D]")
    found = calendars.guessed(np.unique(days))
    notes.append(found.sentence)
    closes = pd.Series(found.closes[np.searchsorted(found.days, days)])
    closed = closes.isna()
    by = pd.DataFrame({"symbol": bars["symbol"], "day": days, "closed": closed}).groupby("symbol")
    elsewhere = by["closed"].mean()
    if (elsewhere > _CLOSED).any():
        symbol = elsewhere.idxmax()
        own = bars["symbol"] == symbol
        raise InputError(
            f"{symbol}: {int(closed[own].sum())} of its {int(own.sum())} days are no sessions of "
            f"{found.code}, which fits the bars best; drop them, or import each exchange alone"
        )
    first, last = (
        of.to_numpy().astype("datetime64[D]") for of in (by["day"].min(), by["day"].max())
    )
    held, span = by["closed"].count() - by["closed"].sum(), found.sessions
    held = held[
        held < _SPARSE * (np.searchsorted(span, last, "right") - np.searchsorted(span, first))
    ]
    if len(held):
        notes.append(
            f"{len(held)} symbols lack a fifth of {found.code}'s sessions or more: "
            f"{', '.join(map(str, held.index[:5]))}"
        )
    bars = bars.assign(closed=closed, is_open=closes > now)
    bars = _without(bars, bars["closed"], f"of days when {found.code} was closed", notes)
    bars = _without(bars, bars["is_open"], "of a session that is not over", notes)
    return bars.drop(columns=["closed", "is_open"]), found
