"""Fusion "mmpareto" (Wei & Hu, ICML 2024): encoders learn along what neither loss objects to."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array

from fusionjax.models.fusions.base import Fusion
from fusionjax.registry import FUSIONS
from fusionjax.types import Encoded, Fused

_MAGNITUDE = 1.5  # the published γ, by which every encoder gradient is enlarged


@FUSIONS.register("mmpareto")
class MMPareto(Fusion):
    """Concatenation, and an expert of each modality with a loss of its own.

    An encoder learns from the gradient that ``common_direction`` makes of the fused loss's and its
    expert's; all else from their sum.
    """

    splits_gradients = True

    @nn.compact
    def __call__(self, e: Encoded) -> Fused:
        h = self._normed(e)
        experts = self._experts(h, e.present)
        return self._fused(e, self._joint(h), e.present.astype(jnp.float32), experts)

    @staticmethod
    def combine_gradients(joint: Any, alone: Any) -> Any:
        return {
            name: common_direction(joint[name], alone[name])
            if name.startswith("encoders_")
            else jax.tree.map(jnp.add, joint[name], alone[name])
            for name in joint
        }


def common_direction(joint: Any, alone: Any) -> Any:
    """The gradient of one encoder from those of the fused and of its own loss.

    Where their cosine is not negative it points as their sum, else as their convex combination of
    least norm: a small step against it raises neither loss. It is as long as the sum (which is
    never shorter than twice that combination), times γ. Norms are of the whole encoder; the
    published code restores the length of each array.
    """
    total = jax.tree.map(jnp.add, joint, alone)
    both, of_joint, of_alone = _dot(joint, alone), _dot(joint, joint), _dot(alone, alone)
    least = (of_alone - both) / jnp.maximum(of_joint + of_alone - 2 * both, 1e-30)
    part = jnp.where(both < 0, least, 0.5)
    mixed = jax.tree.map(lambda j, a: part * j + (1 - part) * a, joint, alone)
    ratio = jnp.sqrt(_dot(total, total) / jnp.maximum(_dot(mixed, mixed), 1e-30))
    return jax.tree.map(lambda g: _MAGNITUDE * ratio * g, mixed)


def _dot(a: Any, b: Any) -> Array:
    products = jax.tree.map(lambda x, y: jnp.sum(x * y), a, b)
    return sum(jax.tree.leaves(products), jnp.zeros(()))
