"""Fusion "ogm_ge" (Peng et al., 2022): encoders that lead learn slower."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from fusionjax.config import Config
from fusionjax.models.fusions.base import ExpertSum, true_class
from fusionjax.registry import FUSIONS
from fusionjax.types import Batch, Fused


@FUSIONS.register("ogm_ge")
class OnTheFly(ExpertSum):
    """A sum of linear experts; the gradients of encoders that lead are reduced."""

    experts_learn = False

    @staticmethod
    def edit_gradients(grads: Any, fused: Fused, batch: Batch, config: Config, key: Array) -> Any:
        """Reduces the gradients of encoders that lead, and adds noise (eq. 9-12).

        A modality's lead is its expert's mean probability of the true class over the mean of the
        others'. With a lead above 1, encoder gradients are multiplied by ``1 - tanh(alpha·lead)``.
        Every encoder gradient then gets Gaussian noise of its own standard deviation.
        """
        assert fused.experts is not None
        score = true_class(fused.experts, batch, config)
        counted = fused.present.astype(jnp.float32) * batch.weight[:, None]
        score = (score * counted).sum(0) / jnp.maximum(counted.sum(0), 1)
        count = score.shape[0]
        rest = (score.sum() - score) / max(count - 1, 1)
        lead = score / jnp.maximum(rest, 1e-6)
        factor = jnp.where(lead > 1, 1 - jnp.tanh(config.loss.gradient_modulation * lead), 1.0)

        def modulate(tree: Any, k: Array, key: Array) -> Any:
            leaves, shape = jax.tree.flatten(tree)
            noisy = [
                k * g + jnp.std(g) * jax.random.normal(n, g.shape)
                for g, n in zip(leaves, jax.random.split(key, len(leaves)), strict=True)
            ]
            return jax.tree.unflatten(shape, noisy)

        keys = jax.random.split(key, count)
        return grads | {
            f"encoders_{name}": modulate(grads[f"encoders_{name}"], factor[i], keys[i])
            for i, name in enumerate(batch.inputs)
        }
