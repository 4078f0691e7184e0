"""From a fusion's outputs to the three heads' forecasts; what heads learn is in the fusion."""

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from fusionjax.config import TargetsConfig
from fusionjax.types import Outcome


def output_size(t: TargetsConfig) -> int:
    """O: numbers that all heads together need."""
    return sum(_sizes(t))


def decode(
    outputs: Float[Array, "*rows O"], log_scale: Float[Array, "*rows"], t: TargetsConfig
) -> Outcome:
    """Direction logits, return quantiles and log volatility, in float32.

    Returns and volatility are stated relative to the stock's own trailing volatility and put back
    on its scale here, so that one head serves quiet and wild stocks alike. Outputs of zero mean
    equal odds, quantiles around zero and volatility as it was.
    """
    rows = outputs.shape[:-1]
    a, b, _ = _sizes(t)
    outputs = outputs.astype(jnp.float32)
    direction, q, volatility = jnp.split(outputs, [a, a + b], axis=-1)
    # A sorted sum of positive steps around a free centre keeps the quantiles in order.
    q = q.reshape(*rows, len(t.returns), len(t.quantiles))
    quantiles = q[..., :1] + jnp.concatenate(
        [jnp.zeros_like(q[..., :1]), jnp.cumsum(nn.softplus(q[..., 1:]), -1)], -1
    )
    quantiles = quantiles - nn.softplus(jnp.zeros(())) * (len(t.quantiles) - 1) / 2
    span = jnp.sqrt(jnp.asarray(t.returns, jnp.float32))[:, None]
    span = jnp.expand_dims(span, range(len(rows)))
    return Outcome(
        direction.reshape(*rows, len(t.direction), len(t.classes)),
        quantiles * span * jnp.exp(log_scale)[..., None, None],
        volatility + log_scale[..., None],
    )


def _sizes(t: TargetsConfig) -> tuple[int, int, int]:
    return (
        len(t.direction) * len(t.classes),
        len(t.returns) * len(t.quantiles),
        len(t.volatility),
    )
