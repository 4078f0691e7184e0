"""The model: an encoder for each modality, one fusion, three heads."""

import functools

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float

from fusionjax.config import Config
from fusionjax.models.encoders import encoder
from fusionjax.models.fusion import fusion
from fusionjax.models.layers import RMSNorm
from fusionjax.types import CLASSES, Batch, Forecast


class Heads(nn.Module):
    """Direction logits, return quantiles and log volatility from one representation, in float32.

    Returns and volatility are stated relative to the stock's own trailing volatility and put back
    on its scale here, so that one head serves quiet and wild stocks alike.
    """

    config: Config
    deterministic: bool

    @nn.compact
    def __call__(
        self, z: Float[Array, "B D"], log_scale: Float[Array, "B"]
    ) -> tuple[Float[Array, "B H1 C"], Float[Array, "B H2 Q"], Float[Array, "B H3"]]:
        t = self.config.targets
        z = RMSNorm(name="norm")(z.astype(jnp.float32))
        z = nn.Dropout(self.config.model.dropout, deterministic=self.deterministic)(z)

        def head(name: str, features: int) -> Array:
            return nn.Dense(features, name=name, kernel_init=nn.initializers.zeros)(z)

        direction = head("direction", len(t.direction) * len(CLASSES))
        volatility = head("volatility", len(t.volatility))
        # A sorted sum of positive steps around a free centre keeps the quantiles in order.
        q = head("returns", len(t.returns) * len(t.quantiles))
        q = q.reshape(len(z), len(t.returns), len(t.quantiles))
        quantiles = q[..., :1] + jnp.concatenate(
            [jnp.zeros_like(q[..., :1]), jnp.cumsum(nn.softplus(q[..., 1:]), -1)], -1
        )
        quantiles = quantiles - nn.softplus(jnp.zeros(())) * (len(t.quantiles) - 1) / 2
        span = jnp.sqrt(jnp.asarray(t.returns, jnp.float32))[None, :, None]
        return (
            direction.reshape(len(z), len(t.direction), len(CLASSES)),
            quantiles * span * jnp.exp(log_scale)[:, None, None],
            volatility + log_scale[:, None],
        )


class Forecaster(nn.Module):
    """Batch to Forecast. Any modality may be missing from any sample."""

    config: Config
    deterministic: bool = True

    @nn.compact
    def __call__(self, batch: Batch) -> Forecast:
        c = self.config
        tokens = {
            name: encoder(spec, c.model, self.deterministic, f"encoders_{name}")(batch.inputs[name])
            for name, spec in c.modalities.items()
        }
        fused = fusion(c.model, "fusion")(tokens, batch.present)
        log_scale = self._log_scale(batch)
        direction, quantiles, volatility = Heads(c, self.deterministic, name="heads")(
            fused.z, log_scale
        )
        return Forecast(direction, quantiles, volatility, fused.modality, fused.feature)

    def _log_scale(self, batch: Batch) -> Float[Array, "B"]:
        """The trailing volatility where a modality that shows prices is present.

        Where none is, it is not known either, and a learned constant takes its place.
        """
        typical = self.param(
            "typical_log_scale", nn.initializers.constant(np.log(0.01)), (), jnp.float32
        )
        priced = [
            batch.present[name]
            for name, m in self.config.modalities.items()
            if m.kind == "image" or "vol20" in getattr(m, "channels", ())
        ]
        known = functools.reduce(jnp.logical_or, priced, jnp.zeros(batch.log_scale.shape, bool))
        return jnp.where(known, batch.log_scale, typical)
