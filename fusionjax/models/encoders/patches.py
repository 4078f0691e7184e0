"""Positions and patch tokens, shared by the encoders that cut their input into patches."""

from typing import Any

import jax.numpy as jnp
from einops import rearrange, reduce
from flax import linen as nn
from jaxtyping import Array, Bool, Float

from fusionjax.config import ModelConfig
from fusionjax.models.layers import Stack, dense
from fusionjax.parallel.rules import constrain_batch
from fusionjax.types import Tokens


def positions(
    module: nn.Module, count: int, config: ModelConfig, name: str = "positions"
) -> Float[Array, "1 N D"]:
    """Learned position embeddings of ``count`` tokens."""
    table = module.param(
        name,
        nn.initializers.normal(0.02),
        (count, config.width),
        jnp.float32,
    )
    return table[None].astype(jnp.dtype(config.compute_dtype))


def patch_tokens(
    module: Any,
    x: Float[Array, "B T F"],
    mask: Bool[Array, "B T"],
    statistics: Float[Array, "B K"],
    patch: int,
    before: Tokens | None,
) -> Tokens:
    """A token for the ``statistics`` removed from ``x``, then one for every ``patch`` rows of it.

    Called inside the ``__call__`` of an encoder, whose parameters these become.
    """
    c = module.config
    x = constrain_batch(dense(c, c.width, "embed")(rearrange(x, "b (n p) f -> b n (p f)", p=patch)))
    x = x + positions(module, x.shape[1], c)
    statistics_token = constrain_batch(dense(c, c.width, "embed_statistics")(statistics))[:, None]
    real = reduce(mask, "b (n p) -> b n", "any", p=patch)
    return Stack(c, module.deterministic, name="stack")(
        jnp.concatenate([statistics_token, x], axis=1),
        jnp.concatenate([real.any(1, keepdims=True), real], axis=1),
        before,
    )
