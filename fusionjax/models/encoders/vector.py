"""Features computed elsewhere: a perceptron."""

import jax.numpy as jnp
from flax import linen as nn

from fusionjax.config import ModelConfig
from fusionjax.models.layers import RMSNorm, dense, energy, order_after
from fusionjax.types import Tokens, VectorInput


class VectorEncoder(nn.Module):
    """A two-layer perceptron over features computed elsewhere; one token.

    With ``model.layers`` 0 the features are passed on as they are, padded to the width, so that
    feature weights refer to the features themselves.
    """

    config: ModelConfig
    deterministic: bool

    @nn.compact
    def __call__(self, vector: VectorInput, before: Tokens | None = None) -> Tokens:
        c = self.config
        x = vector.x.astype(jnp.dtype(c.compute_dtype))
        mask = jnp.ones((x.shape[0], 1), bool)
        if c.layers == 0:
            x = jnp.pad(x, ((0, 0), (0, c.width - x.shape[1])))[:, None]
            return Tokens(x, mask, energy(x, mask))
        x = nn.Dropout(c.dropout, deterministic=self.deterministic)(x)
        x = order_after(dense(c, c.mlp_ratio * c.width, "embed")(x)[:, None], before)
        y = RMSNorm(name="norm")(dense(c, c.width, "mlp_out")(nn.gelu(x)))
        return Tokens(y, mask, energy(x, mask))
