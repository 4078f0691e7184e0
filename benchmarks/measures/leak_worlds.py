"""Simulated markets that hold no leak, and leaks planted into them."""

import dataclasses

import numpy as np
import pandas as pd

from fusionjax.data.features import market_channels, price_channels
from fusionjax.data.store import Market, Texts

_YEAR = 252
_EMBEDDING = 16
HONEST = ("level", "implied", "fundamental", "beta", "weekday")


@dataclasses.dataclass(frozen=True)
class World:
    """Size and kind of a simulated market.

    Attributes:
      days: sessions.
      stocks: symbols at the first session.
      tail: degrees of freedom of returns.
      common: share of a return's variance that all stocks share.
      death: share of the symbols that end within a year.
      texts: a session and stock, on average.
      jump: factor on the volatility of the last tenth of the days.
    """

    days: int
    stocks: int
    tail: float = 4.0
    common: float = 0.3
    death: float = 0.05
    texts: float = 0.0
    jump: float = 1.0


@dataclasses.dataclass(frozen=True)
class Simulated:
    """A market, and what nobody in it knows exactly.

    Attributes:
      market: with prices' channels and the honest ones.
      volatility: of each row's following return.
    """

    market: Market
    volatility: np.ndarray


@dataclasses.dataclass(frozen=True)
class _Paths:
    """Of all stocks by day, [T, N]; ``scale`` is the day's volatility."""

    ret: np.ndarray
    scale: np.ndarray
    shock: np.ndarray
    beta: np.ndarray


def market(world: World, seed: int) -> Market:
    """The market of ``simulate``."""
    return simulate(world, seed).market


def simulate(world: World, seed: int) -> Simulated:
    """Bars with clustered, heavy-tailed returns, prices' channels, and honest ones beside them.

    The honest ones: ``level`` the log price; ``implied`` the common log volatility of the day with
    noise, as an index of options would have it; ``fundamental`` the return of the quarter before
    last with noise; ``beta`` of the stock, constant; ``weekday``.
    """
    rng = np.random.default_rng([seed, world.days, world.stocks])
    paths = _paths(world, rng)
    session = np.busday_offset("2012-01-02", np.arange(world.days), roll="forward")
    ends = np.full(world.stocks, world.days)
    if world.death:
        ends = np.maximum(rng.geometric(world.death / _YEAR, world.stocks), min(60, world.days))
        ends[0] = world.days  # somebody trades to the end
    alive = (np.arange(world.days)[:, None] < ends[None, :]).T.ravel()
    frame = _bars(paths, session, rng)[alive].reset_index(drop=True)
    made = _market(frame, _honest(paths, frame, session, alive, rng))
    if world.texts:
        made = dataclasses.replace(made, texts=_texts(made, rng, world.texts))
    following = np.concatenate([paths.scale[1:], paths.scale[-1:]])
    return Simulated(made, following.T.ravel()[alive])


def _paths(world: World, rng: np.random.Generator) -> _Paths:
    days, stocks = world.days, world.stocks
    scale = np.exp(_ar(rng, days, 1, 0.98, 0.35) + _ar(rng, days, stocks, 0.95, 0.25))
    scale[days - days // 10 :] *= world.jump
    heavy = rng.standard_t(world.tail, (days, stocks + 1)) / np.sqrt(world.tail / (world.tail - 2))
    beta = rng.uniform(0.5, 1.5, stocks)
    mixed = np.sqrt(world.common) * beta * heavy[:, :1]
    mixed += np.sqrt(1 - world.common) * heavy[:, 1:]
    scale = 0.01 * rng.uniform(0.7, 1.6, stocks) * scale
    return _Paths(0.0003 + scale * mixed, scale, heavy[:, 1:], beta)


def _bars(paths: _Paths, session: np.ndarray, rng: np.random.Generator) -> pd.DataFrame:
    """One row a symbol and session, by symbol."""
    ret, scale = paths.ret, paths.scale
    days, stocks = ret.shape
    close = 50 * np.exp(rng.normal(0, 0.7, stocks) + ret.cumsum(0))
    overnight = 0.3 * ret + 0.3 * scale * rng.normal(size=ret.shape)
    opened = close * np.exp(overnight - ret)
    spread = np.abs(rng.normal(0, 0.4, (2, *ret.shape))) * scale
    volume = 13 + _ar(rng, days, stocks, 0.8, 0.4) + 0.25 * np.abs(paths.shock)
    volume += 0.1 * (_weekday(session) == 4)[:, None]
    columns = {
        "open": opened,
        "high": np.maximum(opened, close) * np.exp(spread[0]),
        "low": np.minimum(opened, close) * np.exp(-spread[1]),
        "close": close,
        "adj_close": close,
        "volume": np.exp(volume).round(),
    }
    return pd.DataFrame(
        {
            "symbol": np.repeat([f"S{i:04d}" for i in range(stocks)], days),
            "date": np.tile(session, stocks),
            **{name: x.T.ravel() for name, x in columns.items()},
        }
    )


def _weekday(session: np.ndarray) -> np.ndarray:
    """0 on Mondays."""
    return (session.astype("datetime64[D]").astype(int) + 3) % 7


def _honest(
    paths: _Paths,
    frame: pd.DataFrame,
    session: np.ndarray,
    alive: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """The channels ``HONEST`` of each row of the bars."""
    days, stocks = paths.ret.shape
    implied = np.log(paths.scale.mean(1)) + rng.normal(0, 0.05, days)
    quarter = np.arange(days) // 63
    past = np.array([paths.ret[quarter == q - 2].sum(0) for q in range(quarter[-1] + 1)])
    by_day = (
        np.tile(implied[:, None], stocks),
        (past + rng.normal(0, 0.1, past.shape))[quarter],
        np.tile(paths.beta, (days, 1)),
        np.tile(_weekday(session)[:, None], stocks).astype(float),
    )
    level = np.log(frame["close"].to_numpy())
    return np.column_stack([level, *(x.T.ravel()[alive] for x in by_day)])


def _ar(rng: np.random.Generator, days: int, count: int, keep: float, std: float) -> np.ndarray:
    """Autoregressions of order 1, in their stationary state."""
    noise = rng.normal(0, std, (days, count))
    noise[1:] *= np.sqrt(1 - keep**2)
    for t in range(1, days):
        noise[t] += keep * noise[t - 1]
    return noise


def _market(frame: pd.DataFrame, honest: np.ndarray) -> Market:
    own = price_channels(frame)
    everyone = market_channels(frame, own["ret"], pd.Series("all", frame.index))
    channels = np.column_stack([own, everyone, honest]).astype(np.float32)
    symbols, symbol = np.unique(frame["symbol"].to_numpy().astype(str), return_inverse=True)
    session = frame["date"].to_numpy().astype("datetime64[D]")
    return Market(
        "0" * 64,
        tuple(symbols.tolist()),
        (*own.columns, *everyone.columns, *HONEST),
        symbol.astype(np.int32),
        session,
        session.astype("datetime64[s]").astype(np.int64) + 21 * 3600 + 1800,
        frame[["open", "high", "low", "close", "volume"]].to_numpy(np.float32),
        frame["adj_close"].to_numpy(np.float64),
        np.ones(len(frame), bool),
        channels,
        np.searchsorted(symbol, symbol, side="left"),
        None,
    )


def _texts(m: Market, rng: np.random.Generator, rate: float) -> Texts:
    """Texts of the day, whose tone knows a part of the day's return."""
    count = rng.poisson(rate, len(m.session))
    bar = np.repeat(np.arange(len(m.session)), count)
    ret = np.nan_to_num(m.channels[:, 0].astype(float))[bar]
    tone = ret / 0.015 + rng.normal(0, 2, len(bar))
    available = m.decision_time[bar] - rng.integers(0, 20 * 3600, len(bar))
    embedding = rng.normal(size=(len(bar), _EMBEDDING))
    embedding[:, 0] = tone
    return Texts(
        bar,
        available - 60,
        available,
        rng.integers(0, 500, len(bar)).astype(np.int32),
        {i: f"author {i}" for i in range(500)},
        embedding.astype(np.float16),
        np.stack([tone, rng.normal(size=len(bar)), rng.normal(size=len(bar))], 1),
        np.ones((len(bar), 4), np.uint16),
        np.tile(np.array([4, 0], np.int32), (len(bar), 1)),
        np.arange(len(bar)),
        None,
    )
