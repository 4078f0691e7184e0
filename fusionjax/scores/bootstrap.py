"""Day-block bootstrap: samples of one day move together, and so do neighbouring days."""

import dataclasses
import functools
from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float, Int

from fusionjax.config import EvaluateConfig

_LEVEL, _POWER = 0.95, 0.8


@dataclasses.dataclass(frozen=True)
class Draws:
    """Resamplings of a period's days, each in its order of time."""

    at: Int[np.ndarray, "runs days"]

    @staticmethod
    def once(days: int) -> "Draws":
        """One run: the period itself."""
        return Draws(np.arange(days)[None])

    @staticmethod
    def blocks(days: int, block: int, count: int, seed: int = 0) -> "Draws":
        """Whole blocks of consecutive days, drawn with replacement.

        Circular block bootstrap (Politis & Romano, 1992): every day is equally likely. The same
        seed and number of days give the same draws, so that two forecasts are compared in pairs.

        Args:
          days: of the period.
          block: days a block; 1 resamples single days.
          count: resamplings.
        """
        rng = np.random.default_rng(seed)
        starts = rng.integers(days, size=(count, -(-days // block)))
        return Draws((starts[:, :, None] + np.arange(block)).reshape(count, -1)[:, :days] % days)

    @staticmethod
    def of_days(days: int, horizon: int, settings: EvaluateConfig) -> "Draws":
        """``evaluate.bootstrap_samples`` runs, in blocks no shorter than a label's ``horizon``."""
        block, count = block_days(horizon, settings), settings.bootstrap_samples
        return Draws.blocks(days, block, count)

    @functools.cached_property
    def counts(self) -> Float[np.ndarray, "runs days"]:
        """How often each day is drawn."""
        runs, days = self.at.shape
        flat = (np.arange(runs)[:, None] * days + self.at).ravel()
        return np.bincount(flat, minlength=runs * days).reshape(runs, days).astype(float)


@dataclasses.dataclass(frozen=True)
class ByDay:
    """Samples by day, for means whose intervals resample days.

    Attributes:
      day: of each sample, from 0.
      draws: of the days.
      level: of the intervals.
    """

    day: Int[np.ndarray, "S"]
    draws: Draws
    level: float

    def mean(
        self, values: Float[np.ndarray, "S"], keep: Bool[np.ndarray, "S"]
    ) -> tuple[float, float, float]:
        """The mean over samples where ``keep`` is true, and its interval (low, high)."""
        day, days = self.day[keep], self.draws.at.shape[1]
        total, count = np.bincount(day, values[keep], days), np.bincount(day, minlength=days)
        drawn = (self.draws.counts @ total) / np.maximum(self.draws.counts @ count, 1)
        return float(values[keep].mean()), *interval(drawn, self.level)


def block_days(horizon: int, settings: EvaluateConfig) -> int:
    """Days resampled together: at least the horizon, within which labels overlap."""
    return max(settings.block_sessions, horizon)


# A metric of one forecast as a function of which days are drawn: one value a resampling.
Score = Callable[[Draws], Float[np.ndarray, "runs"]]


def interval(drawn: Float[np.ndarray, "runs"], level: float = _LEVEL) -> tuple[float, float]:
    """The central share ``level`` of a metric's finite resamplings; NaN if there are none."""
    if not np.isfinite(drawn).any():
        return float("nan"), float("nan")
    low, high = np.nanquantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def minimum_detectable(drawn: Float[np.ndarray, "runs"]) -> float:
    """The least true effect that a two-sided 5 % test on these days detects with power 0.8."""
    from scipy import stats

    z = stats.norm.ppf((1 + _LEVEL) / 2) + stats.norm.ppf(_POWER)
    return float(z * np.nanstd(drawn)) if np.isfinite(drawn).any() else float("nan")


def verdict(
    first: Float[np.ndarray, "runs"], second: Float[np.ndarray, "runs"], higher_is_better: bool
) -> str:
    """Whether the first differs from the second beyond the paired 95 % interval."""
    low, high = interval(first - second if higher_is_better else second - first)
    return "better" if low > 0 else "worse" if high < 0 else "not distinguishable"
