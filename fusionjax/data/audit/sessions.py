"""Audit of sessions, counted on each exchange's calendar: gaps, holes, weekly bars; its closes."""

import dataclasses
from collections.abc import Iterator

import numpy as np
import pandas as pd
from jaxtyping import Int64, Shaped

from fusionjax.config import Config
from fusionjax.data import calendar
from fusionjax.data.audit.finding import STOP, WATCH, Finding, judged, listed
from fusionjax.data.store import Market

_LONG_GAP, _MISSING = 5, 0.01  # missing sessions: in a row, as a share of all
_STEPS, _ALIKE, _NEAR = 10, 0.6, 0.25  # steps that say how far apart bars are: least, share, about
_NAMED = {7: "weekly", 14: "fortnightly", 30: "monthly", 31: "monthly", 91: "quarterly"}


@dataclasses.dataclass(frozen=True)
class _Exchange:
    """An exchange of the market.

    Attributes:
      code: of exchange_calendars.
      rows: of its symbols.
      days: its sessions from the first of these rows to the last.
      closes: of the sessions, in UTC.
      changed: how many of them the folder told.
    """

    code: str
    rows: Int64[np.ndarray, "K"]
    days: Shaped[np.ndarray, "D"]
    closes: Shaped[np.ndarray, "D"]
    changed: int


def findings(market: Market, config: Config, tables: dict[str, pd.DataFrame]) -> Iterator[Finding]:
    """Yields the findings on sessions; adds tables."""
    exchanges = [_exchange(market, config, code) for code in np.unique(market.exchange)]
    position = np.zeros(len(market.session), np.int64)
    for exchange in exchanges:
        position[exchange.rows] = np.searchsorted(exchange.days, market.session[exchange.rows])
    yield _closes(market, exchanges, tables)
    spaced, spacing = _spacing(market, position)
    yield spacing
    yield _holes(market, exchanges, position, spaced)
    yield _gaps(market, position, tables)


def _exchange(market: Market, config: Config, own: str) -> _Exchange:
    code = calendar.name(own or config.data.calendar)
    rows = np.flatnonzero((market.exchange == own)[market.symbol])
    changes = market.session_changes.get(code, {})
    of = market.session[rows]
    sessions = calendar.saturdays(of, code) | changes
    days, closes = calendar.closes(code, of.min(), of.max(), sessions)
    changed = int(np.isin(days, np.array([*changes], "datetime64[D]")).sum())
    return _Exchange(code, rows, days, closes, changed)


def _closes(market: Market, exchanges: list[_Exchange], tables: dict[str, pd.DataFrame]) -> Finding:
    """What is taken for the close of each exchange: decisions are placed by it."""
    rows, said = [], []
    for e in exchanges:
        zone = calendar.zone(e.code)
        local = pd.Series(e.closes).dt.tz_localize("UTC").dt.tz_convert(zone).dt.strftime("%H:%M")
        by_close = pd.Series(e.days.astype(str)).groupby(local).agg(["size", "min", "max"])
        by_close = by_close.sort_values("size", ascending=False)
        rows += [(e.code, str(zone), close, *of) for close, of in by_close.iterrows()]
        others = ", ".join(
            f"{close} ({int(n):,})" for close, n in by_close["size"].iloc[1:4].items()
        )
        said.append(
            f"{e.code} at {by_close.index[0]} {zone}"
            + f" on {by_close['size'].iloc[0]:,} of {len(e.days):,} sessions, else {others}"
            * bool(others)
            + f", {e.changed} by sessions.csv" * bool(e.changed)
        )
    columns = ["exchange", "zone", "local close", "sessions", "first", "last"]
    tables["closes"] = pd.DataFrame(rows, columns=columns).set_index(["exchange", "local close"])
    return judged("closes", None, listed("assumed closes", said, most=5, between="; "), "")


def _spacing(market: Market, position: np.ndarray) -> tuple[np.ndarray, Finding]:
    """Which symbols' bars are not of each session but, regularly, of some: weekly ones, say."""
    same = np.diff(market.symbol) == 0
    frame = pd.DataFrame(
        {
            "symbol": market.symbol[1:],
            "step": np.diff(position),
            "days": np.diff(market.session).astype(float),
        }
    )[same]
    by = frame.groupby("symbol")
    middle = by["step"].transform("median")
    alike = ((frame["step"] - middle).abs() <= _NEAR * middle).groupby(frame["symbol"]).mean()
    wide = (by["step"].median() > 1) & (by.size() >= _STEPS) & (alike >= _ALIKE)
    days = by["days"].median()[wide]
    spaced = np.zeros(len(market.symbols), bool)
    spaced[days.index.to_numpy()] = True
    named = (
        f"{market.symbols[i]} ({_NAMED.get(int(d), f'{d:.0f} days apart')})"
        for i, d in days.items()
    )
    return spaced, judged(
        "spacing",
        STOP if spaced.any() else None,
        listed(f"{spaced.sum()} of {len(spaced)} symbols' bars are not daily", named),
        "give daily bars: labels, channels and decisions count sessions",
    )


def _holes(
    market: Market, exchanges: list[_Exchange], position: np.ndarray, spaced: np.ndarray
) -> Finding:
    """Sessions of an exchange that none of its symbols has, though some live then."""
    runs: list[tuple[int, str]] = []
    total, expected = 0, 0
    for e in exchanges:
        rows = e.rows[~spaced[market.symbol[e.rows]]]
        first = np.unique(market.first_row[rows])
        living = np.zeros(len(e.days) + 2, np.int64)
        np.add.at(living, position[first], 1)
        np.add.at(living, position[market.last_row[first]] + 1, -1)
        missing = living.cumsum()[: len(e.days)] > 0
        expected += missing.sum()
        missing[np.minimum(position[rows], len(e.days) - 1)] = False
        edge = np.flatnonzero(np.diff(np.r_[0, missing.astype(int), 0]))
        for a, b in edge.reshape(-1, 2):
            runs.append((b - a, f"{b - a} of {e.code}, {e.days[a]} to {e.days[b - 1]}"))
        total += int(missing.sum())
    longest = max((n for n, _ in runs), default=0)
    bad = longest > _LONG_GAP or total > max(_LONG_GAP, _MISSING * expected)
    return judged(
        "missing sessions",
        STOP if bad else None,
        listed(
            f"{total:,} of {expected:,} sessions of the calendar are in no symbol's bars",
            (what for _, what in sorted(runs, reverse=True)),
            between="; ",
        ),
        "fetch the missing bars, as a label of one session spans the hole; or list the days as "
        "closed in sessions.csv",
    )


def _gaps(market: Market, position: np.ndarray, tables: dict[str, pd.DataFrame]) -> Finding:
    same_symbol = np.diff(market.symbol) == 0
    missing = np.where(same_symbol, np.maximum(np.diff(position) - 1, 0), 0)
    per_symbol = pd.DataFrame({"symbol": market.symbol[1:], "missing": missing}).groupby("symbol")
    total, longest = (
        getattr(per_symbol["missing"], how)().reindex(range(len(market.symbols)), fill_value=0)
        for how in ("sum", "max")
    )
    rows = np.unique(market.first_row)
    last = market.last_row[rows]
    table = pd.DataFrame(
        {
            "first": market.session[rows].astype(str),
            "last": market.session[last].astype(str),
            "bars": last - rows + 1,
            "missing": total.to_numpy(),
            "longest gap": longest.to_numpy(),
        },
        index=pd.Index(market.symbols, name="symbol"),
    )
    tables["bars by symbol, most missing first"] = table.sort_values("missing", ascending=False)
    share = table["missing"] / (table["missing"] + table["bars"])
    bad = (share > _MISSING) | (table["longest gap"] > _LONG_GAP)
    what = (
        f"{int(bad.sum())} of {len(table)} symbols lack more than {_MISSING:.0%} of their "
        f"exchange's sessions between their first and last bar, or more than {_LONG_GAP} in a row; "
        f"the most is {share.max():.1%}, {share.idxmax()}"
    )
    return judged("gaps", WATCH if bad.any() else None, what, "fetch the missing bars")
