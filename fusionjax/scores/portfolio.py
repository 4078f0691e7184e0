"""A simulated portfolio of equal positions: long where up is likelier, short elsewhere."""

import dataclasses

import numpy as np
from jaxtyping import Float, Int

from fusionjax.scores.intervals import Score

COSTS = (0, 5, 10, 20)  # basis points of what is traded
COST = 10  # of them: those at which trials are compared
_YEAR = 252  # sessions


@dataclasses.dataclass(frozen=True)
class Book:
    """Daily simple returns before costs, and turnover as a share of the capital."""

    gross: Float[np.ndarray, "days"]
    turnover: Float[np.ndarray, "days"]

    def net(self, cost: int) -> Float[np.ndarray, "days"]:
        """Returns after ``cost`` basis points on all that is traded."""
        return self.gross - self.turnover * cost / 1e4


def book(
    up: Float[np.ndarray, "S"],
    growth: Float[np.ndarray, "S"],
    symbol: Int[np.ndarray, "S"],
    day: Int[np.ndarray, "S"],
    days: int,
    horizon: int,
) -> Book:
    """Each day 1/``horizon`` of the capital is put into that day's calls, for ``horizon`` days.

    Long where up is likelier, short elsewhere, in equal amounts over all stocks with a forecast;
    trades are at the decision's close. Positions open on the last day are not sold.

    Args:
      up: probability of up.
      growth: the next session's price ratio less one.
      symbol: of each sample.
      day: of each sample, from 0.
      days: of the period.
      horizon: sessions that a call is for.
    """
    target, asset_return = np.zeros((2, days, int(symbol.max(initial=0)) + 1))
    count = np.bincount(day, minlength=days)
    target[day, symbol] = np.where(up > 0.5, 1.0, -1.0) / count[day]
    asset_return[day, symbol] = growth
    cumulative = np.concatenate([np.zeros((horizon, target.shape[1])), target.cumsum(0)])
    position = (cumulative[horizon:] - cumulative[:-horizon]) / horizon
    traded = np.abs(np.diff(position, axis=0, prepend=0.0)).sum(1)
    return Book((position * asset_return).sum(1), traded)


def metrics(book: Book) -> dict[str, Score]:
    """Annualised return, Sharpe ratio, maximum drawdown and turnover, at each cost.

    The Sharpe ratio is of daily returns times √252, without a riskless rate; 0 without variation.
    """
    scores: dict[str, Score] = {"turnover": _mean_of(book.turnover)}
    for cost in COSTS:
        net, at = book.net(cost), f" at {cost} bps"
        scores["annual return" + at] = _mean_of(_YEAR * net)
        scores["Sharpe" + at] = _sharpe(net)
        scores["max drawdown" + at] = _drawdown(net)
    return scores


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
