"""Fusion "attention_gate": weights from a learned query."""

import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from fusionjax.models.fusions.base import Fusion, share
from fusionjax.models.layers import dense
from fusionjax.registry import FUSIONS
from fusionjax.types import Encoded, Fused


@FUSIONS.register("attention_gate")
class AttentionGate(Fusion):
    """Attention of a learned query (Bahdanau et al., 2015); weights scaled as in softmax_gate."""

    @nn.compact
    def __call__(self, e: Encoded) -> Fused:
        c, h = self.config.model, self._normed(e)
        key = dense(c, c.width, "key")(h).astype(jnp.float32)
        query = self.param("query", nn.initializers.normal(1.0), (c.width,), jnp.float32)
        logits = jnp.tanh(key) @ query / np.float32(np.sqrt(c.width))
        weight = share(logits, e.present)
        return self._fused(e, self._mix(h, weight, e.present), weight)
