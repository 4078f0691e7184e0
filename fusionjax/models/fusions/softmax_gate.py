"""Fusion "softmax_gate": weights from all modalities concatenated."""

import jax.numpy as jnp
from flax import linen as nn

from fusionjax.models.fusions.base import Fusion, share
from fusionjax.models.layers import dense
from fusionjax.registry import FUSIONS
from fusionjax.types import Encoded, Fused


@FUSIONS.register("softmax_gate")
class SoftmaxGate(Fusion):
    """A gate reads all modalities; its softmax over the present ones gives the weights.

    Weights are scaled to sum to the number of present modalities, so that 1 means an equal share.
    """

    @nn.compact
    def __call__(self, e: Encoded) -> Fused:
        h = self._normed(e)
        logits = dense(self.config.model, h.shape[1], "gate")(h.reshape(h.shape[0], -1))
        weight = share(logits.astype(jnp.float32), e.present)
        return self._fused(e, self._mix(h, weight, e.present), weight)
