"""Calibrated uncertainty of forecasts, fitted only to labels that had matured by then."""

import dataclasses
import math

import numpy as np
from jaxtyping import Bool, Float, Int

from fusionjax.errors import InputError

_HOTTEST = 20.0  # temperatures are searched between its inverse and it
_LABELS = 250  # fewer determine no temperature
_ROUNDING = 1e-9  # (n + 1) · level may be a whole number plus rounding


def temperature(logit: Float[np.ndarray, "S"], label: Int[np.ndarray, "S"]) -> float:
    """The T in [1/20, 20] at which sigmoid(logit / T) has the least log loss (Guo et al., 2017).

    Args:
      logit: log odds of class 1.
      label: 0 or 1.

    Raises:
      InputError: no label.
    """
    if not len(label):
        raise InputError("temperature: 0 labels given; fit it on at least one, better 250")
    from scipy import optimize, special

    log_odds_against = np.where(label == 1, -logit, logit)
    fit = optimize.minimize_scalar(
        lambda log_t: -special.log_expit(-log_odds_against * math.exp(-log_t)).mean(),
        bounds=(-math.log(_HOTTEST), math.log(_HOTTEST)),
        method="bounded",
    )
    return math.exp(fit.x)


def prequential_temperature(
    logit: Float[np.ndarray, "S"],
    label: Int[np.ndarray, "S"],
    known: Bool[np.ndarray, "S"],
    start: Int[np.ndarray, "S"],
    end: Int[np.ndarray, "S"],
    every: int = 20,
) -> Float[np.ndarray, "S"]:
    """The temperature of each sample, from all labels that matured before its block of sessions.

    Args:
      logit: log odds of class 1.
      label: 0 or 1.
      known: whether the label counts.
      start: session at whose close the forecast is made, an ordinal.
      end: session at whose close the label is known.
      every: sessions a block, counted from ordinal 0; each block has one temperature.

    Returns:
      T; 1 while fewer than 250 labels have matured.
    """
    first, block = np.unique(start // every * every, return_inverse=True)
    matured = _by_end(known, end)
    count = np.searchsorted(end[matured], first)
    fitted = [
        temperature(logit[matured[:n]], label[matured[:n]]) if n >= _LABELS else 1.0 for n in count
    ]
    return np.array(fitted)[block]


def split_conformal(score: Float[np.ndarray, "S"], level: float) -> float:
    """The conformal quantile: a new exchangeable score is below it with probability >= ``level``.

    The ⌈(S + 1) level⌉-th smallest score (Vovk et al., 2005; Lei et al., 2018, algorithm 2);
    infinite if there are fewer scores.

    Args:
      score: nonconformity of past samples.
      level: in (0, 1).

    Raises:
      InputError: a level outside (0, 1).
    """
    _require_share(level)
    rank = _rank(len(score), level)
    return float(np.partition(score, rank - 1)[rank - 1]) if rank <= len(score) else math.inf


@dataclasses.dataclass(frozen=True)
class Intervals:
    """Raw intervals of S samples and their outcomes, to be calibrated.

    Attributes:
      low: of the intervals.
      high: of the intervals; equal to ``low`` for a point forecast.
      y: outcomes; NaN where unknown.
      scale: > 0 and known at ``start``, such as trailing volatility; in any unit.
      start: session at whose close the interval is issued, an ordinal.
      end: session at whose close the outcome is known, after ``start``.
    """

    low: Float[np.ndarray, "S"]
    high: Float[np.ndarray, "S"]
    y: Float[np.ndarray, "S"]
    scale: Float[np.ndarray, "S"]
    start: Int[np.ndarray, "S"]
    end: Int[np.ndarray, "S"]


def adaptive_conformal(
    raw: Intervals, level: float = 0.9, rate: float = 0.02, window: int = 1000
) -> tuple[Float[np.ndarray, "S"], Float[np.ndarray, "S"]]:
    """Intervals widened or narrowed, session by session, toward their nominal coverage.

    Nonconformity is ``max(low - y, y - high) / scale`` (conformalised quantile regression, Romano
    et al., 2019, eq. 6, relative to a volatility). At the close of each session, the labels that
    mature then first correct the target miss rate, ``α ← α + rate (1 - level - missed)`` (adaptive
    conformal inference, Gibbs & Candès, 2021, eq. 2), where ``missed`` is the share of them outside
    their issued intervals. Then the session's samples are issued the (1 - α) conformal quantile of
    the scores of the last ``window`` sessions, times their own scale, as the margin on either side.

    α stays in [0, 1], and the quantile is at most the largest score: no interval is infinite, and
    the guarantee of Gibbs & Candès ends where α stays 0. While there are too few scores for
    ``level``, the raw interval is issued and α is not corrected by it. An interval narrowed beyond
    its middle becomes its middle. ``shock.study`` measures the defaults.

    Args:
      raw: intervals, outcomes and scales.
      level: share to be covered, in (0, 1).
      rate: of the correction.
      window: sessions whose matured scores are used, the current one included.

    Returns:
      The calibrated low and high.

    Raises:
      InputError: a level outside (0, 1), or a scale that is not above 0.
    """
    _require_share(level)
    low, high, scale, start, end = raw.low, raw.high, raw.scale, raw.start, raw.end
    if not (scale > 0).all():
        worst = int(np.flatnonzero(~(scale > 0))[0])
        raise InputError(
            f"adaptive_conformal: scale is {scale[worst]} at sample {worst}, expected above 0; "
            "put a floor under the volatility"
        )
    score = np.maximum(low - raw.y, raw.y - high) / scale
    matured = _by_end(~np.isnan(score), end)
    scores, ends = score[matured], end[matured]
    by_start = np.argsort(start, kind="stable")
    now = np.unique(np.concatenate([start, ends]))
    since, old, new = np.searchsorted(ends, [now - window, now - 1, now], side="right")
    first, last = np.searchsorted(start[by_start], [now - 1, now], side="right")
    alpha, quantile = 1 - level, np.full(len(low), np.nan)
    for t in range(len(now)):
        used = quantile[matured[old[t] : new[t]]]  # NaN where the raw interval was issued
        calibrated = ~np.isnan(used)
        if calibrated.any():
            missed = (scores[old[t] : new[t]] > used)[calibrated].mean()
            alpha = min(max(alpha + rate * (1 - level - missed), 0.0), 1.0)
        pool = scores[since[t] : new[t]]
        if _rank(len(pool), level) <= len(pool):
            rank = min(_rank(len(pool), 1 - alpha), len(pool))
            quantile[by_start[first[t] : last[t]]] = np.partition(pool, rank - 1)[rank - 1]
    middle, margin = (low + high) / 2, quantile * scale
    unchanged = np.isnan(quantile)
    return (
        np.where(unchanged, low, np.minimum(low - margin, middle)),
        np.where(unchanged, high, np.maximum(high + margin, middle)),
    )


def risk_coverage(
    confidence: Float[np.ndarray, "S"], loss: Float[np.ndarray, "S"]
) -> tuple[Float[np.ndarray, "S"], Float[np.ndarray, "S"]]:
    """The mean loss of the most confident 1, 2, … S samples (El-Yaniv & Wiener, 2010).

    Samples of equal confidence each count with their mean loss, whatever their order.

    Returns:
      Coverage, the share of samples taken, and risk.
    """
    _, tie, count = np.unique(-confidence, return_inverse=True, return_counts=True)
    taken = np.arange(1, len(loss) + 1)
    return taken / len(loss), np.repeat(np.bincount(tie, loss) / count, count).cumsum() / taken


def aurc(confidence: Float[np.ndarray, "S"], loss: Float[np.ndarray, "S"]) -> float:
    """The area under the risk-coverage curve: its mean risk (Geifman & El-Yaniv, 2017)."""
    return float(risk_coverage(confidence, loss)[1].mean())


def _by_end(mask: Bool[np.ndarray, "S"], end: Int[np.ndarray, "S"]) -> Int[np.ndarray, "K"]:
    """Positions where the mask is true, in the order in which their labels mature."""
    chosen = np.flatnonzero(mask)
    return chosen[np.argsort(end[chosen], kind="stable")]


def _rank(count: int, level: float) -> int:
    """Rank (from 1, ascending) of the conformal quantile among ``count`` scores."""
    return max(math.ceil((count + 1) * level - _ROUNDING), 1)


def _require_share(level: float) -> None:
    if not 0 < level < 1:
        raise InputError(f"level is {level}; give the share to be covered, such as 0.9")
