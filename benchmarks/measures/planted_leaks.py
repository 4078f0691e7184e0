"""Leaks that a desk meets, each planted into a simulated market, with the finding that names it."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.measures.leak_worlds import World
from fusionjax.data.store import Market

_NOISE = 1  # standard deviations of noise to one of what is known


@dataclasses.dataclass(frozen=True)
class Plant:
    """A leak.

    Attributes:
      into: makes the leaking market of an honest one.
      code: of the finding that must come.
      named: what it must say.
      world: that it is planted into.
    """

    into: Callable[[Market], Market]
    code: str
    named: str
    world: World = World(600, 16, texts=0.5)


def _series(m: Market, values: np.ndarray) -> pd.core.groupby.SeriesGroupBy:
    return pd.Series(values).groupby(m.symbol)


def _returns(m: Market) -> pd.Series:
    return _series(m, np.log(m.adj_close)).diff()


def _ahead(m: Market, values: np.ndarray | pd.Series, steps: int = 1) -> np.ndarray:
    return _series(m, np.asarray(values, float)).shift(-steps).to_numpy()


def _centred(m: Market, values: np.ndarray | pd.Series, width: int) -> np.ndarray:
    by = pd.Series(np.asarray(values, float)).groupby(m.symbol)
    return by.transform(lambda s: s.rolling(width, center=True).mean()).to_numpy()


def _noisy(values: np.ndarray, share: float = _NOISE) -> np.ndarray:
    noise = np.random.default_rng(5).normal(size=len(values))
    return values + share * np.nanstd(values) * noise


def _with(make: Callable[[Market], np.ndarray]) -> Callable[[Market], Market]:
    """The market with one more channel, ``planted``."""

    def into(m: Market) -> Market:
        column = make(m).astype(np.float32)[:, None]
        return dataclasses.replace(
            m,
            channels=np.concatenate([m.channels, column], 1),
            channel_names=(*m.channel_names, "planted"),
        )

    return into


def _channel(make: Callable[[Market], np.ndarray]) -> Plant:
    return Plant(_with(make), "future in planted", "planted")


def _volatility(m: Market) -> np.ndarray:
    return np.log(_returns(m).abs().to_numpy() + 1e-4)


def _quarter(m: Market) -> np.ndarray:
    """The return of the quarter that the day is in, as a figure revised at its end."""
    quarter = m.session.astype("datetime64[M]").astype(int) // 3
    return _returns(m).groupby([m.symbol, quarter]).transform("sum").to_numpy()


def _month(m: Market) -> np.ndarray:
    month = m.session.astype("datetime64[M]").astype(int)
    rose = (_ahead(m, _returns(m)) > 0).astype(float)
    return pd.Series(rose).groupby([m.symbol, month]).transform("mean").to_numpy()


def _week(m: Market) -> np.ndarray:
    week = (m.session.astype("datetime64[D]").astype(int) + 3) // 7
    close = pd.Series(np.log(m.adj_close)).groupby([m.symbol, week])
    return (close.transform("last") - close.transform("first")).to_numpy()


def _filled_back(m: Market) -> np.ndarray:
    """Every tenth day the return of the ten before; between them, the next one filled backward."""
    ten = _returns(m).rolling(10).sum()
    place = np.arange(len(ten)) - m.first_row
    return _series(m, ten.where(place % 10 == 9).to_numpy()).bfill().to_numpy()


def _of_one_symbol(m: Market) -> np.ndarray:
    rng = np.random.default_rng(3)
    values = rng.normal(0, 0.015, len(m.session))
    return np.where(m.symbol == 1, _ahead(m, _returns(m)), values)


def _encoded(m: Market) -> np.ndarray:
    rose = pd.Series(_ahead(m, _returns(m)))
    return rose.groupby(m.symbol).transform("mean").to_numpy()


def _standardised(m: Market) -> np.ndarray:
    by = _series(m, np.log(m.adj_close))
    return ((np.log(m.adj_close) - by.transform("mean")) / by.transform("std")).to_numpy()


def _from_0_to_1(m: Market) -> np.ndarray:
    level = np.log(m.ohlcv[:, 4].astype(float)) + 0.03 * (np.arange(len(m.session)) - m.first_row)
    return (level - level.min()) / (level.max() - level.min())


def _rows(m: Market, symbol: int) -> np.ndarray:
    return np.flatnonzero(m.symbol == symbol)


def _bars(m: Market, at: np.ndarray, source: np.ndarray, factor: np.ndarray | float) -> Market:
    """Bars ``at`` are those of ``source``, times a factor."""
    ohlcv, adjusted = m.ohlcv.copy(), m.adj_close.copy()
    ohlcv[at, :4] = m.ohlcv[source, :4] * np.reshape(factor, (-1, 1))
    ohlcv[at, 4] = m.ohlcv[source, 4] * 1.01 + 1
    adjusted[at] = m.adj_close[source] * factor
    return dataclasses.replace(m, ohlcv=ohlcv, adj_close=adjusted)


def _copied(factor: float, noise: float = 0.0, late: int = 0) -> Callable[[Market], Market]:
    """The second symbol's bars are the first's, perhaps some sessions later."""

    def into(m: Market) -> Market:
        one, two = _rows(m, 0), _rows(m, 1)
        size = min(len(one), len(two))
        one, two = one[: size - late], two[late:size]
        wobble = np.random.default_rng(4).normal(1, noise, len(two)) if noise else 1.0
        return _bars(m, two, one, factor * wobble)

    return into


def _early(m: Market) -> Market:
    """The bars of one symbol are dated a session early."""
    at = _rows(m, 1)
    return _bars(m, at[:-1], at[1:], 1.0)


def _appended(m: Market) -> Market:
    """Of one symbol, sixty bars of its first year come again at its end."""
    at = _rows(m, 1)
    return _bars(m, at[-61:-1], at[30:90], 1.3)


def _texts(m: Market, **changes: Any) -> Market:
    assert m.texts is not None
    return dataclasses.replace(m, texts=dataclasses.replace(m.texts, **changes))


def _day_early(m: Market) -> Market:
    """Every text is stamped a day early."""
    assert m.texts is not None
    bar = np.maximum(m.texts.bar - 1, m.first_row[m.texts.bar])
    wait = m.decision_time[m.texts.bar] - m.texts.available_time
    return _texts(m, bar=bar, available_time=m.decision_time[bar] - wait)


def _minute_early(m: Market) -> Market:
    """News after the decision, of the largest openings that follow, stamped a minute before it."""
    assert m.texts is not None
    opened = _ahead(m, np.log(m.ohlcv[:, 0])) - np.log(m.ohlcv[:, 3])
    large = np.abs(opened) > np.nanquantile(np.abs(opened), 0.9)
    t = m.texts
    keep = np.flatnonzero(~large[t.bar] | (np.arange(len(t.bar)) % 2 == 0))
    extra = np.flatnonzero(large)
    bar = np.concatenate([t.bar[keep], extra])
    order = np.argsort(bar, kind="stable")
    donor = np.concatenate([keep, np.arange(len(extra)) % len(t.bar)])[order]
    is_new = np.concatenate([np.zeros(len(keep), bool), np.ones(len(extra), bool)])[order]
    bar = bar[order]
    available = np.where(is_new, m.decision_time[bar] - 60, t.available_time[donor])
    return _texts(
        m,
        bar=bar,
        available_time=available,
        event_time=available - 60,
        author=t.author[donor],
        embedding=t.embedding[donor],
        lexicon=t.lexicon[donor],
        tokens=t.tokens[donor],
        pieces=t.pieces[donor],
        record=np.arange(len(bar)),
    )


def _says_tomorrow(m: Market) -> Market:
    """One direction of the sentence vectors knows the next return; no score does."""
    assert m.texts is not None
    ahead = np.nan_to_num(_ahead(m, _returns(m)))[m.texts.bar]
    vector = m.texts.embedding.copy()
    noise = np.random.default_rng(6).normal(size=len(ahead))
    vector[:, 3] = ahead / 0.015 + noise
    return _texts(m, embedding=vector)


PLANTS = {
    "tomorrow's return, with as much noise": _channel(lambda m: _noisy(_ahead(m, _returns(m)))),
    "the next open, as a price": _channel(lambda m: _ahead(m, m.ohlcv[:, 0])),
    "the next high, as a price": _channel(lambda m: _ahead(m, m.ohlcv[:, 1])),
    "the opening gap of tomorrow": _channel(
        lambda m: _ahead(m, np.log(m.ohlcv[:, 0])) - np.log(m.ohlcv[:, 3])
    ),
    "a centred mean of 5 returns": _channel(lambda m: _centred(m, _returns(m), 5)),
    "a centred mean of 21 prices": _channel(lambda m: _centred(m, np.log(m.adj_close), 21)),
    "the label of 5 sessions through a rolling mean": _channel(
        lambda m: _ahead(
            m, _series(m, _returns(m).to_numpy()).transform(lambda s: s.rolling(5).mean()), 5
        )
    ),
    "the week's return, known on Monday": _channel(_week),
    "volume of tomorrow": _channel(lambda m: _ahead(m, m.ohlcv[:, 4])),
    "volume of tomorrow, with as much noise": _channel(
        lambda m: _noisy(_ahead(m, np.log(m.ohlcv[:, 4])), 0.5)
    ),
    "the size of tomorrow's return": _channel(lambda m: _ahead(m, _volatility(m))),
    "volatility centred over 11 sessions": _channel(
        lambda m: np.log(_centred(m, _returns(m) ** 2, 11) + 1e-8)
    ),
    "a figure of the quarter, revised at its end": Plant(
        _with(lambda m: _noisy(_quarter(m))), "future in planted", "planted", World(750, 30)
    ),
    "a gap filled backward": _channel(_filled_back),
    "a calendar shifted by one: tomorrow's market": _channel(
        lambda m: _ahead(m, m.channels[:, m.channel_names.index("market_ret")])
    ),
    "the rank of tomorrow's return in its day": _channel(
        lambda m: pd.Series(_ahead(m, _returns(m))).groupby(m.session).rank(pct=True).to_numpy()
    ),
    "tomorrow's return, of one symbol": Plant(
        _with(_of_one_symbol), "future in planted", "for S0001 alone"
    ),
    "each month's share of rises, of the whole month": _channel(_month),
    "each symbol's mean label": Plant(_with(_encoded), "encoded labels", "planted", World(500, 40)),
    "prices standardised by all data": Plant(_with(_standardised), "scaled by all data", "planted"),
    "volume from 0 to 1 by all data": Plant(_with(_from_0_to_1), "scaled by all data", "planted"),
    "another stock times 1.0001": Plant(_copied(1.0001), "near-copies", "S0000 and S0001"),
    "another stock with rounding": Plant(_copied(2.0, 2e-4), "near-copies", "S0000 and S0001"),
    "another stock, a session later": Plant(
        _copied(1.7, late=1), "near-copies", "S0000 and, a session later, S0001"
    ),
    "one symbol's dates a session early": Plant(_early, "shifted calendar", "S0001"),
    "sixty rows of training in dev": Plant(_appended, "repeated spells", "S0001"),
    "survivors only": Plant(lambda m: m, "survivors only", "0 of 60", World(800, 60, death=0.0)),
    "texts a day early": Plant(_day_early, "future in score 1 of the texts", "score 1"),
    "texts a minute early": Plant(
        _minute_early, "future in texts of the last five minutes", "the size of the next open"
    ),
    "vectors that know tomorrow": Plant(
        _says_tomorrow, "future in what texts say of the return", "return"
    ),
}
