"""Weighs experts by later data, and trusts what departs from the simplest as far as it is shown."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Shaped

from fusionjax.scores.intervals import cosine_count, cosine_error

_LEAST = 0.05  # a smaller weight is none: noise earns a little by chance
_ERRORS = 1.0  # standard errors by which an expert must lower the loss of the others ...
FIRM = 2.0  # ... where there is one to stay with that knows nothing, and for a network
SHARES = tuple(np.linspace(0, 1, 21).tolist())  # of the way to a change


def trusted(
    losses: Float[np.ndarray, "K S"],
    day: Shaped[np.ndarray, "S"],
    horizon: int,
    errors: float = _ERRORS,
) -> float:
    """How far to go from a forecast to another: 0 stays, 1 goes all the way.

    The share whose fall of the loss is largest after its standard errors are taken off: none where
    the days do not show that the loss falls.

    Args:
      losses: of samples, with each of ``SHARES`` of the change.
      day: of each sample, in any unit that is ordered in time.
      horizon: sessions of a label.
      errors: how many standard errors.
    """
    falls, of_falls = _mean_error(losses[0] - losses, day, horizon)
    return SHARES[int(np.argmax(falls - errors * of_falls))]


def _mean_error(
    x: Float[np.ndarray, "K S"], day: Shaped[np.ndarray, "S"], horizon: int
) -> tuple[Float[np.ndarray, "K"], Float[np.ndarray, "K"]]:
    """Means over samples, and their standard errors; see ``scores.intervals``."""
    _, day = np.unique(day, return_inverse=True)
    count = np.bincount(day).astype(float)
    daily = np.stack([np.bincount(day, row) for row in x]) / count.mean()
    means = daily.mean(1)
    cosines = max(cosine_count(len(count), horizon, lasting=True), 1)
    return means, cosine_error(daily - means[:, None] * count / count.mean(), cosines)


def weigh(
    values: Float[np.ndarray, "S X *value"],
    loss: Callable[[np.ndarray], Float[np.ndarray, "S"]],
    day: Shaped[np.ndarray, "S"],
    horizon: int,
    first: int,
    errors: float = _ERRORS,
) -> Float[np.ndarray, "X"]:
    """Convex weights of experts.

    From a single expert toward the convex combination of least loss, as far as ``trusted``.

    Args:
      values: forecasts of later samples by each expert; NaN where it has none.
      loss: of a forecast of these samples.
      day: of each sample, in any unit that is ordered in time.
      horizon: sessions of a label.
      first: the expert to start from, which has all forecasts; it stands in where no expert
        that counts has one.
      errors: standard errors by which others must lower the loss.
    """
    count = values.shape[1]
    alone = np.eye(count)
    best = _needed(values, loss, day, horizon, first, errors)

    way = [(1 - share) * alone[first] + share * best for share in SHARES]
    losses = np.stack([loss(combined(values, weight, first)) for weight in way])
    weight = way[SHARES.index(trusted(losses, day, horizon, errors))]
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


def _needed(
    values: np.ndarray,
    loss: Callable[[np.ndarray], np.ndarray],
    day: np.ndarray,
    horizon: int,
    first: int,
    errors: float,
) -> Float[np.ndarray, "X"]:
    """The convex weights of least loss over the experts that are needed: without one the loss is
    higher by more than its standard errors. The first stays."""
    used = np.arange(values.shape[1])
    while True:
        weight = np.zeros(values.shape[1])
        weight[used] = _convex(values[:, used], loss, used == first)
        used = np.flatnonzero((weight > 0) | (np.arange(len(weight)) == first))
        others = [i for i in used.tolist() if i != first]
        rises = {}
        for i in others:
            rest = used[used != i]
            without = np.zeros(len(weight))
            without[rest] = _convex(values[:, rest], loss, rest == first)
            higher, lower = (loss(combined(values, w, first)) for w in (without, weight))
            rise = higher - lower
            (mean,), (error,) = _mean_error(rise[None], day, horizon)
            rises[i] = mean - errors * error
        if not rises or min(rises.values()) > 0:
            return weight
        used = used[used != min(rises, key=lambda i: rises[i])]


def _convex(
    values: np.ndarray, loss: Callable[[np.ndarray], np.ndarray], is_first: np.ndarray
) -> Float[np.ndarray, "X"]:
    """The convex weights of least mean loss; see ``_LEAST``."""
    from scipy import optimize

    first, count = int(is_first.argmax()), len(is_first)
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
