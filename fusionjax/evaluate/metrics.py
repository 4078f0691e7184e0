"""Scores as functions of per-day sums, so that resampling days resamples every score."""

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

_EPS = 1e-7

# One score a resampling, or a plain number for one set of sums.
Scores = Float[np.ndarray, "*runs"] | float


def direction_sums(
    label: Int[np.ndarray, "S"], up: Float[np.ndarray, "S"]
) -> Float[np.ndarray, "S 5"]:
    """What each sample adds: true up, true down, false up, false down, log loss.

    Up is called where its probability is above half.

    Args:
      label: 1 up, 0 down.
      up: probability of up.
    """
    called, rose = up > 0.5, label == 1
    p = np.clip(np.where(rose, up, 1 - up), _EPS, 1.0)
    return np.stack(
        [called & rose, ~called & ~rose, called & ~rose, ~called & rose, -np.log(p)],
        axis=1,
    ).astype(np.float64)


def volatility_sums(
    target: Float[np.ndarray, "S"], forecast: Float[np.ndarray, "S"]
) -> Float[np.ndarray, "S 2"]:
    """What each sample adds: one, squared error; both arguments are logs of daily volatility."""
    return np.stack([np.ones(len(target)), (forecast - target) ** 2], axis=1)


def by_day(
    sums: Float[np.ndarray, "S K"], day: Shaped[np.ndarray, "S"]
) -> Float[np.ndarray, "days K"]:
    """Adds up the samples of each day, days in order."""
    days, index = np.unique(day, return_inverse=True)
    out = np.zeros((len(days), sums.shape[1]))
    np.add.at(out, index, sums)
    return out


def accuracy(sums: Float[np.ndarray, "*runs 5"]) -> Scores:
    """Share of right calls."""
    return (sums[..., 0] + sums[..., 1]) / np.maximum(sums[..., :4].sum(-1), 1)


def mcc(sums: Float[np.ndarray, "*runs 5"]) -> Scores:
    """Matthews correlation coefficient (1975); 0 where a class is never called or never occurs."""
    tp, tn, fp, fn = np.moveaxis(sums[..., :4], -1, 0)
    scale = np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    return (tp * tn - fp * fn) / np.where(scale > 0, scale, 1.0)


def log_loss(sums: Float[np.ndarray, "*runs 5"]) -> Scores:
    """Mean negative log probability of what happened, nats."""
    return sums[..., 4] / np.maximum(sums[..., :4].sum(-1), 1)


def mean_squared_error(sums: Float[np.ndarray, "*runs 2"]) -> Scores:
    """Of log volatility."""
    return sums[..., 1] / np.maximum(sums[..., 0], 1)


def known(mask: Bool[np.ndarray, "S H"]) -> Bool[np.ndarray, "S"]:
    """Samples whose label at the first horizon counts; tables score that horizon."""
    return mask[:, 0]
