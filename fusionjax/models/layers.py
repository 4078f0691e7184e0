"""Building blocks that all encoders share: normalisation, one transformer layer, the stack."""

import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange
from flax import linen as nn
from jaxtyping import Array, Bool, Float

from fusionjax.config import ModelConfig
from fusionjax.models.attention import linear_attention, sliding_window_attention
from fusionjax.parallel.rules import constrain_batch
from fusionjax.types import Tokens

# What a layer saves in the forward pass for the backward pass; the rest is recomputed.
_SAVED = {
    "layer": jax.checkpoint_policies.nothing_saveable,
    "products": jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
}


def dense(config: ModelConfig, features: int, name: str, *, bias: bool = True) -> nn.Dense:
    """A linear map with float32 parameters and ``compute_dtype`` arithmetic."""
    return nn.Dense(
        features,
        use_bias=bias,
        name=name,
        dtype=jnp.dtype(config.compute_dtype),
        param_dtype=jnp.float32,
    )


class RMSNorm(nn.Module):
    """Root-mean-square normalisation (Zhang & Sennrich, 2019); statistics in float32."""

    @nn.compact
    def __call__(self, x: Float[Array, "*rows D"]) -> Float[Array, "*rows D"]:
        scale = self.param("scale", nn.initializers.ones, (x.shape[-1],), jnp.float32)
        x32 = x.astype(jnp.float32)
        x32 = x32 * jax.lax.rsqrt(jnp.mean(x32**2, axis=-1, keepdims=True) + 1e-6)
        return (x32 * jnp.expand_dims(scale, range(x.ndim - 1))).astype(x.dtype)


class Layer(nn.Module):
    """Pre-norm attention and feed-forward block."""

    config: ModelConfig

    @nn.compact
    def __call__(
        self, x: Float[Array, "B N D"], mask: Bool[Array, "B N"]
    ) -> tuple[Float[Array, "B N D"], None]:
        c = self.config
        y = RMSNorm(name="attention_norm")(x)
        q, k, v = (
            rearrange(dense(c, c.width, n, bias=False)(y), "b n (h d) -> b n h d", h=c.heads)
            for n in ("query", "key", "value")
        )
        if c.attention == "window":
            y = sliding_window_attention(q, k, v, mask, c.attention_window)
        else:
            y = linear_attention(q, k, v, mask)
        y = dense(c, c.width, "attention_out", bias=False)(rearrange(y, "b n h d -> b n (h d)"))
        x = constrain_batch(x + y)
        y = dense(c, c.mlp_ratio * c.width, "mlp_in")(RMSNorm(name="mlp_norm")(x))
        return constrain_batch(x + dense(c, c.width, "mlp_out")(nn.gelu(y))), None


def energy(x: Float[Array, "B N D"], mask: Bool[Array, "B N"]) -> Float[Array, "B"]:
    """Log mean square of the real tokens: the scale that normalisation removes from an input."""
    real = mask[..., None].astype(jnp.float32)
    square = jnp.square(x.astype(jnp.float32)) * real
    count = jnp.maximum(real.sum((1, 2)), 1) * np.float32(x.shape[-1])
    return jnp.log(square.sum((1, 2)) / count + 1e-6)


def order_after(x: Float[Array, "B N D"], before: Tokens | None) -> Float[Array, "B N D"]:
    """Identity that makes XLA compute ``x`` after ``before``, and their gradients in reverse order.

    Otherwise the compiler may begin the backward pass with the longest sequence, which needs the
    most memory, while the activations of all other encoders are still held.
    """
    if before is None:
        return x
    x, _ = jax.lax.optimization_barrier((x, before.x[:, 0]))
    return x


class Stack(nn.Module):
    """All layers as one scanned, rematerialised layer: compile time does not grow with depth.

    Dropout removes whole tokens before the first layer.
    """

    config: ModelConfig
    deterministic: bool

    @nn.compact
    def __call__(
        self, x: Float[Array, "B N D"], mask: Bool[Array, "B N"], before: Tokens | None = None
    ) -> Tokens:
        # An all-true mask is a constant, which XLA would otherwise build on every device for the
        # whole global batch.
        x, mask = order_after(x, before), constrain_batch(mask)
        input_energy = energy(x, mask)
        x = nn.Dropout(self.config.dropout, broadcast_dims=(2,), deterministic=self.deterministic)(
            x
        )
        scanned = nn.scan(
            nn.remat(Layer, prevent_cse=False, policy=_SAVED[self.config.remat]),
            length=self.config.layers,
            variable_axes={"params": 0},
            in_axes=nn.broadcast,
            split_rngs={"params": True},
        )
        # Activations stay split by rows and weights are gathered; otherwise the embedding's split
        # over D would propagate through the layers, and activations would be exchanged instead.
        x, _ = scanned(self.config, name="layers")(constrain_batch(x), mask)
        return Tokens(RMSNorm(name="norm")(x), mask, input_energy)
