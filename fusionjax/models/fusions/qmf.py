"""Fusion "qmf" (Zhang et al., 2023): modalities weighted by their confidence."""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from fusionjax.config import Config
from fusionjax.models.fusions.base import Fusion
from fusionjax.models.heads import class_logits
from fusionjax.registry import FUSIONS
from fusionjax.types import Batch, Encoded, Fused


@FUSIONS.register("qmf")
class QualityAware(Fusion):
    """Late fusion weighted by each modality's energy score, log Σ exp of its logits (eq. 7)."""

    @nn.compact
    def __call__(self, e: Encoded) -> Fused:
        h = self._normed(e)
        experts = self._experts(h, e.present)
        score = jax.nn.logsumexp(class_logits(experts, self.config), axis=-1)
        weight = jnp.where(e.present, jax.lax.stop_gradient(nn.softplus(score)), 0.0)
        return self._fused(e, (experts * weight[..., None]).sum(1), weight, experts)

    @staticmethod
    def extra_loss(
        fused: Fused, alone: Float[Array, "M B"], batch: Batch, config: Config
    ) -> Float[Array, ""]:
        """Ranking regularisation (eq. 11), on pairs of the batch and its reverse.

        Of two samples the one with the higher loss in a modality must have the lower energy score
        there. The paper ranks by the loss averaged over training; this ranks by the step's loss.
        """
        assert fused.experts is not None
        score = jax.nn.logsumexp(class_logits(fused.experts, config), axis=-1).T
        counted = fused.present.T & (batch.weight > 0)[None]
        both_counted = counted & counted[:, ::-1]
        excess = jax.lax.stop_gradient(alone - alone[:, ::-1])
        violation = jnp.maximum(0.0, jnp.sign(excess) * (score - score[:, ::-1]) + jnp.abs(excess))
        count = jnp.maximum(both_counted.sum(), 1).astype(violation.dtype)
        rank = jnp.sum(jnp.where(both_counted, violation, 0.0)) / count
        return config.loss.quality_rank * rank / config.train.grad_accum_steps
