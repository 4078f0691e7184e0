"""Fusion "late": forecasts are averaged, not features."""

import jax.numpy as jnp
from flax import linen as nn

from fusionjax.models.fusions.base import Fusion, mean
from fusionjax.registry import FUSIONS
from fusionjax.types import Encoded, Fused


@FUSIONS.register("late")
class Late(Fusion):
    """The mean of the present modalities' own forecasts."""

    @nn.compact
    def __call__(self, e: Encoded) -> Fused:
        h, weight = self._normed(e), e.present.astype(jnp.float32)
        experts = self._experts(h, e.present)
        return self._fused(e, mean(experts, weight), weight, experts)
