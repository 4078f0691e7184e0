"""Fusion "concat": the modalities concatenated."""

import jax.numpy as jnp
from flax import linen as nn

from fusionjax.models.fusions.base import Fusion
from fusionjax.registry import FUSIONS
from fusionjax.types import Encoded, Fused


@FUSIONS.register("concat")
class Concat(Fusion):
    """All modalities concatenated through a perceptron; absent ones are zeros."""

    @nn.compact
    def __call__(self, e: Encoded) -> Fused:
        h = self._normed(e)
        return self._fused(e, self._joint(h), e.present.astype(jnp.float32))
