"""Intervals and verdicts of scores over days: neighbouring days and a day's samples move together.

A metric's error is taken from what each day adds to it (a jackknife over days), summed with the
slowest cosines of the period (equal-weighted cosine estimator; Müller, 2007; Lazarus, Lewis, Stock
& Watson, 2018): Student's t with as many degrees of freedom as cosines. Fewer cosines stand more
persistence and cost power. How many, and how many days are too few, was chosen by
benchmarks/error_rates.py, which measures how often each statement is wrong.
"""

import dataclasses
import functools
import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float, Int

LEVEL, _POWER = 0.95, 0.8
_LEAST_DAYS = 63  # of what lasts, a quarter of a year: fewer leave no number of cosines that holds
_BANDWIDTH = 0.39  # cosines of what lasts: this times √days; holds up to autocorrelations of .95
_HORIZONS = 4  # of what does not last: a cosine for so many horizons of days ...
_FEWEST = 3  # ... and no fewer of them
NOT_ENOUGH = "too few days"  # how such a verdict begins

# A metric as a function of how much each day counts: one value a row of weights, all ones being
# the period itself.
Score = Callable[[Float[np.ndarray, "runs days"]], Float[np.ndarray, "runs"]]


def least_days(horizon: int, lasting: bool) -> int:
    """Days below which there is no interval.

    Args:
      horizon: sessions of a label; those of so many days overlap.
      lasting: whether a day's error may resemble that of days far away, as losses do where a
        forecaster's own errors persist; else it cannot be foreseen beyond the horizon.
    """
    unforeseen = _FEWEST * _HORIZONS * horizon
    return max(_LEAST_DAYS, unforeseen) if lasting else unforeseen


def cosine_count(days: int, horizon: int, lasting: bool) -> int:
    """How many cosines an error is taken from, which are its degrees of freedom."""
    return int(_BANDWIDTH * math.sqrt(days)) if lasting else days // (_HORIZONS * horizon)


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A value with its standard error.

    Attributes:
      value: the metric, a mean or a difference.
      error: its standard error; infinite if the days are too few.
      freedom: degrees of freedom of the error.
    """

    value: float
    error: float
    freedom: float

    @staticmethod
    def of(
        value: float, influence: Float[np.ndarray, "days"], horizon: int, lasting: bool
    ) -> "Estimate":
        """An estimate from the influences of days in their order; see ``least_days``."""
        days = len(influence)
        if days < least_days(horizon, lasting) or not np.isfinite(influence).all():
            return Estimate(value, math.inf, 1.0)
        count = cosine_count(days, horizon, lasting)
        return Estimate(value, float(cosine_error(influence, count)), float(count))

    def interval(self, level: float = LEVEL) -> tuple[float, float]:
        """The two-sided interval; infinite if the days are too few."""
        from scipy import stats

        half = stats.t.ppf((1 + level) / 2, self.freedom) * self.error
        return float(self.value - half), float(self.value + half)

    @property
    def detectable(self) -> float:
        """The least true effect that a two-sided 5 % test finds with power 0.8."""
        return _noncentrality(self.freedom) * self.error

    @property
    def p_value(self) -> float:
        """Two-sided, of no effect; NaN if the days are too few."""
        from scipy import stats

        if not math.isfinite(self.error):
            return math.nan
        t = np.abs(self.value) / self.error if self.error else math.inf if self.value else 0.0
        return float(2 * stats.t.sf(t, self.freedom))


def cosine_error(influence: Float[np.ndarray, "*worlds days"], count: int) -> np.ndarray:
    """Standard error of a mean over days from its ``count`` slowest cosines (type II)."""
    days = influence.shape[-1]
    phase = np.pi * np.outer(np.arange(days) + 0.5, np.arange(1, count + 1)) / days
    waves = influence @ (np.cos(phase) * math.sqrt(2 / days))
    return np.asarray(np.sqrt((waves**2).mean(-1) / days))


def influences(
    score: Score, days: int, inside: Int[np.ndarray, "inside"]
) -> Float[np.ndarray, "inside"]:
    """What each day adds to a metric, n times over, less the mean: jackknife pseudo-values.

    Args:
      score: the metric.
      days: of the period.
      inside: the days that hold samples.
    """
    without = score(1 - np.eye(days)[inside])
    return (len(inside) - 1) * (without.mean() - without)


def verdict(difference: Estimate, higher_is_better: bool, needed: int) -> str:
    """Whether a difference, ours less theirs, leaves out 0; or that the days are too few.

    Args:
      difference: paired over days.
      higher_is_better: of the metric.
      needed: what ``least_days`` says.
    """
    if not math.isfinite(difference.error):
        return f"{NOT_ENOUGH} (about {needed} needed)"
    low, high = difference.interval()
    if low <= 0 <= high:
        return "not distinguishable"
    return "better" if (low > 0) == higher_is_better else "worse"


@dataclasses.dataclass(frozen=True)
class ByDay:
    """Samples by day, for means over samples with intervals over days.

    Attributes:
      day: of each sample, from 0.
      days: of the period.
      horizon: the longest of the labels.
      level: of the intervals.
      least: days below which there is none.
    """

    day: Int[np.ndarray, "S"]
    days: int
    horizon: int
    level: float
    least: int = _LEAST_DAYS

    def mean(
        self, values: Float[np.ndarray, "S"], keep: Bool[np.ndarray, "S"]
    ) -> tuple[float, float, float]:
        """The mean over samples where ``keep`` is true, and its interval (low, high), which is
        infinite if the days are too few."""
        day = self.day[keep]
        total = np.bincount(day, values[keep], self.days)
        count = np.bincount(day, minlength=self.days).astype(float)
        estimate = ratio(total, count, self.horizon, lasting=True)
        if (count > 0).sum() < self.least:
            return estimate.value, -math.inf, math.inf
        return estimate.value, *estimate.interval(self.level)


def ratio(
    total: Float[np.ndarray, "days"],
    count: Float[np.ndarray, "days"],
    horizon: int,
    *,
    lasting: bool,
) -> Estimate:
    """A mean over samples from each day's sum and number; see ``least_days``."""
    mean = total.sum() / max(count.sum(), 1)
    inside = count > 0
    influence = (total - mean * count)[inside] * (inside.sum() / max(count.sum(), 1))
    return Estimate.of(float(mean), influence, horizon, lasting)


@functools.lru_cache
def _noncentrality(freedom: float) -> float:
    """The effect in standard errors that Student's t finds with power 0.8 at 5 %."""
    from scipy import optimize, stats

    edge = stats.t.ppf((1 + LEVEL) / 2, freedom)
    return float(optimize.brentq(lambda d: stats.nct.sf(edge, freedom, d) - _POWER, 0.5, 10 * edge))
