"""What modalities that give a ``Series`` have in common: its summary and its augmentation."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fusionjax.config import AugmentConfig
from fusionjax.modalities.summary import known_mean
from fusionjax.types import Series

_RECENT = 5  # sessions whose mean stands beside the last value


def pooled(value: Series) -> Float[np.ndarray, "B F"]:
    """Last value, recent and whole-window mean of each feature; NaN where missing."""
    x = np.where(value.mask[..., None], value.x, np.nan)
    return np.concatenate([x[:, -1], known_mean(x[:, -_RECENT:]), known_mean(x)], axis=1)


def augmented(value: Series, channels: tuple[str, ...], a: AugmentConfig, key: Array) -> Series:
    """Groups of channels from another sample, one scale a window, jitter, a later beginning.

    Args:
      value: a batch of windows.
      channels: names of its features, or none: then no group is exchanged.
      a: the ``numeric_*`` settings count.
      key: of the change.
    """
    rows, sessions = value.mask.shape
    swap_key, scale_key, jitter_key, slice_key = jax.random.split(key, 4)
    x, mask = value.x, value.mask
    for i, group in enumerate(a.numeric_groups if channels and a.numeric_permute else ()):
        at = jnp.array([c in group for c in channels])
        who, by = jax.random.split(jax.random.fold_in(swap_key, i))
        other = jnp.roll(x, jax.random.randint(by, (), 1, max(rows, 2)), axis=0)
        swapped = jax.random.bernoulli(who, a.numeric_permute, (rows, 1, 1))
        x = jnp.where(swapped & at[None, None], other, x)
    if a.numeric_scale:
        x *= jnp.exp(a.numeric_scale * jax.random.normal(scale_key, (rows, 1, 1)))
    if a.numeric_jitter:
        x += a.numeric_jitter * jax.random.normal(jitter_key, x.shape)
    if a.numeric_slice:
        lost = jax.random.uniform(slice_key, (rows, 1)) * a.numeric_slice * sessions
        later = mask & (jnp.arange(sessions, dtype=jnp.float32)[None] >= lost)
        mask = jnp.where(later.any(1, keepdims=True), later, mask)
    return Series(jnp.where(mask[..., None], x, 0.0), mask)
