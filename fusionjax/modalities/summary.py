"""Means that summaries of inputs are made of."""

import numpy as np
from jaxtyping import Float, Shaped

_PARTS = 8  # of each side of a picture and of a sound


def known_mean(x: Float[np.ndarray, "B T F"]) -> Float[np.ndarray, "B F"]:
    """The mean over T of what is finite; NaN where nothing is."""
    seen = np.isfinite(x)
    count = seen.sum(1)
    return np.where(count > 0, np.where(seen, x, 0).sum(1) / np.maximum(count, 1), np.nan)


def mean_of_parts(x: Shaped[np.ndarray, "..."], axis: int) -> Float[np.ndarray, "..."]:
    """The mean of each of a few equal parts of an axis."""
    parts = np.array_split(x, min(_PARTS, x.shape[axis]), axis)
    return np.stack([p.mean(axis) for p in parts], axis)
