"""Learned positions of an encoder's tokens."""

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from fusionjax.config import ModelConfig


def positions(
    module: nn.Module, count: int, config: ModelConfig, name: str = "positions"
) -> Float[Array, "1 N D"]:
    """A learned position for each of ``count`` tokens."""
    table = module.param(
        name,
        nn.initializers.normal(0.02),
        (count, config.width),
        jnp.float32,
    )
    return table[None].astype(jnp.dtype(config.compute_dtype))
