"""Significance of Sharpe ratios, corrected for how many trials were made.

Sharpe ratios are per period (mean over standard deviation with divisor T), never annualised. All
functions return NaN where there is nothing to measure: values that are not finite, or that do not
vary by more than a millionth of their mean, as those of fewer than two periods or trials do not.
"""

import functools
import itertools

import numpy as np
from jaxtyping import Float

from fusionjax.errors import InputError

_FLAT = 1e-6  # less spread than this share of the mean may be rounding


def sharpe_std(returns: Float[np.ndarray, "T"]) -> float:
    """Standard error of a Sharpe ratio of independent returns, skewed and fat-tailed as they are.

    √((1 - γ₃·SR + (γ₄ - 1)/4·SR²) / (T - 1)) of plain sample moments (Mertens, 2002; Bailey & Lopez
    de Prado, 2012). NaN where that is 0, too: the expansion fails there.
    """
    if not _varies(returns):
        return float("nan")
    z = (returns - returns.mean()) / returns.std()
    # The variance above as the mean of a square: rounding cannot make it negative.
    variance = ((z - _sharpe(returns) * (z**2 - 1) / 2) ** 2).mean()
    return float(np.sqrt(variance / (len(z) - 1))) if variance > _FLAT**2 else float("nan")


def probabilistic_sharpe(returns: Float[np.ndarray, "T"], benchmark: float = 0.0) -> float:
    """The probability that the true Sharpe ratio exceeds a benchmark.

    Bailey & Lopez de Prado, The Sharpe Ratio Efficient Frontier (2012). NaN as ``sharpe_std``.
    """
    error = sharpe_std(returns)
    if np.isnan(error):
        return error
    from scipy import stats

    return float(stats.norm.cdf((_sharpe(returns) - benchmark) / error))


def deflated_sharpe(
    returns: Float[np.ndarray, "T"], trial_sharpes: Float[np.ndarray, "N"], trials: int = 0
) -> float:
    """The probability that the chosen trial beats the expected best of as many without skill.

    Bailey & Lopez de Prado, The Deflated Sharpe Ratio (2014), equations 1 and 2. Trials count as
    independent: copies overstate their number. NaN as ``sharpe_std``, and for fewer than two trials
    that differ.

    Args:
      returns: of the trial that was chosen.
      trial_sharpes: per period, of all trials, the chosen one included.
      trials: how many there were, if the Sharpe ratios of some are not known.
    """
    if not _varies(trial_sharpes):
        return float("nan")
    from scipy import stats

    n = max(len(trial_sharpes), trials)
    extreme = np.array([1 - np.euler_gamma, np.euler_gamma]) @ stats.norm.isf(np.exp([0, -1]) / n)
    return probabilistic_sharpe(returns, float(trial_sharpes.std(ddof=1) * extreme))


def overfitting_probability(returns: Float[np.ndarray, "T N"], blocks: int = 16) -> float:
    """How often the best trial of half the blocks is no better than the median in the other half.

    PBO by combinatorially symmetric cross-validation (Bailey, Borwein, Lopez de Prado & Zhu, 2017):
    the share of logits <= 0. About a half if the choice is chance, 0 if the chosen trial stays
    best. Trials are scored by Sharpe ratio, 0 without variation. NaN for fewer than two trials,
    and where all score alike in every half.

    Args:
      returns: of every trial, in time order.
      blocks: contiguous, as equal as possible; an even number.

    Raises:
      InputError: an odd number of blocks, or more than periods.
    """
    if blocks < 2 or blocks % 2 or blocks > len(returns):
        raise InputError(
            f"blocks is {blocks}: expected an even number from 2 to the {len(returns)} periods "
            "there are; choose such a number"
        )
    if not np.isfinite(returns).all():
        return float("nan")
    first = [b[0] for b in np.array_split(np.arange(len(returns)), blocks)]
    moments = returns.astype(float) ** np.arange(3)[:, None, None]
    per_block = np.add.reduceat(moments, first, axis=1)
    halves = np.array(list(itertools.combinations(range(blocks), blocks // 2)))
    # Added block by block: a matrix product may round two equal trials differently.
    count, total, squares = functools.reduce(np.add, (per_block[:, b] for b in halves.T))
    mean = total / count
    variance = squares / count - mean**2
    varies = variance > (_FLAT * mean) ** 2
    inside = np.where(varies, mean, 0.0) / np.sqrt(np.where(varies, variance, 1.0))
    if (inside == inside[:, :1]).all():  # also of fewer than two trials
        return float("nan")
    outside = inside[::-1]  # combinations are in an order whose reverse is that of the complements
    chosen = np.take_along_axis(outside, inside.argmax(1)[:, None], 1)
    # A rank over N + 1 of no more than a half: no fewer trials are better than are worse.
    return float(((outside > chosen).sum(1) >= (outside < chosen).sum(1)).mean())


def _varies(x: np.ndarray) -> bool:
    return len(x) > 1 and bool(np.isfinite(x).all() and x.std() > _FLAT * abs(x.mean()))


def _sharpe(returns: np.ndarray) -> float:
    return float(returns.mean() / returns.std())
