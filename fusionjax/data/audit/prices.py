"""Audit of prices that no day explains: splits not adjusted, other units, single bad bars.

What a split, a redenomination, pence for pounds or a bad bar have in common, and news has not: the
price is elsewhere from one close to the next open, and trades there as quietly as before. On 88,000
bars of ACL18 and KDD17 that tells every large move of news from one of units but one.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float64, Int64

from fusionjax.data.audit.finding import STOP, WATCH, Finding, first_move, judged
from fusionjax.data.store import Market

_LEAST = 0.22  # of a log move: five for four
_NOISE = 12.0  # times the stock's median move of the sessions around
_AROUND = 30  # sessions on each side
_QUIET = 2.0  # times the median range of the sessions around
_BUSY = 4.0  # times the median volume of the sessions before
_CLEAR = np.log(5.0)  # a move that stops training: no ordinary day explains it
_SOON = 5  # sessions in which a bad bar is over


@dataclasses.dataclass(frozen=True)
class _Moves:
    """Large moves of the adjusted close, in order of their rows.

    Attributes:
      row: of the bar that moved.
      size: its log return.
      noise: median size of the moves around, of those that are not 0.
      quiet: whether it and the sessions after trade in no wider a range than those around, and it
        no more than those before.
    """

    row: Int64[np.ndarray, "K"]
    size: Float64[np.ndarray, "K"]
    noise: Float64[np.ndarray, "K"]
    quiet: Bool[np.ndarray, "K"]


def findings(market: Market, tables: dict[str, pd.DataFrame]) -> Iterator[Finding]:
    """Yields the findings on adjusted closes; adds tables."""
    log = np.log(market.adj_close)
    moves = _large(market, log)
    away = _away(market, log, moves)
    yield _spikes(market, moves, away, tables)
    yield _jumps(market, log, moves, away, tables)
    yield _adjustments(market)


def _large(market: Market, log: Float64[np.ndarray, "R"]) -> _Moves:
    move = steps(market, log)
    row = np.flatnonzero(np.abs(move) > _LEAST)
    noise = _usual(market, np.abs(move), row, _AROUND)
    row, noise = (x[np.abs(move[row]) > _NOISE * noise] for x in (row, noise))
    spread = np.log(market.ohlcv[:, 1].astype(float) / market.ohlcv[:, 2])
    after = np.minimum(row[:, None] + np.arange(1, _SOON), market.last_row[row][:, None])
    wide = np.maximum(spread[row], np.median(spread[after], axis=1))
    narrow = wide <= _QUIET * _usual(market, spread, row, _AROUND)
    traded = market.adjusted[:, 4].astype(np.float64)
    # A split leaves the value that is traded as it was; pence for pounds leave the shares.
    least = traded[row] * np.exp(np.minimum(move[row], 0))
    busy = least > _BUSY * _usual(market, traded, row, 0)
    return _Moves(row, move[row], noise, narrow & ~(busy & (traded[row - 1] > 0)))


def steps(market: Market, values: Float64[np.ndarray, "R"]) -> Float64[np.ndarray, "R"]:
    """Each value less its symbol's before; 0 at the first."""
    step = np.diff(values, prepend=0.0)
    step[np.unique(market.first_row)] = 0.0
    return step


def _usual(
    market: Market, size: Float64[np.ndarray, "R"], row: Int64[np.ndarray, "K"], after: int
) -> Float64[np.ndarray, "K"]:
    """Median of what is not 0, over the sessions before each row and ``after`` sessions after it;
    0 where nothing is."""
    at = row[:, None] + np.r_[-_AROUND:0, 1 : after + 1]
    first, last = market.first_row[row][:, None], market.last_row[row][:, None]
    values = size[np.clip(at, first, last)]
    known = (at >= first) & (at <= last) & (values > 0)
    values = np.where(known, values, np.nan)
    values[~known.any(1)] = 0.0
    return np.nanmedian(values, axis=1)


def _away(market: Market, log: Float64[np.ndarray, "R"], moves: _Moves) -> Int64[np.ndarray, "K"]:
    """For how many sessions each move lasted before it was undone; 0 where it was not soon."""
    before, last = log[moves.row - 1], market.last_row[moves.row]
    away = np.zeros(len(moves.row), np.int64)
    near = np.maximum(0.1 * np.abs(moves.size), 3 * moves.noise)
    for days in range(_SOON, 0, -1):
        at = moves.row + days
        back = (at <= last) & (np.abs(log[np.minimum(at, last)] - before) < near)
        away[back] = days
    return away


def _spikes(
    market: Market,
    moves: _Moves,
    away: Int64[np.ndarray, "K"],
    tables: dict[str, pd.DataFrame],
) -> Finding:
    """Moves that undo themselves: bad bars."""
    size = np.abs(moves.size)
    # The way back is a move too: of what went before, not of its own.
    returns = np.zeros(len(size), bool)
    for i in np.flatnonzero(away > 0):
        returns |= (moves.row > moves.row[i]) & (moves.row <= moves.row[i] + away[i])
    sure = moves.quiet | ((away == 1) & (size > 2 * _NOISE * moves.noise)) | (size >= _CLEAR)
    spike = (away > 0) & ~returns & sure
    clear = spike & (size >= _CLEAR)
    what = f"{spike.sum()} moves of adjusted closes undo themselves within {_SOON} sessions"
    what += _first(market, moves, clear if clear.any() else spike)
    if spike.any():
        tables["moves that undo themselves"] = _table(market, moves, spike)
    return judged(
        "bad bars",
        STOP if clear.any() else WATCH if spike.any() else None,
        what,
        "correct the bars or drop them: their labels are no returns",
    )


def _jumps(
    market: Market,
    log: Float64[np.ndarray, "R"],
    moves: _Moves,
    away: Int64[np.ndarray, "K"],
    tables: dict[str, pd.DataFrame],
) -> Finding:
    """Moves that stay, of prices that trade as before: a split or unit not adjusted."""
    row, size = moves.row, np.abs(moves.size)
    later = np.minimum(row + _SOON, market.last_row[row])
    earlier = np.maximum(row - 1 - _SOON, market.first_row[row])
    stays = np.abs(log[later] - log[row]) < size / 2
    stays &= np.abs(log[row - 1] - log[earlier]) < size / 2  # nor reverses an earlier one
    jump = stays & (away == 0) & (moves.quiet | (size >= _CLEAR))
    clear = jump & moves.quiet & (size >= _CLEAR)
    what = f"{jump.sum()} adjusted closes move once, and trade on as quietly as before"
    what += _first(market, moves, clear if clear.any() else jump)
    if jump.any():
        tables["moves of a split or a unit"] = _table(market, moves, jump)
    return judged(
        "unit jumps",
        STOP if clear.any() else WATCH if jump.any() else None,
        what,
        "adjust adj_close for splits and spin-offs, or bring the series to one unit",
    )


def _first(market: Market, moves: _Moves, keep: Bool[np.ndarray, "K"]) -> str:
    return first_move(market, moves.row[keep], moves.size[keep])


def _table(market: Market, moves: _Moves, keep: Bool[np.ndarray, "K"]) -> pd.DataFrame:
    rows = moves.row[keep]
    return pd.DataFrame(
        {
            "symbol": np.array(market.symbols)[market.symbol[rows]],
            "session": market.session[rows].astype(str),
            "moved by": np.exp(moves.size[keep]).round(4),
            "times its noise": (np.abs(moves.size) / np.maximum(moves.noise, 1e-9))[keep].round(),
        }
    )


def _adjustments(market: Market) -> Finding:
    """Factors ``adj_close / close`` that leave their level and come back: no split does."""
    factor = np.log(market.adj_close / market.ohlcv[:, 3].astype(float))
    step = steps(market, factor)
    row = np.flatnonzero(np.abs(step) > _LEAST)
    back = np.zeros(len(row), bool)
    for days in range(1, _SOON + 1):
        at = np.minimum(row + days, market.last_row[row])
        back |= np.abs(factor[at] - factor[row - 1]) < 0.1 * np.abs(step[row])
    what = f"{back.sum()} factors adj_close / close move and come back within {_SOON} sessions"
    what += first_move(market, row[back], step[row[back]])
    return judged(
        "adjustments",
        WATCH if back.any() else None,
        what,
        "a split or dividend was entered twice, or on the wrong day of one of the two",
    )
