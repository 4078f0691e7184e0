"""Fusion "confidence": the mean of the confident modalities."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from fusionjax.models.fusions.base import Fusion, mean
from fusionjax.models.heads import class_logits
from fusionjax.registry import FUSIONS
from fusionjax.types import Encoded, Fused


@FUSIONS.register("confidence")
class Confidence(Fusion):
    """Late fusion of the modalities that are confident of the class; of all if none is."""

    @nn.compact
    def __call__(self, e: Encoded) -> Fused:
        h = self._normed(e)
        experts = self._experts(h, e.present)
        best = jax.nn.softmax(class_logits(experts, self.config)).max(-1)
        sure = e.present & (best >= self.config.model.confidence_threshold)
        weight = jnp.where(sure.any(1, keepdims=True), sure, e.present).astype(jnp.float32)
        return self._fused(e, mean(experts, weight), weight, experts)
