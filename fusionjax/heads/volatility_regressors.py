"""What volatility is forecast from: estimates of each session's variance, over several spans, and
the returns that came with them."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float64, Int64

from fusionjax.data.samples import log_returns, range_variance
from fusionjax.data.store import Market

Regressors = Callable[[Market, Int64[np.ndarray, "K"]], Float64[np.ndarray, "K F"]]

FLOOR = 1e-8  # of a variance, as that of ``realised_log_volatility``
_SESSIONS = (1, 5, 22)  # a day, a week, a month
_CENTRES = (1, 5, 25, 125)  # mean ages in sessions of exponential weights
_MEMORY = 500  # sessions: less than 2 % of the slowest weights are older
_CHUNK = 4096  # rows whose memory is read at once: 16 MB


def squared_returns(market: Market) -> Float64[np.ndarray, "R"]:
    """Squared log return of each row from its symbol's row before; NaN at the first."""
    return log_returns(market) ** 2


def parkinson(market: Market) -> Float64[np.ndarray, "R"]:
    """Variance of each session by its high and low (Parkinson, 1980)."""
    return range_variance(market.ohlcv)


def garman_klass(market: Market) -> Float64[np.ndarray, "R"]:
    """Variance of each session by its high, low, open and close (Garman & Klass, 1980)."""
    opened, high, low, closed = np.log(market.ohlcv[:, :4].astype(np.float64)).T
    estimate = 0.5 * (high - low) ** 2 - (2 * np.log(2) - 1) * (closed - opened) ** 2
    return np.maximum(estimate, 0)


_MEASURES = {"returns": squared_returns, "Parkinson": parkinson, "Garman-Klass": garman_klass}
_BOTH = ("returns", "Parkinson")


def har(
    market: Market, rows: Int64[np.ndarray, "S"], measures: tuple[str, ...]
) -> Float64[np.ndarray, "S F"]:
    """Log volatility of each row's last day, week and month, by each of ``_MEASURES``' keys."""
    columns = []
    for measure in measures:
        variance = _MEASURES[measure](market)
        columns += [
            _log_volatility(_mean(market, rows, variance, np.ones((n, 1)))) for n in _SESSIONS
        ]
    return np.concatenate(columns, 1)


def spans(market: Market, rows: Int64[np.ndarray, "S"]) -> Float64[np.ndarray, "S F"]:
    """``har`` by returns and by ranges."""
    return har(market, rows, _BOTH)


def multi_scale(market: Market, rows: Int64[np.ndarray, "S"]) -> Float64[np.ndarray, "S F"]:
    """``spans``; the same with exponential weights, of a mean age of a day
    to half a year (HExp: Bollerslev, Hood, Huss & Pedersen, "Risk Everywhere", 2018); and the mean
    return of the last day, week and month in units of the month's volatility, as volatility rises
    after falls (Corsi & Renò, 2012)."""
    ages = np.arange(_MEMORY)[::-1, None]
    weights = (np.array(_CENTRES) / (1.0 + np.array(_CENTRES))) ** ages
    own = spans(market, rows)
    slow = [_log_volatility(_mean(market, rows, _MEASURES[m](market), weights)) for m in _BOTH]
    returns = [_mean(market, rows, log_returns(market), np.ones((n, 1))) for n in _SESSIONS]
    month = np.exp(own[:, -1:])
    return np.concatenate([own, *slow, np.concatenate(returns, 1) / month], 1)


def with_market(
    market: Market,
    rows: Int64[np.ndarray, "S"],
    compute: Regressors,
) -> Float64[np.ndarray, "S M"]:
    """What is computed of rows, beside its means over all stocks that are decided at the same time:
    of another exchange, that day may lie ahead."""
    times, day = np.unique(market.decision_time[rows], return_inverse=True)
    every = np.flatnonzero(np.isin(market.decision_time, times))
    x, own = compute(market, every), np.searchsorted(every, rows)
    of = np.searchsorted(times, market.decision_time[every])
    count = np.bincount(of, minlength=len(times))
    means = np.stack([np.bincount(of, c, len(times)) / count for c in x.T], 1)
    return np.concatenate([x[own], means[day]], 1)


def _mean(
    market: Market,
    rows: Int64[np.ndarray, "S"],
    values: Float64[np.ndarray, "R"],
    weights: Float64[np.ndarray, "T W"],
) -> Float64[np.ndarray, "S W"]:
    """Weighted means of each row's last sessions, oldest first, over those that are known; 0 where
    none is."""
    means = np.zeros((len(rows), weights.shape[1]))
    for start in range(0, len(rows), _CHUNK):
        at, exists = market.look_back(rows[start : start + _CHUNK], len(weights))
        exists &= np.isfinite(values[at])
        total = exists @ weights
        means[start : start + _CHUNK] = np.where(exists, values[at], 0) @ weights
        means[start : start + _CHUNK] /= np.where(total > 0, total, 1)
    return means


def _log_volatility(variance: Float64[np.ndarray, "*S"]) -> Float64[np.ndarray, "*S"]:
    return 0.5 * np.log(variance + FLOOR)
