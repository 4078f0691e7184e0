"""A simulated portfolio: ordered after a session's close, filled at the next session's open.

Own lines, as no kept library does this: vectorbt fills at an open but has no sub-portfolios and no
order that fails, skfolio and empyrical start from returns, and none resamples days.
"""

import dataclasses

import numpy as np
from jaxtyping import Float, Int

from fusionjax.scores.intervals import Score

COSTS = (0, 5, 10, 20)  # basis points of what is traded
COST = 10  # of them: those at which trials are compared
_YEAR = 252  # sessions
_CALENDAR_YEAR = 365  # days


@dataclasses.dataclass(frozen=True)
class Prices:
    """What can be traded on the days of a period; prices are adjusted for splits and dividends.

    Attributes:
      open: NaN where a symbol has no bar.
      close: NaN likewise.
      nights: calendar days since the day before; 0 on the first.
      size: standing in size of each symbol, known before the open, -0.5 the smallest to 0.5.
    """

    open: Float[np.ndarray, "days N"]
    close: Float[np.ndarray, "days N"]
    nights: Float[np.ndarray, "days"]
    size: Float[np.ndarray, "days N"]


@dataclasses.dataclass(frozen=True)
class Book:
    """What a portfolio does each day, as shares of the capital at the close before.

    Attributes:
      gross: simple return before all costs.
      turnover: bought and sold.
      lent: short positions times the years for which they were borrowed.
      size: mean standing in size of the positions after the open; shorts count negative.
      unsold: number of symbols that were due for sale at the end and had no bar then.
    """

    gross: Float[np.ndarray, "days"]
    turnover: Float[np.ndarray, "days"]
    lent: Float[np.ndarray, "days"]
    size: Float[np.ndarray, "days"]
    unsold: int = 0

    def net(self, cost: int, borrow: float) -> Float[np.ndarray, "days"]:
        """Returns after ``cost`` basis points on all that is traded, and shorts borrowed at the
        annual rate ``borrow``."""
        return self.gross - self.turnover * cost / 1e4 - self.lent * borrow


def calls(up: Float[np.ndarray, "S"], group: Int[np.ndarray, "S"]) -> Float[np.ndarray, "S"]:
    """Weights of equal amounts in all calls of a group: long where up is likelier, else short."""
    return np.where(up > 0.5, 1.0, -1.0) / np.bincount(group)[group]


def top_bottom(
    up: Float[np.ndarray, "S"], group: Int[np.ndarray, "S"], share: float
) -> Float[np.ndarray, "S"]:
    """Weights of half the capital in a group's likeliest to rise, and half short in the least.

    Equal amounts; ``share`` of the group on each side, at least one. Forecasts that are equal share
    alike what their places would have had, so that a constant forecast has no position.
    """
    weight = np.zeros(len(up))
    for members in np.split(np.argsort(group, kind="stable"), np.cumsum(np.bincount(group))[:-1]):
        count = len(members)
        each = min(max(round(share * count), 1), count // 2)
        if not each:
            continue
        by_place = np.zeros(count)
        by_place[:each], by_place[-each:] = -0.5 / each, 0.5 / each
        ordered = members[np.argsort(up[members], kind="stable")]
        _, tie = np.unique(up[ordered], return_inverse=True)
        weight[ordered] = (np.bincount(tie, by_place) / np.bincount(tie))[tie]
    return weight


def simulate(target: Float[np.ndarray, "days N"], prices: Prices, horizon: int) -> Book:
    """Each day 1/``horizon`` of the capital follows that day's orders, from its open to the open
    ``horizon`` days later (sub-portfolios: Jegadeesh & Titman, 1993).

    Sub-portfolios net: only the change of a symbol's position is traded. A symbol without a bar is
    not bought; one that should be sold is held, at its last price, until its next open, however
    far its price has moved by then. One without any further bar counts at its last price to the
    end, as no return of a delisting is known. All is sold at the last close.

    Args:
      target: orders for each day's open, decided before it, as shares of a sub-portfolio's capital.
      prices: of the period.
      horizon: days for which a position is held.
    """
    days, symbols = target.shape
    capital, mark = 1.0, np.zeros(symbols)
    parts, overdue = np.zeros((horizon, symbols)), np.zeros(symbols)
    held = np.zeros(symbols)  # shares
    out = np.zeros((4, days))
    for d in range(days):
        before = capital
        trades = np.isfinite(prices.open[d])
        opened = np.where(trades, prices.open[d], mark)
        lent = np.maximum(-held * mark, 0).sum() * prices.nights[d] / _CALENDAR_YEAR
        capital += float(held @ (opened - mark))
        if capital <= 0:  # ruined: nothing is left to trade with
            out[0, d] = -1
            break
        overdue = np.where(trades, 0, overdue + parts[d % horizon])
        amount = target[d] * capital / horizon
        parts[d % horizon] = np.divide(amount, opened, out=np.zeros(symbols), where=trades)
        after = parts.sum(0) + overdue
        traded = float(np.abs(after - held) @ opened)
        held, size = after, (after * opened) @ prices.size[d] / capital
        mark = np.where(np.isfinite(prices.close[d]), prices.close[d], opened)
        capital += float(held @ (mark - opened))
        if capital <= 0:
            out[0, d] = -1
            break
        if d == days - 1:
            traded += float(np.abs(held) @ np.where(trades, mark, 0))
        out[:, d] = capital / before - 1, traded / before, lent / before, size
    unsold = int((held[~np.isfinite(prices.close[-1])] != 0).sum()) if days else 0
    return Book(out[0], out[1], out[2], out[3], unsold)


def metrics(book: Book, borrow: float, of: str = "") -> dict[str, Score]:
    """Annualised return, Sharpe ratio, maximum drawdown at each cost; turnover; size exposure.

    The Sharpe ratio is of daily returns times √252, without a riskless rate; 0 without variation.

    Args:
      book: the portfolio.
      borrow: annual rate for shorts.
      of: its name within those of the metrics.
    """
    of = f" of {of}" if of else ""
    scores = {"turnover" + of: _mean_of(book.turnover), "size exposure" + of: _mean_of(book.size)}
    for cost in COSTS:
        net, at = book.net(cost, borrow), f"{of} at {cost} bps"
        scores["annual return" + at] = _mean_of(_YEAR * net)
        scores["Sharpe" + at] = _sharpe(net)
        scores["max drawdown" + at] = _drawdown(net)
    return scores


def beta(returns: Float[np.ndarray, "days"], market: Float[np.ndarray, "days"]) -> Score:
    """The slope of a portfolio's returns on the market's; 0 where the market does not move."""
    x, y, products, squares = map(_mean_of, (market, returns, returns * market, market**2))

    def score(weight: np.ndarray) -> np.ndarray:
        spread = squares(weight) - x(weight) ** 2
        common = products(weight) - x(weight) * y(weight)
        return common / np.where(spread > 1e-16, spread, np.inf)

    return score


def excess(net: Float[np.ndarray, "days"], market: Float[np.ndarray, "days"]) -> Score:
    """The annualised return above the market's."""
    return _mean_of(_YEAR * (net - market))


def equity(net: Float[np.ndarray, "*runs days"]) -> Float[np.ndarray, "*runs days"]:
    """Capital after each day, starting from 1, fully reinvested every day."""
    return np.cumprod(1 + net, axis=-1)


def _mean_of(x: np.ndarray) -> Score:
    return lambda weight: weight @ x / weight.sum(1)


def _sharpe(net: np.ndarray) -> Score:
    """Days weigh in the mean only; see ``metrics``."""
    spread = net.std() if net.std() > 1e-12 else np.inf
    return _mean_of(np.sqrt(_YEAR) * net / spread)


def _drawdown(net: np.ndarray) -> Score:
    """The largest loss from a peak, as a share of it; a day's weight scales its return."""

    def score(weight: np.ndarray) -> np.ndarray:
        path = equity(weight * net)
        peak = np.maximum(np.maximum.accumulate(path, axis=1), 1.0)
        return (1 - path / peak).max(1)

    return score
