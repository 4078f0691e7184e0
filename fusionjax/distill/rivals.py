"""What two of the compared fusions do to the training step."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from fusionjax.types import Batch, Fused


def slow_leaders(
    grads: Any, fused: Fused, batch: Batch, classes: int, alpha: float, key: Array
) -> Any:
    """OGM-GE (Peng et al., 2022, eq. 9-12): encoders that lead learn slower, with noise put back.

    A modality's lead is its part's mean probability of the true class against the mean of the
    others'; a leader's encoder gradients shrink by ``1 - tanh(alpha·lead)``. Every encoder gradient
    then gets Gaussian noise of its own standard deviation.
    """
    assert fused.experts is not None
    right = jax.nn.softmax(fused.experts[..., :classes])
    score = jnp.take_along_axis(right, batch.targets.direction[:, :1, None], axis=-1)[..., 0]
    here = fused.shown.astype(jnp.float32) * batch.weight[:, None]
    score = (score * here).sum(0) / jnp.maximum(here.sum(0), 1)
    count = score.shape[0]
    rest = (score.sum() - score) / max(count - 1, 1)
    lead = score / jnp.maximum(rest, 1e-6)
    factor = jnp.where(lead > 1, 1 - jnp.tanh(alpha * lead), 1.0)

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


def rank_loss(
    fused: Fused, loss: Float[Array, "M B"], weight: Float[Array, "B"], classes: int
) -> Float[Array, ""]:
    """QMF's regularisation (Zhang et al., 2023, eq. 11), batch against its own reverse.

    Of two samples the one with the higher loss in a modality must have the lower energy score
    there. The paper ranks by the loss averaged over training; here it is the loss of this step.
    """
    assert fused.experts is not None
    score = jax.nn.logsumexp(fused.experts[..., :classes], axis=-1).T
    here = fused.shown.T & (weight > 0)[None]
    other = here & here[:, ::-1]
    harder = jax.lax.stop_gradient(loss - loss[:, ::-1])
    wrong = jnp.maximum(0.0, jnp.sign(harder) * (score - score[:, ::-1]) + jnp.abs(harder))
    return jnp.sum(jnp.where(other, wrong, 0.0)) / jnp.maximum(other.sum(), 1).astype(wrong.dtype)
