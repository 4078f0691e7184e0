"""Summary and augmentation of modalities that give a ``Series``."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from fusionjax.config import AugmentConfig
from fusionjax.modalities.base import Parts
from fusionjax.modalities.summary import known_mean
from fusionjax.types import Series

_RECENT = 5  # sessions of the recent mean


def pooled(value: Series, present: Bool[np.ndarray, "B"]) -> Float[np.ndarray, "B F"]:
    """Last value, recent and whole-window mean of each feature; NaN where missing."""
    x = np.where((value.mask & present[:, None])[..., None], value.x, np.nan)
    return np.concatenate([x[:, -1], known_mean(x[:, -_RECENT:]), known_mean(x)], axis=1)


def levels(value: Series) -> Float[Array, "B L"]:
    """The features of ``pooled``, zero where missing, and which of the three spans are known.

    Zero is the mean of a standardised channel. What is known stands for the intercept, so that a
    missing span has one of its own, and an absent input contributes nothing to a linear map.
    """

    def mean(x: Float[Array, "B T F"], mask: Bool[Array, "B T"]) -> list[Array]:
        count = mask.sum(1, keepdims=True)
        total = jnp.where(mask[..., None], x, 0.0).sum(1)
        return [total / jnp.maximum(count, 1).astype(x.dtype), (count > 0).astype(x.dtype)]

    spans = (1, _RECENT, value.mask.shape[1])
    return jnp.concatenate([y for n in spans for y in mean(value.x[:, -n:], value.mask[:, -n:])], 1)


def augmented(value: Series, channels: tuple[str, ...], a: AugmentConfig, key: Array) -> Series:
    """Swaps groups of channels between samples, scales, adds jitter, cuts off the oldest sessions.

    Args:
      value: a batch of windows.
      channels: names of its features; without them no groups are swapped.
      a: its ``numeric_*`` settings are used.
      key: random key.
    """
    rows, sessions = value.mask.shape
    swap_key, scale_key, jitter_key, slice_key = jax.random.split(key, 4)
    x, mask = value.x, value.mask
    for i, group in enumerate(a.numeric_groups if channels and a.numeric_permute else ()):
        in_group = jnp.array([c in group for c in channels])
        rows_key, shift_key = jax.random.split(jax.random.fold_in(swap_key, i))
        other = jnp.roll(x, jax.random.randint(shift_key, (), 1, max(rows, 2)), axis=0)
        swapped = jax.random.bernoulli(rows_key, a.numeric_permute, (rows, 1, 1))
        x = jnp.where(swapped & in_group[None, None], other, x)
    if a.numeric_scale:
        x *= jnp.exp(a.numeric_scale * jax.random.normal(scale_key, (rows, 1, 1)))
    if a.numeric_jitter:
        x += a.numeric_jitter * jax.random.normal(jitter_key, x.shape)
    if a.numeric_slice:
        cut = jax.random.uniform(slice_key, (rows, 1)) * a.numeric_slice * sessions
        later = mask & (jnp.arange(sessions, dtype=jnp.float32)[None] >= cut)
        mask = jnp.where(later.any(1, keepdims=True), later, mask)
    return Series(jnp.where(mask[..., None], x, 0.0), mask)


def parts(value: Series, channels: tuple[str, ...], steps: dict[str, list[str]]) -> list[Parts]:
    """The channels of a window, and its steps in time that are known.

    Args:
      value: a window, without the leading B.
      channels: names of its features.
      steps: what a step is, in one word, with the name of each.
    """
    own_step, own_channel = np.eye(len(value.mask), dtype=bool), np.eye(len(channels), dtype=bool)
    known = np.flatnonzero(value.mask)
    ((kind, names),) = steps.items()
    of_steps = Series(own_step[known][:, :, None], own_step[known])
    of_channels = Series(own_channel[:, None], np.zeros((len(channels), 1), bool))
    by_kind = [
        Parts("channel", [*channels], of_channels),
        Parts(kind, [names[i] for i in known], of_steps),
    ]
    return [p for p in by_kind if len(p.names) > 1]  # one alone is the whole
