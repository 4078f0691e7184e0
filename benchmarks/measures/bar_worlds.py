"""Simulated bars as traded: clean ones as real as they get, and faults that are planted in them."""

from collections.abc import Callable

import numpy as np
import pandas as pd

from fusionjax.data import adjust, calendar
from fusionjax.data.features import price_channels
from fusionjax.data.store import Market

EXCHANGE, FIRST, LAST = "XNYS", "2015-01-02", "2018-12-31"
_SYMBOLS = 20
_DEAL = 60  # sessions from the news that a company is bought to its last
_PRICES = ["open", "high", "low", "close"]
Plant = Callable[[pd.DataFrame], pd.DataFrame]


def clean(seed: int, symbols: int = _SYMBOLS) -> pd.DataFrame:
    """Bars with nothing wrong.

    Returns cluster (GARCH) with t tails; four reports a year, some of them surprises; crashes and
    takeovers, a quarter or more of the price overnight, on many times the volume, and quiet after
    a takeover, which ends the symbol; half days; listings and delistings; quarterly and special
    dividends, splits and reverse splits, for which ``adj_close`` is adjusted and the rest is not.
    """
    rng = np.random.default_rng(seed)
    days, _ = calendar.closes(EXCHANGE, np.datetime64(FIRST), np.datetime64(LAST), {})
    half = np.isin(days.astype(str), ["2015-11-27", "2015-12-24", "2016-11-25", "2017-11-24"])
    common = _garch(rng, len(days))[0]
    frames = [_stock(rng, f"S{i:02d}", days, half, common) for i in range(symbols)]
    return pd.concat(frames, ignore_index=True)


def _garch(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns of about one per cent a day, and the day's volatility."""
    shock = rng.standard_t(4, count) / np.sqrt(2)
    ret, scale, variance = np.zeros(count), np.zeros(count), 1e-4
    for t in range(count):
        scale[t] = np.sqrt(variance)
        ret[t] = scale[t] * shock[t]
        variance = 2e-6 + 0.08 * ret[t] ** 2 + 0.9 * variance
    return ret, scale


def _stock(
    rng: np.random.Generator, name: str, days: np.ndarray, half: np.ndarray, common: np.ndarray
) -> pd.DataFrame:
    count = len(days)
    own, scale = _garch(rng, count)
    news = np.where(np.arange(count) % 63 == rng.integers(63), rng.normal(0, 0.04, count), 0.0)
    rare = rng.random(count) < 0.05 / 252
    news = np.where(rare, rng.choice([-1, 1], count) * rng.uniform(0.25, 0.7, count), news)
    stirred = np.abs(news) / scale  # how far the day is from ordinary
    bought = np.maximum.accumulate(rare & (news > 0))
    calm = np.where(bought & ~rare, 0.2, 1.0)
    inside = calm * (0.7 * own + 0.6 * common)
    overnight = news + 0.6 * calm * scale * rng.normal(size=count)
    close = rng.uniform(15, 150) * np.exp((inside + overnight).cumsum())
    opened = close * np.exp(-inside)
    wick = np.abs(rng.normal(0, 0.5, (2, count))) * scale * calm
    wick *= (1 + 0.3 * np.minimum(stirred, 10)) * np.where(half, 0.6, 1.0)
    level = np.exp(rng.normal(13, 1.5) + _ar(rng, count, 0.8, 0.4))
    volume = level * (1 + np.minimum(stirred, 25)) * np.where(half, 0.5, 1.0)
    frame = pd.DataFrame(
        {
            "symbol": name,
            "date": days.astype("datetime64[s]"),
            "open": opened,
            "high": np.maximum(opened, close) * np.exp(wick[0]),
            "low": np.minimum(opened, close) * np.exp(-wick[1]),
            "close": close,
            "adj_close": close,
            "volume": volume,
        }
    )
    frame = _as_traded(rng, frame)
    begin, end = (rng.integers(0, count // 2, 2) * (rng.random(2) < 0.3)).tolist()
    end = max(end, int(bought.sum()) - _DEAL) if bought[begin:].any() else end
    frame = frame.iloc[begin : count - end]
    return frame.round(dict.fromkeys([*_PRICES, "adj_close"], 4)).round({"volume": 0})


def _as_traded(rng: np.random.Generator, frame: pd.DataFrame) -> pd.DataFrame:
    """The same stock with splits and dividends that ``adj_close`` knows."""
    count = len(frame)
    factor, shares = np.ones(count), np.ones(count)
    for paid in range(int(rng.integers(20, 60)), count, 63):
        factor[:paid] /= 1 - rng.uniform(0.003, 0.01)
    if rng.random() < 0.3:
        factor[: rng.integers(count)] /= 1 - rng.uniform(0.05, 0.4)
    if rng.random() < 0.5:
        ratio, split = rng.choice([1.5, 2, 3, 7, 10, 1 / 8, 1 / 15]), rng.integers(count)
        factor[:split] *= ratio
        shares[:split] *= ratio
    frame[_PRICES] = frame[_PRICES].mul(factor, axis=0)
    return frame.assign(volume=frame["volume"] / shares)


def _ar(rng: np.random.Generator, count: int, keep: float, std: float) -> np.ndarray:
    noise = rng.normal(0, std, count)
    noise[1:] *= np.sqrt(1 - keep**2)
    for t in range(1, count):
        noise[t] += keep * noise[t - 1]
    return noise


def split_forgotten(ratio: int | float, symbol: str = "S03", at: int = 200) -> Plant:
    """All prices and the volume are as traded, ``adj_close`` too: one share became ``ratio``."""

    def plant(bars: pd.DataFrame) -> pd.DataFrame:
        before, bars = _rows(bars, symbol, slice(None, at)), bars.copy()
        bars.loc[before, [*_PRICES, "adj_close"]] *= ratio
        bars.loc[before, "volume"] /= ratio
        return bars

    return plant


def prices_times(
    factor: int | float,
    rows: slice,
    columns: tuple[str, ...] = (*_PRICES, "adj_close"),
    symbol: str = "S03",
) -> Plant:
    """Some bars of a symbol, or columns of them, in another unit."""

    def plant(bars: pd.DataFrame) -> pd.DataFrame:
        bars = bars.astype({"volume": float})
        bars.loc[_rows(bars, symbol, rows), list(columns)] *= factor
        return bars

    return plant


def without(days: Callable[[pd.Series], pd.Series], symbol: str = "") -> Plant:
    """Without the bars of some days, of one symbol or of all."""
    return lambda bars: bars[
        ~(days(bars["date"]) & (bars["symbol"].eq(symbol) | (symbol == "")))
    ].reset_index(drop=True)


def _rows(bars: pd.DataFrame, symbol: str, rows: slice) -> pd.Index:
    return bars.index[bars["symbol"] == symbol][rows]


def market(bars: pd.DataFrame) -> Market:
    """The market that these bars make, without texts and media."""
    symbols, symbol = np.unique(bars["symbol"].to_numpy(str), return_inverse=True)
    channels = price_channels(bars)
    session = bars["date"].to_numpy().astype("datetime64[D]")
    return Market(
        "0" * 64,
        tuple(symbols.tolist()),
        tuple(map(str, channels)),
        symbol.astype(np.int32),
        session,
        calendar.decision_times(session, EXCHANGE, 30).astype(np.int64),
        bars[[*_PRICES, "volume"]].to_numpy(np.float32),
        bars["adj_close"].to_numpy(float),
        np.ones(len(bars), bool),
        channels.to_numpy(np.float32),
        adjust.first_rows(bars["symbol"]),
        None,
    )
