"""Scores that no honest forecast reaches: how far they lie beyond a bound, within their error.

Each function answers with the figure if the bound is exceeded at the level of 0.1 % (one-sided),
and with None otherwise. Days within a horizon of each other say the same, so that a period has as
many answers as its days over the horizon. docs/evaluation.md has the bounds and what was measured.
"""

import numpy as np
from jaxtyping import Bool, Float, Int

from fusionjax.scores import metrics

IC = 0.10  # a bound on correlations with returns, at five sessions or fewer
_LEVEL = 0.001
_BLOCK = 5  # days whose losses resemble each other, at least
_FEWEST = 3  # blocks, for a spread
_STOCKS = 5  # a day, for a correlation across them


def widened(bound: float, horizon: int) -> float:
    """A bound at five sessions or fewer for another horizon: what moves slowly is foreseen better
    over a longer one, at most by the root of its length."""
    return min(bound * float(np.sqrt(max(horizon, 5) / 5)), 0.35)


def gain(
    loss: Float[np.ndarray, "S"],
    reference: Float[np.ndarray, "S"],
    day: Int[np.ndarray, "S"],
    horizon: int,
    bound: float,
) -> float | None:
    """The share by which the loss is below the reference's, if it exceeds the bound.

    Judged by the mean log ratio of the two losses over blocks of days: no single day decides.
    """
    block = day // max(horizon, _BLOCK)
    ours, theirs = (np.bincount(block, x) for x in (loss, reference))
    used = theirs > 0
    if used.sum() < _FEWEST:
        return None
    tiny = 1e-9 * theirs[used].mean()
    ratio = np.log((ours[used] + tiny) / (theirs[used] + tiny))
    share = 1 - ours.sum() / theirs.sum()
    if share <= bound or not _exceeds(-ratio, -np.log(1 - bound)):
        return None
    return float(share)


def hits(
    hit: Bool[np.ndarray, "S"], base: float, day: Int[np.ndarray, "S"], horizon: int, bound: float
) -> float | None:
    """The accuracy, if it exceeds that of the better constant call, ``base``, by the bound."""
    from scipy.special import betainc

    if not len(hit):
        return None
    accuracy, limit = float(hit.mean()), min(base + bound, 0.99)
    if accuracy <= limit:
        return None
    count = len(np.unique(day)) / horizon
    by_chance = betainc(accuracy * count, (1 - accuracy) * count + 1, limit)
    sure = by_chance < _LEVEL and _exceeds(_means(hit, day // horizon), limit)
    return accuracy if sure else None


def correlation(
    signal: Float[np.ndarray, "S"],
    outcome: Float[np.ndarray, "S"],
    day: Int[np.ndarray, "S"],
    horizon: int,
    bound: float,
) -> float | None:
    """The correlation of a signal with what came, if its size exceeds the bound.

    Across the stocks of a day, where there are five, averaged over days; or of the days' means.
    """
    days = int(day.max(initial=-1)) + 1
    count = np.bincount(day)
    independent = (count > 0).sum() / horizon
    if days and np.median(count[count > 0]) >= _STOCKS:
        daily = metrics.daily_correlation(signal, outcome, day, days)
        known = np.flatnonzero(np.isfinite(daily))
        each = _means(daily[known], known // horizon)
        if _exceeds(np.sign(each.mean()) * each, bound):
            return float(np.nanmean(daily))
    if independent <= 3:
        return None
    a, b = (_means(v, day) for v in (signal, outcome))
    if min(a.std(), b.std()) < 1e-12:
        return None
    r = float(np.corrcoef(_ranks(a), _ranks(b))[0, 1])
    error = _quantile() / np.sqrt(independent - 3)  # of Fisher's z
    sure = np.arctanh(min(abs(r), 0.999999)) - error > np.arctanh(bound)
    return r if sure else None


def _means(x: np.ndarray, group: Int[np.ndarray, "S"]) -> Float[np.ndarray, "groups"]:
    """The mean of each group that has values."""
    total, count = np.bincount(group, x), np.bincount(group)
    return total[count > 0] / count[count > 0]


def _exceeds(each: Float[np.ndarray, "blocks"], bound: float) -> bool:
    """Whether the mean over blocks exceeds the bound beyond its error (Student's t)."""
    count = len(each)
    if count < _FEWEST:
        return False
    error = each.std(ddof=1) / np.sqrt(count)
    return bool(each.mean() - _quantile(count - 1) * error > bound)


def _quantile(freedom: int | None = None) -> float:
    """Student's t at the level, of so many degrees of freedom; the normal one of None."""
    from scipy.special import ndtri, stdtrit

    if freedom is None:
        return float(ndtri(1 - _LEVEL))
    return float(stdtrit(freedom, 1 - _LEVEL))


def _ranks(x: np.ndarray) -> np.ndarray:
    return np.unique(x, return_inverse=True)[1].astype(float)
