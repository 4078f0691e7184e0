"""Fusion "equal": the plain mean."""

import jax.numpy as jnp
from flax import linen as nn

from fusionjax.models.fusions.base import Fusion
from fusionjax.registry import FUSIONS
from fusionjax.types import Encoded, Fused


@FUSIONS.register("equal")
class EqualWeight(Fusion):
    """The mean over the present modalities: weight 1 for each."""

    @nn.compact
    def __call__(self, e: Encoded) -> Fused:
        h, weight = self._normed(e), e.present.astype(jnp.float32)
        return self._fused(e, self._mix(h, weight, e.present), weight)
