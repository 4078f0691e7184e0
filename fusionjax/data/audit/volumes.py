"""Audit of volumes: another unit from one day on, or already adjusted for splits."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float64, Int64

from fusionjax.data import adjust
from fusionjax.data.audit.finding import WATCH, Finding, first_move, judged
from fusionjax.data.audit.prices import steps
from fusionjax.data.store import Market

_STEP = np.log(20.0)  # a lasting one is a change of unit
_SIDE, _FEWEST = 20, 10  # sessions on each side of it: looked at, needed
_NOISE = 0.5  # of a log volume's median over a month
_SURE, _EACH = 6.0, 8.0  # log likelihood ratio: to be told, at most of one split


def findings(market: Market) -> Iterator[Finding]:
    """Yields the finding on volumes."""
    traded = market.adjusted[:, 4].astype(np.float64)
    volume = np.where(traded > 0, np.log(np.where(traded > 0, traded, 1)), np.nan)
    step = np.nan_to_num(steps(market, volume))
    row = np.flatnonzero(np.abs(step) > _STEP)
    known, before, after = _sides(market, volume, row)
    shift = np.nanmedian(after, axis=1) - np.nanmedian(before, axis=1)
    low, high = np.where(shift > 0, (before.T, after.T), (after.T, before.T)).transpose(0, 2, 1)
    apart = np.nanquantile(high, 0.1, axis=1) - np.nanquantile(low, 0.9, axis=1)
    unit = (np.abs(shift) > _STEP) & (apart > np.abs(shift) / 2)
    what = f"{unit.sum()} times a volume moves to a level {np.exp(_STEP):.0f} times as high or low"
    what += first_move(market, row[known][unit], shift[unit])
    adjusted_already = _evidence_of_adjustment(market, volume)
    if adjusted_already > _SURE:
        what += "; on days of splits volumes stay where they were: they are adjusted already"
    yield judged(
        "volume units",
        WATCH if unit.any() or adjusted_already > _SURE else None,
        what,
        "give volumes in shares as traded: bring lots to shares, and undo a vendor's adjustment",
    )


def _evidence_of_adjustment(market: Market, volume: Float64[np.ndarray, "R"]) -> float:
    """Log likelihood ratio of volumes adjusted for splits to volumes as traded."""
    close = market.ohlcv[:, 3].astype(float)
    split = steps(market, adjust.log_shares(close, market.adj_close, market.first_row))
    row = np.flatnonzero(split)
    known, before, after = _sides(market, volume, row)
    shift = np.nanmedian(after, axis=1) - np.nanmedian(before, axis=1)
    ratio = shift**2 - (shift + split[row[known]]) ** 2
    return float(np.clip(ratio / (2 * _NOISE**2), -_EACH, _EACH).sum())


def _sides(
    market: Market, values: Float64[np.ndarray, "R"], row: Int64[np.ndarray, "K"]
) -> tuple[Bool[np.ndarray, "K"], Float64[np.ndarray, "J D"], Float64[np.ndarray, "J D"]]:
    """Which rows have enough values on both sides; those before them, and those from them on."""
    sides = []
    for span in (np.arange(-_SIDE, 0), np.arange(_SIDE)):
        at = row[:, None] + span
        first, last = market.first_row[row][:, None], market.last_row[row][:, None]
        inside = (at >= first) & (at <= last)
        sides.append(np.where(inside, values[np.clip(at, first, last)], np.nan))
    known = np.logical_and(*((np.isfinite(side).sum(1) >= _FEWEST) for side in sides))
    return known, sides[0][known], sides[1][known]
