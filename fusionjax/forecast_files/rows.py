"""Where the rows of a file of forecasts belong: each at the bar that it was made on."""

import datetime
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int64, Shaped

from fusionjax.data import calendar, schema
from fusionjax.data.store import Market
from fusionjax.errors import InputError

_NONE = np.datetime64("NaT")
_LONGEST = 10_000  # sessions of a horizon


def refuse(table: pd.DataFrame, bad: np.ndarray, where: object, why: str) -> None:
    """Raises InputError with the first of the bad rows: its number in the file, cells, and why."""
    rows = np.flatnonzero(bad)
    if len(rows):
        cells = ", ".join(f"{k}={v}" for k, v in table.iloc[rows[0]].to_dict().items())
        many = f" ({len(rows):,} such rows)" if len(rows) > 1 else ""
        raise InputError(f"{where}: row {table.index[rows[0]]} ({cells}): {why}{many}")


def placed(
    keys: pd.DataFrame, market: Market, zone: datetime.tzinfo, where: Path
) -> tuple[Int64[np.ndarray, "N"], Int64[np.ndarray, "N"], bool]:
    """The row of the market that each forecast was made on, and its horizon.

    A forecast belongs to the session of its ``decision_time`` (on the exchange's clock) and must be
    made by that session's decision; or to the session that lies ``horizon`` bars of its symbol
    before ``target_date``.

    Args:
      keys: columns of ``columns.KEYS``, by their names there.
      market: the data.
      zone: of symbols without an exchange of their own; times without one are read in it.
      where: the file, for messages.

    Returns:
      Rows, -1 outside the data; horizons, 0 where the target is outside the data; and whether a
      time without a zone was read.

    Raises:
      InputError: naming the row: an unknown symbol, a time that is none, a day without a bar, a
        forecast made after its decision or target, keys that disagree.
    """
    shown = keys[[c for c in ("symbol", "decision_time", "target_date", "horizon") if c in keys]]
    code = _codes(shown, market, where)
    row = target = horizon = None
    unzoned = [False]
    if "decision_time" in keys:
        day, instant, told = _times_of(shown, "decision_time", market.exchange[code], zone, where)
        row, unzoned = _bars(shown, code, day, market, where), [*unzoned, told]
        _require_in_time(shown, row, instant, market, where)
    if "target_date" in keys:
        day, _, told = _times_of(shown, "target_date", market.exchange[code], zone, where)
        target, unzoned = _bars(shown, code, day, market, where), [*unzoned, told]
    if row is not None and target is not None:
        late = (row >= 0) & (target >= 0) & (target <= row)
        refuse(
            shown, late, where, "its target is not after its decision; a forecast is made before"
        )
    if "horizon" in keys:
        horizon = _horizons(shown, where)
    if row is None:
        assert target is not None
        assert horizon is not None
        early = (target < 0) | (target - horizon < market.first_row[np.maximum(target, 0)])
        return np.where(early, -1, target - horizon), horizon, any(unzoned)
    if target is None:
        assert horizon is not None
        return row, horizon, any(unzoned)
    known = (row >= 0) & (target >= 0)
    if horizon is None:
        return row, np.where(known, target - row, 0), any(unzoned)
    wrong = known & (target - row != horizon)
    why = "target_date does not lie horizon sessions of this symbol after the decision"
    refuse(shown, wrong, where, f"{why}; correct one of the three, or drop one")
    return row, horizon, any(unzoned)


def _times_of(
    table: pd.DataFrame,
    column: str,
    exchange: Shaped[np.ndarray, "N"],
    zone: datetime.tzinfo,
    where: Path,
) -> tuple[Shaped[np.ndarray, "N"], Shaped[np.ndarray, "N"], bool]:
    """``times``, on the clock of each row's exchange; ``zone`` where that is empty."""
    day = np.full(len(table), np.datetime64("NaT", "D"))
    instant, unzoned = day.astype("datetime64[s]"), False
    for code in np.unique(exchange).tolist():
        own = exchange == code
        clock = calendar.zone(code) if code else zone
        day[own], instant[own], told = times(table[own], column, clock, where)
        unzoned |= told
    return day, instant, unzoned


def _require_in_time(
    table: pd.DataFrame,
    row: Int64[np.ndarray, "N"],
    instant: Shaped[np.ndarray, "N"],
    market: Market,
    where: Path,
) -> None:
    """Refuses what was made after the decision of its session."""
    decision = market.decision_time[np.maximum(row, 0)].astype("datetime64[s]")
    late = (row >= 0) & (instant > decision)
    last = decision[late][0] if late.any() else ""
    why = f"made after the decision of its session, {last} UTC: it may know more than others knew"
    remedy = "stamp it by then, give the date alone, or set config.data.decision_delay_minutes"
    refuse(table, late, where, f"{why}; {remedy}")


def _horizons(table: pd.DataFrame, where: Path) -> Int64[np.ndarray, "N"]:
    cells = schema.numbers(table.reset_index(drop=True), "horizon", where).to_numpy(float)
    wrong = ~((cells >= 1) & (cells <= _LONGEST) & (cells % 1 == 0))
    refuse(table, wrong, where, "horizon must be a whole number of sessions, at least 1")
    return cells.astype(np.int64)


def times(
    table: pd.DataFrame, column: str, zone: datetime.tzinfo, where: Path
) -> tuple[Shaped[np.ndarray, "N"], Shaped[np.ndarray, "N"], bool]:
    """Days on the exchange's clock, and instants.

    Returns:
      datetime64[D]; datetime64[s] in UTC, NaT of a date alone (or a midnight without a zone);
      whether a time without a zone was read in the exchange's.

    Raises:
      InputError: naming the row that holds neither a date nor an ISO time.
    """
    cells = table[column]
    refuse(table, cells.isna().to_numpy(), where, f"{column} is missing; every forecast has one")
    number = pd.api.types.is_numeric_dtype(cells)
    refuse(table, np.full(len(table), number), where, f"{column} is a number; write 2018-06-29")
    at, distinct = pd.factorize(cells.astype(str))  # a file has few times, and many rows
    text = pd.Series(distinct, dtype=object).str.strip()
    zoned = text.str.contains(r"\d:\d.*(?:Z|UTC|[+-]\d{2}(?::?\d{2})?)$")
    utc = pd.to_datetime(text.where(zoned), format="ISO8601", utc=True, errors="coerce")
    plain = pd.to_datetime(text.mask(zoned), format="ISO8601", errors="coerce")
    bad = (utc.isna() & plain.isna()).to_numpy()
    refuse(table, bad[at], where, f"{column} is neither a date such as 2018-06-29 nor an ISO time")
    dated = (plain == plain.dt.normalize()).to_numpy()
    local = plain.dt.tz_localize(zone, ambiguous=True, nonexistent="shift_forward")
    moment = utc.where(zoned, local.dt.tz_convert("UTC"))
    day = moment.dt.tz_convert(zone).dt.tz_localize(None).where(zoned, plain)
    instant = moment.dt.tz_localize(None).to_numpy().astype("datetime64[s]")
    instant[dated] = _NONE
    unzoned = bool((~zoned.to_numpy() & ~dated).any())
    return day.to_numpy().astype("datetime64[D]")[at], instant[at], unzoned


def _codes(table: pd.DataFrame, market: Market, where: Path) -> Int64[np.ndarray, "N"]:
    """Each row's symbol as its position among the market's."""
    names = schema.labels(table.reset_index(drop=True), "symbol", where)
    position = {name: i for i, name in enumerate(market.symbols)}
    code = names.map(position).fillna(-1).to_numpy(np.int64)
    some = f"{', '.join(market.symbols[:8])}{' …' if len(market.symbols) > 8 else ''}"
    refuse(table, code < 0, where, f"unknown symbol; the data has {some}. Drop such rows")
    return code


def _bars(
    table: pd.DataFrame,
    code: Int64[np.ndarray, "N"],
    day: Shaped[np.ndarray, "N"],
    market: Market,
    where: Path,
) -> Int64[np.ndarray, "N"]:
    """The symbol's bar of each day; -1 before its first and after its last."""
    keys = _key(market.symbol.astype(np.int64), market.session)
    asked = _key(code, day)
    at = np.minimum(np.searchsorted(keys, asked), len(keys) - 1)
    exists: Bool[np.ndarray, "N"] = keys[at] == asked
    first = np.searchsorted(market.symbol, code)
    last = market.last_row[first]
    inside = (day >= market.session[first]) & (day <= market.session[last])
    why = "the data has no bar of this symbol on that day"
    refuse(table, ~exists & inside, where, f"{why}; give its sessions and drop other days")
    return np.where(exists, at, -1)


def _key(symbol: np.ndarray, day: np.ndarray) -> Int64[np.ndarray, "_"]:
    return (symbol << 32) + day.astype("datetime64[D]").astype(np.int64)
