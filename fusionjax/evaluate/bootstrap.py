"""Day-block bootstrap: samples of one day move together, and so do neighbouring days."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from fusionjax.evaluate.metrics import Scores

Metric = Callable[[np.ndarray], Scores]


def resampled_sums(
    day_sums: Float[np.ndarray, "days K"], block: int, count: int, seed: int = 0
) -> Float[np.ndarray, "runs K"]:
    """Sums over ``count`` resamplings of whole blocks of consecutive days.

    Circular block bootstrap (Politis & Romano, 1992): every day is equally likely. The same seed
    and number of days give the same draws, so that two forecasts can be compared pair by pair.

    Args:
      day_sums: per-day sums of anything additive.
      block: days a block; 1 resamples single days.
      count: resamplings.
    """
    days = len(day_sums)
    rng = np.random.default_rng(seed)
    starts = rng.integers(days, size=(count, -(-days // block)))
    at = (starts[:, :, None] + np.arange(block)).reshape(count, -1)[:, :days] % days
    return day_sums[at].sum(1)


def interval(
    metric: Metric, sums: Float[np.ndarray, "runs K"], level: float = 0.95
) -> tuple[float, float]:
    """The central interval of a metric over resamplings."""
    low, high = np.quantile(metric(sums), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def verdict(
    metric: Metric,
    ours: Float[np.ndarray, "runs K"],
    theirs: Float[np.ndarray, "runs K"],
    higher_is_better: bool,
) -> str:
    """Whether we differ from them beyond the paired 95 % interval: better, worse or neither."""
    gain = metric(ours) - metric(theirs)
    low, high = np.quantile(gain if higher_is_better else -gain, [0.025, 0.975])
    return "better" if low > 0 else "worse" if high < 0 else "not distinguishable"
