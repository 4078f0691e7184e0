"""How far features and embeddings have moved from a reference, and which have not."""

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial.distance import cdist

from fusionjax.errors import InputError

_BINS = 10  # of the population stability index
_MOVED = 0.25  # PSI from which on two populations count as different (Siddiqi, 2006)


def shifts(
    reference: Float[np.ndarray, "N C"], recent: Float[np.ndarray, "M C"]
) -> dict[str, Float[np.ndarray, "C"]]:
    """How far each feature's distribution has moved; NaN where either side has no value.

    Args:
      reference: N samples of C features, NaN where missing.
      recent: M samples of the same.

    Returns:
      ``PSI``: population stability index over ten reference quantiles (Siddiqi, 2006), an empty
      bin counting half a sample; ``KS``: the two-sample Kolmogorov-Smirnov distance.
    """
    n, m = ((~np.isnan(x)).sum(0) for x in (reference, recent))
    x = np.concatenate([reference, recent])
    with np.errstate(divide="ignore", invalid="ignore"):
        step = np.concatenate([~np.isnan(reference) / n, ~np.isnan(recent) / -m])
        order = x.argsort(0)
        x, gap = np.take_along_axis(x, order, 0), np.take_along_axis(step, order, 0).cumsum(0)
        gap[:-1][x[1:] == x[:-1]] = 0  # the two distributions are compared after ties only
    return {"PSI": _stability(reference, recent)[0], "KS": np.abs(gap).max(0)}


def robustness(
    reference: Float[np.ndarray, "N C"], recent: Float[np.ndarray, "M C"]
) -> Float[np.ndarray, "C"]:
    """``exp(-PSI/0.25)`` of each feature: 1 if it has not moved, toward 0 if it has.

    The PSI expected of two samples of one distribution, (bins - 1)·(1/N + 1/M) (Yurdakul, 2018), is
    subtracted first, or a short recent window would make every feature look moved. 0 where either
    side has no value.
    """
    index, expected = _stability(reference, recent)
    return np.nan_to_num(np.exp(-np.maximum(index - expected, 0) / _MOVED))


def _stability(reference: np.ndarray, recent: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The population stability index of each column, and its expectation without a shift."""
    n, m = ((~np.isnan(x)).sum(0) for x in (reference, recent))
    edges = np.nanquantile(np.where(n > 0, reference, 0), np.arange(1, _BINS) / _BINS, axis=0)
    counts = [_binned(x, edges) for x in (reference, recent)]
    used = counts[0] + counts[1] > 0  # ties leave bins empty on both sides
    with np.errstate(divide="ignore", invalid="ignore"):
        p, q = np.maximum(counts[0], 0.5) / n, np.maximum(counts[1], 0.5) / m
        index = np.where(used, (p - q) * np.log(p / q), 0).sum(0)
        expected = (used.sum(0) - 1) * (1 / n + 1 / m)
    return np.where((n > 0) & (m > 0), index, np.nan), expected


def _binned(x: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """The number of samples of each column in each bin; NaN are in none."""
    above = [np.sum(~np.isnan(x), 0), *(np.sum(x > edge, 0) for edge in edges), 0 * edges[0]]
    return -np.diff(above, axis=0)


def embedding_shift(
    reference: Float[np.ndarray, "N D"],
    recent: Float[np.ndarray, "M D"],
    stretch: Int[np.ndarray, "N"],
) -> tuple[float, int, int]:
    """How far embeddings have moved, and how many stretches of the reference lie no farther.

    Days resemble each other, so that rows cannot be permuted: the recent rows are compared with
    stretches of the reference that are as long, each against all others. Where nothing moves, the
    recent ones are the farthest as often as any: once in stretches + 1.

    Args:
      reference: N embeddings.
      recent: M embeddings.
      stretch: number of the stretch of each reference row, from 0; each as many days as ``recent``.

    Returns:
      The energy coefficient (2E|X-Y| - E|X-X'| - E|Y-Y'|) / 2E|X-Y|, from 0 for one distribution to
      1 (Székely & Rizzo, 2013); how many stretches are nearer to the rest than the recent rows are;
      how many stretches there are.

    Raises:
      InputError: if a side or a stretch has fewer than two rows or a value is not finite.
    """
    count = int(stretch.max(initial=-1)) + 1
    group = np.concatenate([stretch, np.full(len(recent), count)])
    size = np.bincount(group, minlength=count + 1)
    if size.min() < 2 or not all(np.isfinite(x).all() for x in (reference, recent)):
        raise InputError(
            f"{len(reference)} reference embeddings in {count} stretches and {len(recent)} recent "
            "ones: expected at least two finite rows in each; leave out days without a text or "
            "take a longer window"
        )
    rows = np.concatenate([reference, recent])
    member = np.eye(count + 1)[group]
    sums = member.T @ cdist(rows, rows) @ member  # of all distances between two groups
    n, total = len(reference), sums[:count, :count].sum()
    across = 2 * sums[count, :count].sum() / (n * len(recent))
    within = total / n**2 + sums[count, count] / len(recent) ** 2
    far = [_energy(sums, size, i) for i in range(count + 1)]
    nearer = int(np.sum(np.array(far[:count]) < far[count]))
    return float((across - within) / max(across, 1e-12)), nearer, count


def _energy(sums: np.ndarray, size: np.ndarray, i: int) -> float:
    """The energy distance between group ``i`` and all others, which does not grow as rows become
    fewer: a row is not compared with itself."""
    rest = np.arange(len(size)) != i
    n = size[rest].sum()
    across = 2 * sums[i, rest].sum() / (size[i] * n)
    return float(
        across
        - sums[i, i] / (size[i] * (size[i] - 1))
        - sums[np.ix_(rest, rest)].sum() / (n * (n - 1))
    )
