"""Forecasts of direction as portfolios: whose orders reach which open, at adjusted prices."""

import functools

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int64, Shaped

from fusionjax.config import EvaluateConfig
from fusionjax.data.store import Market
from fusionjax.heads.curves import Curves, dates
from fusionjax.scores import portfolio
from fusionjax.scores.intervals import Score
from fusionjax.scores.portfolio import COST, COSTS, Book, Prices, equity

_STOCKS = 5  # on an average day, to be ranked against each other
_VOLUME_SESSIONS = 20  # whose mean dollar volume stands for size
TOP_BOTTOM, TOP = "top less bottom", "top"


class Trading:
    """Portfolios of the same samples.

    A decision after a session's close is an order for the open of the next session that any stock
    of its exchange has; if the stock has no bar on it, the order fails and its share stays cash.

    Args:
      market: the data.
      row: of the samples.
      target_day: of the samples; the days that returns are of.
      horizon: sessions for which a position is held.
    """

    def __init__(
        self,
        market: Market,
        row: Int64[np.ndarray, "S"],
        target_day: Shaped[np.ndarray, "S"],
        horizon: int,
    ) -> None:
        # From a file days come in another unit.
        self.days, self._horizon = np.unique(target_day.astype("datetime64[D]")), horizon
        day = _next_session(market, row)
        self._symbols, self._symbol = np.unique(market.symbol[row], return_inverse=True)
        self._day = np.minimum(np.searchsorted(self.days, day), max(len(self.days) - 1, 0))
        self._ordered = self.days[self._day] == day  # never of NaT
        self._group = np.unique(market.session[row], return_inverse=True)[1].reshape(-1)
        self._market = market

    @property
    def ranked(self) -> bool:
        """Whether there are enough stocks to rank."""
        return len(self._group) >= _STOCKS * (int(self._group.max(initial=0)) + 1)

    def calls(self, up: Float[np.ndarray, "S"], keep: Bool[np.ndarray, "S"] | None = None) -> Book:
        """Equal amounts in all calls, long or short."""
        at = self._at(keep)
        return self._simulated(at, portfolio.calls(up[at], self._group[at]))

    def market(self, keep: Bool[np.ndarray, "S"] | None = None) -> Book:
        """Equal amounts in all stocks with a forecast, long."""
        return self.calls(np.ones(len(self._group)), keep)

    def top_bottom(
        self, up: Float[np.ndarray, "S"], share: float, keep: Bool[np.ndarray, "S"] | None = None
    ) -> tuple[Book, Book]:
        """Top less bottom by forecast, and the top alone with all capital."""
        at = self._at(keep)
        weight = portfolio.top_bottom(up[at], self._group[at], share)
        return self._simulated(at, weight), self._simulated(at, 2 * np.maximum(weight, 0))

    def metrics(
        self,
        up: Float[np.ndarray, "S"],
        keep: Bool[np.ndarray, "S"],
        share: float,
        borrow: float,
    ) -> dict[str, Score]:
        """Of all calls and, where stocks can be ranked, of top less bottom and the top; against
        all stocks alike."""
        book, market = self.calls(up, keep), self.market(keep)
        scores = portfolio.metrics(book, borrow)
        scores["beta"] = portfolio.beta(book.gross, market.gross)
        if not self.ranked:
            return scores
        both, top = self.top_bottom(up, share, keep)
        scores |= portfolio.metrics(both, borrow, TOP_BOTTOM)
        scores[f"beta of {TOP_BOTTOM}"] = portfolio.beta(both.gross, market.gross)
        for cost in COSTS:
            excess = portfolio.excess(top.net(cost, borrow), market.net(cost, borrow))
            scores[f"annual return of {TOP} over market at {cost} bps"] = excess
        return scores

    def _at(self, keep: np.ndarray | None) -> np.ndarray:
        return np.arange(len(self._group)) if keep is None else np.flatnonzero(keep)

    def _simulated(self, at: np.ndarray, weight: np.ndarray) -> Book:
        target = np.zeros((len(self.days), len(self._symbols)))
        sent = self._ordered[at]
        target[self._day[at][sent], self._symbol[at][sent]] = weight[sent]
        return portfolio.simulate(target, self._prices, self._horizon)

    @functools.cached_property
    def _prices(self) -> Prices:
        """Of the days; OHLC are as traded, so the open is adjusted as its session's close is."""
        m = self._market
        shape = len(self.days), len(self._symbols)
        inside = np.isin(m.session, self.days) & np.isin(m.symbol, self._symbols)
        rows = np.flatnonzero(inside)
        at = (
            np.searchsorted(self.days, m.session[rows]),
            np.searchsorted(self._symbols, m.symbol[rows]),
        )
        opened, closed, volume = np.full((3, *shape), np.nan)
        adjusted = m.adj_close[rows]
        ohlcv = m.ohlcv[rows].astype(np.float64)
        opened[at] = ohlcv[:, 0] * adjusted / ohlcv[:, 3]
        closed[at] = adjusted
        volume[at] = self._dollar_volume(rows)
        nights = np.diff(self.days, prepend=self.days[:1]).astype(float)
        return Prices(opened, closed, nights, _standing(volume))

    def _dollar_volume(self, rows: np.ndarray) -> np.ndarray:
        """Mean value traded in the sessions before each row, in place of a market capitalisation,
        which the data do not have; NaN at a symbol's first row."""
        m = self._market
        before = np.maximum(rows - 1, m.first_row[rows])
        at, exists = m.look_back(before, _VOLUME_SESSIONS)
        traded = m.ohlcv[at, 3].astype(np.float64) * m.ohlcv[at, 4]
        mean = np.where(exists, traded, 0).sum(1) / exists.sum(1)
        return np.where(rows > m.first_row[rows], mean, np.nan)


def _next_session(market: Market, row: Int64[np.ndarray, "S"]) -> Shaped[np.ndarray, "S"]:
    """The session after each row's that a stock of its exchange has; NaT after the last."""
    day = np.full(len(row), np.datetime64("NaT", "D"))
    for code in np.unique(market.exchange):
        of = (market.exchange == code)[market.symbol]
        sessions, mine = np.unique(market.session[of]), of[row]
        following = np.searchsorted(sessions, market.session[row[mine]]) + 1
        day[mine] = np.append(sessions, np.datetime64("NaT"))[following]
    return day


def _standing(x: Float[np.ndarray, "days N"]) -> Float[np.ndarray, "days N"]:
    """Each day's ranks from -0.5 to 0.5; 0 where unknown."""
    known = np.isfinite(x)
    rank = np.argsort(np.argsort(np.where(known, x, np.inf), axis=1), axis=1)
    spread = np.maximum(known.sum(1, keepdims=True) - 1, 1)
    alone = known.sum(1, keepdims=True) == 1
    return np.where(known & ~alone, rank / spread - 0.5, 0.0)


def capital(rows: pd.DataFrame, market: Market, settings: EvaluateConfig, horizon: int) -> Curves:
    """Capital over time of the calls in stored forecasts, beside that of all stocks alike."""
    days, borrow = rows["target_day"].to_numpy(), settings.borrow_rate
    up = rows["up"].to_numpy(float)
    trading = Trading(market, rows["row"].to_numpy(), days, horizon)
    books = {f"all calls, {c} bps": (trading.calls(up), c) for c in COSTS}
    books[f"all stocks alike, {COST} bps"] = trading.market(), COST
    if trading.ranked:
        both, _ = trading.top_bottom(up, settings.portfolio_share)
        books[f"{TOP_BOTTOM}, {COST} bps"] = both, COST
    when = dates(trading.days)
    lines = {k: (when, equity(book.net(cost, borrow))) for k, (book, cost) in books.items()}
    return Curves("Capital", "", lines, y="capital, from 1")
