"""Fusion "pdf" (predictive dynamic fusion; Cao et al., ICML 2024): weighted by predicted belief."""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from fusionjax.config import Config
from fusionjax.models.fusions.base import Fusion, mean, share, true_class
from fusionjax.models.heads import class_logits
from fusionjax.registry import FUSIONS
from fusionjax.types import Batch, Encoded, Fused


@FUSIONS.register("pdf")
class PredictiveDynamic(Fusion):
    """Late fusion by the softmax of co-beliefs: mono-confidence plus holo-confidence.

    A modality's mono-confidence is the probability p that its expert will give the true class,
    predicted from its features; its holo-confidence is the others' share of all ``-log p``. Outside
    training a co-belief is multiplied by how far the expert's probabilities are from uniform,
    relative to the others', at most 1 (relative calibration).

    As in the published code, for two modalities. For more, uniformity is relative to the mean of
    the others; the predictor is one linear map, as the code's three have no activation between.
    """

    @nn.compact
    def __call__(self, e: Encoded) -> Fused:
        h = self._normed(e)
        experts = self._experts(h, e.present)
        zeros = nn.initializers.zeros
        kernel = self.param("belief_kernel", zeros, h.shape[1:], jnp.float32)
        bias = self.param("belief_bias", zeros, h.shape[1:2], jnp.float32)
        features = jax.lax.stop_gradient(h.astype(jnp.float32))
        logit = jnp.einsum("bmd,md->bm", features, kernel) + bias[None]
        surprise = jnp.where(e.present, nn.softplus(-logit), 0.0)  # -log p
        total = surprise.sum(1, keepdims=True)
        belief = nn.sigmoid(logit) + (total - surprise) / (total + 1e-8)
        if self.deterministic:
            belief = belief * self._calibration(experts, e.present)
        weight = jax.lax.stop_gradient(share(belief, e.present))
        fused = self._fused(e, mean(experts, weight), weight, experts)
        return fused.replace(quality=nn.sigmoid(logit)[..., None])  # type: ignore[attr-defined]

    def _calibration(self, experts: Array, present: Array) -> Float[Array, "B M"]:
        probabilities = jax.nn.softmax(class_logits(experts, self.config))
        distance = jnp.abs(probabilities - 1 / probabilities.shape[-1]).mean(-1)
        distance = jnp.where(present, distance, 0.0)
        others = jnp.maximum(present.sum(1, keepdims=True) - 1, 1).astype(distance.dtype)
        rest = (distance.sum(1, keepdims=True) - distance) / others
        return jnp.where(distance >= rest, 1.0, distance / jnp.maximum(rest, 1e-8))

    @staticmethod
    def extra_loss(
        fused: Fused, alone: Float[Array, "M B"], batch: Batch, config: Config
    ) -> Float[Array, ""]:
        """Absolute error of the predicted probabilities, a mean for each modality, summed."""
        assert fused.experts is not None
        assert fused.quality is not None
        truth = jax.lax.stop_gradient(true_class(fused.experts, batch, config))
        known = batch.targets.mask[config.classifier[0]][:, 0] & (batch.weight > 0)
        counted = (fused.present & known[:, None]).astype(jnp.float32)
        error = (jnp.abs(fused.quality[..., 0] - truth) * counted).sum(0)
        return jnp.sum(error / jnp.maximum(counted.sum(0), 1)) / config.train.grad_accum_steps
