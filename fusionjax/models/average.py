"""Running means of arrays that change from step to step."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array


def running_mean(old: Any, new: Any, step: Array, decay: float) -> Any:
    """``old`` moved toward ``new``, two trees alike, by ``1 - decay``; early on it moves further.

    So that a short run is not held at its start.
    """
    count = step.astype(jnp.float32)
    share = jnp.minimum(decay, (1 + count) / (10 + count))
    return jax.tree.map(lambda o, n: o * share + n * (1 - share), old, new)
