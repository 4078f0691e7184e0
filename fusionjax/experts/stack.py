"""Weighs experts by later data, and trusts what departs from the simplest as far as it is shown."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Shaped

from fusionjax.scores.intervals import cosine_count, cosine_error

_LEAST = 0.05  # a smaller weight is none: noise earns a little by chance
_PRIOR = 10.0  # independent sessions
_ERRORS = 2.0  # standard errors that a change must show
SHARES = tuple(np.linspace(0, 1, 21).tolist())  # of the way to a change


def trusted(
    losses: Float[np.ndarray, "K S"],
    day: Shaped[np.ndarray, "S"],
    horizon: int,
) -> float:
    """How far to go from a forecast to another: 0 stays, 1 goes all the way.

    The share whose fall of the loss is largest after two standard errors of it are taken off: none
    where the days do not show that the loss falls.

    Args:
      losses: of samples, with each of ``SHARES`` of the change.
      day: of each sample, in any unit that is ordered in time.
      horizon: sessions of a label.
    """
    _, day = np.unique(day, return_inverse=True)
    count = np.bincount(day).astype(float)
    falls = np.stack([np.bincount(day, losses[0] - x) for x in losses]) / count.mean()
    means = falls.mean(1)
    cosines = max(cosine_count(len(count), horizon, lasting=True), 1)
    errors = cosine_error(falls - means[:, None] * count / count.mean(), cosines)
    return SHARES[int(np.argmax(means - _ERRORS * errors))]


def weigh(
    values: Float[np.ndarray, "S X *value"],
    loss: Callable[[np.ndarray], Float[np.ndarray, "S"]],
    day: Shaped[np.ndarray, "S"],
    horizon: int,
    simplest: int | None = None,
) -> Float[np.ndarray, "X"]:
    """Convex weights of experts: from a single one toward the combination of least loss.

    From the best, as if ``_PRIOR`` independent sessions had spoken for it alone: few coefficients
    cost little, and experts that err apart are safer together. From the simplest, if one knows
    nothing that could be wrong, only as far as ``trusted``.

    Args:
      values: forecasts of later samples by each expert.
      loss: of a forecast of these samples.
      day: of each sample, in any unit that is ordered in time.
      horizon: sessions of a label.
      simplest: the expert that others must improve on; None if there is none.
    """
    alone = np.eye(values.shape[1])
    best = int(np.argmin([loss(values[:, i]).mean() for i in range(len(alone))]))
    together = _convex(values, loss, alone[best])
    if simplest is None:
        sessions = len(np.unique(day)) / horizon
        share, start = sessions / (sessions + _PRIOR), alone[best]
    else:
        start = alone[simplest]
        way = [combined(values, (1 - x) * start + x * together) for x in SHARES]
        share = trusted(np.stack([loss(v) for v in way]), day, horizon)
    weight = (1 - share) * start + share * together
    weight = np.where(weight < _LEAST, 0.0, weight)
    return weight / weight.sum()


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
    """The convex weights of least mean loss; see ``_LEAST``."""
    from scipy import optimize

    scale = max(float(loss(combined(values, start)).mean()), 1e-12)
    found = optimize.minimize(
        lambda w: float(loss(np.tensordot(values, w, ([1], [0]))).mean()) / scale,
        np.full(len(start), 1 / len(start)),
        method="SLSQP",
        bounds=[(0, 1)] * len(start),
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
    )
    weight = np.where(found.x < _LEAST, 0.0, found.x)
    return weight / weight.sum()
