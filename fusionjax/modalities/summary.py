"""Means for summaries of inputs."""

import numpy as np
from jaxtyping import Float, Shaped

_PARTS = 8  # at most, along an axis


def known_mean(x: Float[np.ndarray, "B T F"]) -> Float[np.ndarray, "B F"]:
    """The mean over T of what is finite; NaN where nothing is."""
    known = np.isfinite(x)
    count = known.sum(1)
    return np.where(count > 0, np.where(known, x, 0).sum(1) / np.maximum(count, 1), np.nan)


def mean_of_parts(x: Shaped[np.ndarray, "..."], axis: int) -> Float[np.ndarray, "..."]:
    """The means of up to 8 equal parts along an axis."""
    parts = np.array_split(x, min(_PARTS, x.shape[axis]), axis)
    return np.stack([p.mean(axis) for p in parts], axis)
