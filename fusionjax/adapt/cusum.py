"""Page's two-sided CUSUM of many series at once, and how high it climbs when nothing changes."""

import numpy as np
from jaxtyping import Float, Int64
from scipy import stats

from fusionjax import streams

SLACK = 0.25  # standard deviations below which a change of level is not looked for
_STREAMS, _SESSIONS = 400, 1000  # of the bootstrap
_TOGETHER = 8  # series: 30 MB of streams
_RARE = 0.1  # share of streams with an alarm below which so few streams do not tell it


def anchors(count: int) -> Float[np.ndarray, "A"]:
    """Standard normal quantiles that stand for the reference level, in van der Corput's order.

    Without them a detector learns the level from the first values, and misses an early change; in
    this order every stretch of them is balanced.
    """
    order = stats.qmc.Halton(1, scramble=False).random(count + 1)[1:, 0].argsort().argsort()
    return stats.norm.ppf((order + 0.5) / count)


def highest(
    x: Float[np.ndarray, "T W"], known: Int64[np.ndarray, "W"] | int
) -> Float[np.ndarray, "W"]:
    """The highest value of river's ``PageHinkley`` without forgetting, of W series at once.

    Args:
      x: innovations; NaN where none was observed.
      known: reference sessions behind each series' level, whose mean is 0.
    """
    start = anchors(int(np.max(known)))
    seen = np.arange(len(start))[:, None] < np.atleast_1d(known)
    whole = np.concatenate([np.where(seen, start[:, None], np.nan) * np.ones(x.shape[1]), x])
    count, mean, rising, falling, low, high, top = np.zeros((7, x.shape[1]))
    low += np.inf
    high -= 1
    for t, row in enumerate(whole):
        here = np.isfinite(row)
        count += here
        mean += np.where(here, row - mean, 0) / np.maximum(count, 1)
        off = np.where(here, row - mean, 0)
        rising += off - SLACK * here
        falling += off + SLACK * here
        np.minimum(low, rising, out=low)
        np.maximum(high, falling, out=high)
        if t >= len(start):
            np.maximum(top, np.maximum(rising - low, high - falling), out=top)
    return top


def limits(
    x: Float[np.ndarray, "N n"], known: Int64[np.ndarray, "n"], run_length: float
) -> tuple[Float[np.ndarray, "n"], float]:
    """How high each series may climb, so that the first of them crosses its limit as asked.

    Stationary bootstrap (Politis & Romano, 1994) of the reference's innovations: whole sessions, so
    that series that move together do, in blocks of a length that the innovations and their sizes
    ask for (Politis & White, 2004). Each drawn stream has a level from a drawn reference, which is
    as wrong as the real one may be (Gandy & Kvaloy, 2013). All series cross equally often.

    Args:
      x: innovations in the reference, mean 0; NaN where none was observed.
      known: see ``highest``.
      run_length: mean sessions to the first crossing of any series.

    Returns:
      The limits, and the run length that they are for: the one asked for, or the longest that so
      many streams tell.
    """
    rng = streams.generator(0, "drift thresholds")
    drawn = _sessions(len(x), _block(x), len(x) + _SESSIONS, rng)
    tops = []
    for some in np.array_split(np.arange(x.shape[1]), -(-x.shape[1] // _TOGETHER)):
        stream = x.T[some][:, drawn].transpose(1, 0, 2)  # [T, series, B]
        stream = (stream - np.nanmean(stream[: len(x)], 0))[len(x) :]
        top = highest(stream.reshape(_SESSIONS, -1), np.repeat(known[some], _STREAMS))
        tops += [*top.reshape(len(some), _STREAMS)]
    told = min(run_length, -_SESSIONS / np.log1p(-_RARE))
    rank = np.argsort(np.argsort(tops, axis=1), axis=1).max(0)
    cut = np.quantile(rank, np.exp(-_SESSIONS / told), method="higher")
    return np.sort(tops, axis=1)[:, cut], float(told)


def _block(x: Float[np.ndarray, "N n"]) -> float:
    """The mean length of a block: the median over series, of innovations or of their sizes."""
    from arch.bootstrap import optimal_block_length

    lengths = []
    for values in x.T:
        v = values[np.isfinite(values)]
        asked = [float(optimal_block_length(a)["stationary"].iloc[0]) for a in (v, np.abs(v))]
        lengths.append(np.nanmax([1.0, *asked]))
    return min(float(np.median(lengths)), len(x) / 4)


def _sessions(
    count: int, block: float, length: int, rng: np.random.Generator
) -> Int64[np.ndarray, "T B"]:
    """Positions among ``count`` sessions of each drawn stream, wrapped at the end."""
    begins = rng.random((length, _STREAMS)) < 1 / block
    begins[0] = True
    start = rng.integers(count, size=begins.shape)
    since = np.maximum.accumulate(np.where(begins, np.arange(length)[:, None], 0), axis=0)
    return (np.take_along_axis(start, since, 0) + np.arange(length)[:, None] - since) % count
