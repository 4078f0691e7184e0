"""Exponential moving averages of trees of arrays."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array


def running_mean(old: Any, new: Any, step: Array, decay: float) -> Any:
    """``old`` moved toward ``new``, a tree of the same form, by ``1 - decay``.

    Early steps use a smaller decay, so that a short run does not stay near its initial value.
    """
    count = step.astype(jnp.float32)
    share = jnp.minimum(decay, (1 + count) / (10 + count))
    return jax.tree.map(lambda o, n: o * share + n * (1 - share), old, new)
