"""Weighs experts by later data, and trusts what departs from the simplest as far as it is shown."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int

from fusionjax.scores.intervals import cosine_count, cosine_error

SHARES = tuple(np.linspace(0, 1, 21).tolist())  # of the way to a change


def trusted(losses: Float[np.ndarray, "K S"], day: Int[np.ndarray, "S"], horizon: int) -> float:
    """How far to go from a forecast to another: 0 stays, 1 goes all the way.

    The share whose fall of the loss is largest after one standard error of it is taken off: none
    where the days do not show that the loss falls.

    Args:
      losses: of samples, with each of ``SHARES`` of the change.
      day: of each sample, from 0 in the order of time.
      horizon: sessions of a label.
    """
    _, day = np.unique(day, return_inverse=True)
    count = np.bincount(day).astype(float)
    falls = np.stack([np.bincount(day, losses[0] - x) for x in losses]) / count.mean()
    means = falls.mean(1)
    cosines = max(cosine_count(len(count), horizon, lasting=True), 1)
    errors = cosine_error(falls - means[:, None] * count / count.mean(), cosines)
    return SHARES[int(np.argmax(means - errors))]


def weigh(
    values: Float[np.ndarray, "S X *value"],
    loss: Callable[[np.ndarray], Float[np.ndarray, "S"]],
    day: Int[np.ndarray, "S"],
    horizon: int,
    first: int | None = None,
) -> Float[np.ndarray, "X"]:
    """Convex weights of experts.

    From the single best expert toward the convex combination of least loss, as far as ``trusted``.

    Args:
      values: forecasts of later samples by each expert.
      loss: of a forecast of these samples.
      day: of each sample, from 0 in the order of time.
      horizon: sessions of a label.
      first: the expert to start from; the one of least loss if None.
    """
    count = values.shape[1]
    alone = np.eye(count)
    if first is None:
        first = int(np.argmin([loss(values[:, i]).mean() for i in range(count)]))
    best = _convex(values, loss, alone[first])

    way = [(1 - share) * alone[first] + share * best for share in SHARES]
    losses = np.stack([loss(combined(values, weight)) for weight in way])
    return way[SHARES.index(trusted(losses, day, horizon))]


def combined(
    values: Float[np.ndarray, "S X *value"], weight: Float[np.ndarray, "X"]
) -> Float[np.ndarray, "S *value"]:
    """The weighted mean of the experts that have a forecast; NaN where none has.

    Exactly the one that has all the weight.
    """
    used = np.flatnonzero(weight)
    if len(used) == 1:
        return values[:, used[0]]
    values, weight = values[:, used], weight[used]
    there = np.isfinite(values)
    if there.all():
        return np.tensordot(values, weight, ([1], [0]))
    total = np.tensordot(there, weight, ([1], [0]))
    value = np.tensordot(np.where(there, values, 0.0), weight, ([1], [0]))
    return np.where(total > 0, value / np.where(total > 0, total, 1.0), np.nan)


def _convex(
    values: np.ndarray, loss: Callable[[np.ndarray], np.ndarray], start: np.ndarray
) -> Float[np.ndarray, "X"]:
    """The convex weights of least mean loss; less than a hundredth counts as none."""
    from scipy import optimize

    scale = max(float(loss(combined(values, start)).mean()), 1e-12)
    found = optimize.minimize(
        lambda w: float(loss(np.tensordot(values, w, ([1], [0]))).mean()) / scale,
        np.full(len(start), 1 / len(start)),
        method="SLSQP",
        bounds=[(0, 1)] * len(start),
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
    )
    weight = np.where(found.x < 0.01, 0.0, found.x)
    return weight / weight.sum()
