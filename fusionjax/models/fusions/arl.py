"""Fusion "arl" (asymmetric representation learning; Wei et al., ICCV 2025)."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from fusionjax.config import Config
from fusionjax.models.fusions.base import ExpertSum
from fusionjax.models.heads import class_logits
from fusionjax.registry import FUSIONS
from fusionjax.types import Batch, Fused

_TEMPERATURE = 8.0  # the published T of CREMA-D; 4 for the other sets
_ALONE = 4.0  # the published γ: weight of the experts' losses


@FUSIONS.register("arl")
class Asymmetric(ExpertSum):
    """A sum of linear experts; encoders whose experts vary less get larger gradients.

    As in the published code, for two modalities, but without its five epochs of warm-up. The
    paper's experts share the parameters of the fused linear map; here the fused map is their sum.
    """

    @staticmethod
    def extra_loss(
        fused: Fused, alone: Float[Array, "M B"], batch: Batch, config: Config
    ) -> Float[Array, ""]:
        """The experts' losses again, so that they weigh γ: the bias regularisation."""
        rows = jnp.maximum(batch.weight.sum(), 1) * config.train.grad_accum_steps
        return (_ALONE - 1) * jnp.sum(alone * batch.weight[None]) / rows

    @staticmethod
    def edit_gradients(grads: Any, fused: Fused, batch: Batch, config: Config, key: Array) -> Any:
        """Multiplies each encoder's gradients by 1 plus its coefficient.

        Coefficients are a softmax of T times q (inverse of the mean entropy, normalised) times the
        others' share of the mean absolute logits. A share of entropy below .6/M counts as that: .3
        for two, as published; what the shares of more than two are is this project's reading.
        """
        assert fused.experts is not None
        logits = class_logits(fused.experts, config)
        counted = (fused.present & (batch.weight > 0)[:, None]).astype(jnp.float32)
        rows = jnp.maximum(counted.sum(0), 1)
        log_p = jax.nn.log_softmax(logits)
        entropy = (-(jnp.exp(log_p) * log_p).sum(-1) * counted).sum(0) / rows
        reliance = (jnp.abs(logits).sum(-1) * counted).sum(0) / rows
        coefficient = coefficients(entropy, reliance)
        return grads | {
            f"encoders_{name}": jax.tree.map(
                lambda g, i=i: (1 + coefficient[i]) * g, grads[f"encoders_{name}"]
            )
            for i, name in enumerate(batch.inputs)
        }


def coefficients(entropy: Float[Array, "M"], reliance: Float[Array, "M"]) -> Float[Array, "M"]:
    """The softmax over modalities of ``Asymmetric.edit_gradients``; sums to 1."""
    count = len(entropy)
    variance = jnp.maximum(entropy / jnp.maximum(entropy.sum(), 1e-8), 0.6 / count)
    certainty = (1 / variance) / (1 / variance).sum()
    others = 1 - reliance / jnp.maximum(reliance.sum(), 1e-8)
    return jax.nn.softmax(_TEMPERATURE * certainty * others)
