"""Metrics of a forecast, each a function of how much each day counts.

Where a mean is divided by a standard deviation (MCC, IC over all samples, ICIR), that deviation is
the whole period's whatever the days count: heavy tails would move both, and intervals miss.

``day`` numbers the days of a period from 0; a period's last days may hold no sample.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from fusionjax.scores.intervals import Score

_EPS = 1e-7
BINS = 10  # of the calibration error
_STOCKS = 5  # least number a day for a correlation across its stocks
_CELLS = 4_000_000  # weights held at once in an AUC

# Lower is better for these; for the others higher is.
LOSSES = frozenset(
    {"log loss", "Brier", "ECE", "MSE", "MAE", "pinball", "CRPS", "PIT distance", "max drawdown"}
)
# What a forecast without skill earns in these on one day tells nothing of a later day's. Errors in
# all others may last: no interval of their level holds, only verdicts on their paired differences.
_UNFORESEEN = ("accuracy", "balanced accuracy", "MCC", "AUC", "IC", "RankIC", "ICIR")
_TRADED = ("annual return", "Sharpe")


def point(score: Score, days: int) -> float:
    """The metric on the period itself."""
    return float(score(np.ones((1, days)))[0])


def lasting(metric: str) -> bool:
    """Whether a day's error in it may resemble that of days far away."""
    return metric not in _UNFORESEEN and not metric.startswith(_TRADED)


def classification(
    label: Int[np.ndarray, "S"], p: Float[np.ndarray, "S C"], day: Int[np.ndarray, "S"], days: int
) -> dict[str, Score]:
    """Scores of class probabilities; precision, recall and F1 are means of one class against all.

    The predicted class is the likeliest, the first of equals. MCC is the K-class statistic
    (Gorodkin, 2004). Ratios without a denominator are 0. Brier is half the squared distance (for
    two classes, that of one's probability). ECE bins the predicted class's probability in ten equal
    steps (Guo et al., 2017), in %. AUC is of the last class, and only for two classes.
    """
    classes, rows = p.shape[1], np.arange(len(label))
    predicted = p.argmax(1)
    cell = np.eye(classes * classes)[label * classes + predicted]
    log_loss = _nll(p[rows, label])
    brier = ((p - np.eye(classes)[label]) ** 2).sum(1) / 2
    confidence, correct = p.max(1), predicted == label
    bin_of = np.eye(BINS)[np.minimum((confidence * BINS).astype(int), BINS - 1)]

    def confusion(combine: Callable) -> Score:
        return _additive(cell, day, days, lambda s: combine(s.reshape(-1, classes, classes)))

    scores = {
        "accuracy": _mean(correct, day, days),
        "balanced accuracy": confusion(lambda m: _recall(m).mean(1)),
        "precision": confusion(lambda m: _recall(m.swapaxes(1, 2)).mean(1)),
        "recall": confusion(lambda m: _recall(m).mean(1)),
        "F1": confusion(_f1),
        "MCC": _mcc(cell, day, days),
        "log loss": _mean(log_loss, day, days),
        "Brier": _mean(brier, day, days),
        "ECE": _additive(
            np.concatenate([bin_of * (confidence - correct)[:, None], np.ones((len(label), 1))], 1),
            day,
            days,
            lambda s: 100 * _ratio(np.abs(s[:, :-1]).sum(1), s[:, -1]),
        ),
    }
    if classes == 2:
        scores["AUC"] = _auc(label == 1, p[:, 1], day)
    return scores


def direction_loss(
    up: Float[np.ndarray, "S"], rose: Bool[np.ndarray, "S"]
) -> Float[np.ndarray, "S"]:
    """The log loss of each probability of up, in nats."""
    return _nll(np.where(rose, up, 1 - up))


def called(
    label: Int[np.ndarray, "S"], p: Float[np.ndarray, "S C"], day: Int[np.ndarray, "S"], days: int
) -> dict[str, Score]:
    """Those scores of ``classification`` that need no probabilities."""
    calls = ("accuracy", "balanced accuracy", "precision", "recall", "F1", "MCC")
    return {k: s for k, s in classification(label, p, day, days).items() if k in calls}


def ranking(
    signal: Float[np.ndarray, "S"],
    outcome: Float[np.ndarray, "S"],
    day: Int[np.ndarray, "S"],
    days: int,
) -> dict[str, Score]:
    """Information coefficients: how a signal correlates with the return that followed.

    Across the stocks of a day, then averaged over the days that have at least five; ICIR is the
    mean over the standard deviation of the days (Grinold & Kahn, 2000). Where no day has five,
    one correlation over all samples is given, and no ICIR. A day without variation counts as 0.
    """
    ranks = {"IC": (signal, outcome)}
    if np.bincount(day, minlength=days).max(initial=0) < _STOCKS:
        ranks["RankIC"] = (_ranked(signal), _ranked(outcome))
        return {k: _pooled_correlation(x, y, day, days) for k, (x, y) in ranks.items()}
    ranks["RankIC"] = (_ranked(signal, day), _ranked(outcome, day))
    daily = {k: daily_correlation(x, y, day, days) for k, (x, y) in ranks.items()}
    scores = {k: _over_days(x) for k, x in daily.items()}

    spread = np.nanstd(daily["IC"])
    return scores | {"ICIR": lambda weight: _ratio(scores["IC"](weight), np.asarray(spread))}


def daily_correlation(
    x: Float[np.ndarray, "S"], y: Float[np.ndarray, "S"], day: Int[np.ndarray, "S"], days: int
) -> Float[np.ndarray, "days"]:
    """Pearson's correlation across each day's samples; NaN with fewer than five."""
    count = np.bincount(day, minlength=days)

    def centred(v: np.ndarray) -> np.ndarray:
        return v - (np.bincount(day, v, days) / np.maximum(count, 1))[day]

    x, y = centred(x), centred(y)
    norm = np.sqrt(np.bincount(day, x * x, days) * np.bincount(day, y * y, days))
    flat = norm < 1e-12 * np.maximum(count, 1)
    r = np.where(flat, 0.0, np.bincount(day, x * y, days) / np.where(flat, 1.0, norm))
    return np.where(count >= _STOCKS, r, np.nan)


def regression(
    target: Float[np.ndarray, "S"],
    forecast: Float[np.ndarray, "S"],
    day: Int[np.ndarray, "S"],
    days: int,
) -> dict[str, Score]:
    """Squared and absolute errors; of volatilities both arguments are logs."""
    error = forecast - target
    return {"MSE": _mean(error**2, day, days), "MAE": _mean(np.abs(error), day, days)}


def hits(up: Float[np.ndarray, "S"], label: Int[np.ndarray, "S"]) -> dict[str, np.ndarray]:
    """Whether the likelier of two classes came, and the probability that was stated of it."""
    return {
        "right": ((up > 0.5) == (label == 1)).astype(float),
        "confidence": np.maximum(up, 1 - up),
    }


def crps(
    y: Float[np.ndarray, "S"], quantiles: Float[np.ndarray, "S Q"], levels: tuple[float, ...]
) -> Float[np.ndarray, "S"]:
    """The CRPS of each sample, between the outermost levels; see ``distribution``."""
    tau = np.array(levels)
    return np.asarray(2 * np.trapezoid(_pinball(y, quantiles, tau), tau, axis=1))


def _pinball(
    y: Float[np.ndarray, "S"], quantiles: Float[np.ndarray, "S Q"], tau: Float[np.ndarray, "Q"]
) -> Float[np.ndarray, "S Q"]:
    gap = y[:, None] - quantiles
    return np.where(gap >= 0, tau * gap, (tau - 1) * gap)


def distribution(
    y: Float[np.ndarray, "S"],
    quantiles: Float[np.ndarray, "S Q"],
    levels: tuple[float, ...],
    day: Int[np.ndarray, "S"],
    days: int,
) -> dict[str, Score]:
    """Scores of quantile forecasts, as if the mass between two levels were spread evenly.

    Pinball is the mean over levels; CRPS twice its integral (Gneiting & Raftery, 2007), here
    between the outermost levels. PIT distance is the largest gap between a level and how often the
    outcome fell at or below its quantile, coverage how often it fell between the outermost two.
    """
    tau = np.array(levels)
    loss = _pinball(y, quantiles, tau)
    below = y[:, None] <= quantiles
    inside = (y >= quantiles[:, 0]) & (y <= quantiles[:, -1])
    return {
        "pinball": _mean(loss.mean(1), day, days),
        "CRPS": _mean(crps(y, quantiles, levels), day, days),
        "PIT distance": _additive(
            np.concatenate([below, np.ones((len(y), 1))], 1),
            day,
            days,
            lambda s: np.abs(s[:, :-1] / np.maximum(s[:, -1:], 1) - tau).max(1),
        ),
        "coverage": _mean(inside, day, days),
    }


def _nll(p: np.ndarray) -> np.ndarray:
    return -np.log(np.clip(p, _EPS, 1.0))


def _additive(
    sums: Float[np.ndarray, "S K"], day: np.ndarray, days: int, combine: Callable
) -> Score:
    """A metric of sums over samples."""
    per_day = np.zeros((days, sums.shape[1]))
    np.add.at(per_day, day, sums)
    return lambda weight: combine(weight @ per_day)


def _mean(x: np.ndarray, day: np.ndarray, days: int) -> Score:
    both = np.stack([x.astype(float), np.ones(len(x))], 1)
    return _additive(both, day, days, lambda s: _ratio(s[:, 0], s[:, 1]))


def _over_days(x: Float[np.ndarray, "days"]) -> Score:
    finite = np.isfinite(x)
    return lambda weight: _ratio(weight @ np.where(finite, x, 0), weight @ finite)


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.where(below > 0, above, 0.0) / np.where(below > 0, below, 1.0)


def _recall(m: Float[np.ndarray, "runs C C"]) -> Float[np.ndarray, "runs C"]:
    return _ratio(np.diagonal(m, axis1=1, axis2=2), m.sum(2))


def _f1(m: Float[np.ndarray, "runs C C"]) -> Float[np.ndarray, "runs"]:
    hit = np.diagonal(m, axis1=1, axis2=2)
    return _ratio(2 * hit, m.sum(1) + m.sum(2)).mean(1)


def _mcc(cell: Float[np.ndarray, "S K"], day: np.ndarray, days: int) -> Score:
    classes = round(np.sqrt(cell.shape[1]))

    def shares(m: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        m = m.reshape(-1, classes, classes)
        m = m / np.maximum(m.sum((1, 2), keepdims=True), 1)
        return np.trace(m, axis1=1, axis2=2), m.sum(2), m.sum(1)

    _, true, predicted = shares(cell.sum(0))
    spread = np.sqrt((1 - (true**2).sum(1)) * (1 - (predicted**2).sum(1)))
    spread = np.where(spread < 1e-9, 0.0, spread)  # rounding, where one class is all

    def combine(m: np.ndarray) -> np.ndarray:
        right, true, predicted = shares(m)
        return _ratio(right - (true * predicted).sum(1), spread)

    return _additive(cell, day, days, combine)


def _auc(positive: np.ndarray, p: np.ndarray, day: np.ndarray) -> Score:
    """The probability that a positive scores above a negative; ties half, NaN if undefined."""
    order = np.argsort(p, kind="stable")
    positive, day = positive[order], day[order]
    first = np.flatnonzero(np.diff(p[order], prepend=-np.inf) > 0)  # of each distinct score

    def score(of_days: np.ndarray) -> np.ndarray:
        out = np.empty(len(of_days))
        chunk = max(_CELLS // max(len(day), 1), 1)
        for start in range(0, len(out), chunk):
            weight = of_days[start : start + chunk, day]
            up = np.add.reduceat(weight * positive, first, axis=1)
            down = np.add.reduceat(weight * ~positive, first, axis=1)
            below = down.cumsum(1) - down / 2
            pairs = up.sum(1) * down.sum(1)
            with np.errstate(invalid="ignore", divide="ignore"):
                out[start : start + chunk] = (up * below).sum(1) / pairs
        return out

    return score


def _ranked(x: np.ndarray, day: np.ndarray | None = None) -> np.ndarray:
    """Ranks, ties averaged; within each day, or over all."""
    series = pd.Series(x)
    return (series.rank() if day is None else series.groupby(day).rank()).to_numpy()


def _pooled_correlation(x: np.ndarray, y: np.ndarray, day: np.ndarray, days: int) -> Score:
    x, y = x - x.mean(), y - y.mean()
    sums = np.stack([np.ones(len(x)), x, y, x * y], 1)
    norm = np.asarray(x.std() * y.std())

    def combine(s: np.ndarray) -> np.ndarray:
        n = np.maximum(s[:, 0], 1)
        return _ratio(s[:, 3] / n - s[:, 1] / n * s[:, 2] / n, norm)

    return _additive(sums, day, days, combine)
