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
    first: int,
    firm: bool = False,
) -> Float[np.ndarray, "X"]:
    """Convex weights of experts: from a single one toward the combination of least loss.

    As if ``_PRIOR`` independent sessions had spoken for the first alone: few coefficients cost
    little, and experts that err apart are safer together. If the first is ``firm``, only as far as
    ``trusted``.

    Args:
      values: forecasts of later samples by each expert; NaN where it has none.
      loss: of a forecast of these samples.
      day: of each sample, in any unit that is ordered in time.
      horizon: sessions of a label.
      first: the expert to start from, which has all forecasts; it stands in where no expert
        that counts has one.
      firm: whether it knows nothing that could be wrong.
    """
    start = np.arange(values.shape[1]) == first
    together = _convex(values, loss, first)
    if firm:
        way = [combined(values, (1 - x) * start + x * together, first) for x in SHARES]
        share = trusted(np.stack([loss(v) for v in way]), day, horizon)
    else:
        sessions = len(np.unique(day)) / horizon
        share = sessions / (sessions + _PRIOR)
    weight = (1 - share) * start + share * together
    weight = np.where(weight < _LEAST, 0.0, weight)
    return weight / weight.sum()


def combined(
    values: Float[np.ndarray, "S X *value"], weight: Float[np.ndarray, "X"], spare: int
) -> Float[np.ndarray, "S *value"]:
    """The weighted mean of the experts that have a forecast; where none has, that of ``spare``.

    Exactly the one that has all the weight.
    """
    used = np.flatnonzero(weight)
    weighed, weight = values[:, used], weight[used]
    there = np.isfinite(weighed)
    if there.all():
        alone = len(used) == 1
        return weighed[:, 0] if alone else np.tensordot(weighed, weight, ([1], [0]))
    total = np.tensordot(there, weight, ([1], [0]))
    value = np.tensordot(np.where(there, weighed, 0.0), weight, ([1], [0]))
    return np.where(total > 0, value / np.where(total > 0, total, 1.0), values[:, spare])


def _convex(
    values: np.ndarray, loss: Callable[[np.ndarray], np.ndarray], first: int
) -> Float[np.ndarray, "X"]:
    """The convex weights of least mean loss; see ``_LEAST``."""
    from scipy import optimize

    count = values.shape[1]
    scale = max(float(loss(values[:, first]).mean()), 1e-12)
    found = optimize.minimize(
        lambda w: float(loss(combined(values, w, first)).mean()) / scale,
        np.full(count, 1 / count),
        method="SLSQP",
        bounds=[(0, 1)] * count,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
    )
    weight = np.where(found.x < _LEAST, 0.0, found.x)
    return weight / weight.sum()
