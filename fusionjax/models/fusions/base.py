"""The interface of a fusion: from encoded modalities to head outputs and the weights used.

A new fusion is a file with a subclass of ``Fusion`` under ``@FUSIONS.register(name)``.
docs/fusion.md has the methods, their sources and the comparison.
"""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Bool, Float

from fusionjax.config import Config
from fusionjax.models.heads import class_logits, output_size
from fusionjax.models.layers import RMSNorm, dense
from fusionjax.parallel.rules import constrain_batch
from fusionjax.types import Batch, Encoded, Fused


class Fusion(nn.Module):
    """Base of the fusions: normalised inputs, a readout to the heads, experts.

    An expert is a linear head of one modality alone. A subclass defines
    ``__call__(encoded) -> Fused``, and overrides the methods below if training takes more than
    minimising the loss of ``Fused.outputs``.

    Attributes:
      experts_learn: whether each expert has a loss of its own.
      learns_weights: whether ``params["fusion"]["weights"]`` learn from the meta set alone, and
        modalities that do not lower its loss are dropped half-way (``distill.weights``).
      splits_gradients: whether ``combine_gradients`` joins the gradients of the two losses, at the
        price of a second backward pass.
      frozen: patterns of parameters that the optimiser never moves.
    """

    config: Config
    deterministic: bool

    experts_learn: ClassVar[bool] = True
    learns_weights: ClassVar[bool] = False
    splits_gradients: ClassVar[bool] = False
    frozen: ClassVar[tuple[str, ...]] = ()

    @staticmethod
    def soft_labels(config: Config) -> float:
        """Share of the teacher's (the averaged parameters') forecast in the labels, in [0, 1)."""
        del config
        return 0.0

    @staticmethod
    def extra_loss(
        fused: Fused, alone: Float[Array, "M B"], batch: Batch, config: Config
    ) -> Float[Array, ""] | float:
        """Added to the loss of a microbatch; ``alone`` is each expert's own loss."""
        del fused, alone, batch, config
        return 0.0

    @staticmethod
    def combine_gradients(joint: Any, alone: Any) -> Any:
        """One gradient from those of the fused loss and of the experts' losses together."""
        return jax.tree.map(jnp.add, joint, alone)

    @staticmethod
    def edit_gradients(grads: Any, fused: Fused, batch: Batch, config: Config, key: Array) -> Any:
        """Changes the gradients of a microbatch before the optimiser gets them."""
        del fused, batch, config, key
        return grads

    @staticmethod
    def observe(params: Any, fused: Fused) -> Any:
        """Statistics of a microbatch for ``after_step``: arrays, summed over microbatches."""
        del params, fused
        return ()

    @staticmethod
    def after_step(params: Any, observed: Any, step: Array, config: Config) -> Any:
        """Updates running statistics among the parameters after an optimiser step."""
        del observed, step, config
        return params

    def _normed(self, e: Encoded) -> Float[Array, "B M D"]:
        h = RMSNorm(name="norm")(e.h)
        if e.gain is not None:
            h = h * e.gain.astype(h.dtype)
        return jnp.where(e.present[..., None], h, jnp.zeros((), h.dtype))

    def _drop(self, x: Array) -> Array:
        return nn.Dropout(self.config.model.dropout, deterministic=self.deterministic)(x)

    def _readout(self, z: Float[Array, "B K"]) -> Float[Array, "B O"]:
        z = RMSNorm(name="readout_norm")(constrain_batch(z).astype(jnp.float32))
        z = self._drop(z)
        return nn.Dense(
            output_size(self.config.targets), name="readout", kernel_init=nn.initializers.zeros
        )(z)

    def _mix(self, h: Array, weight: Array, present: Array) -> Float[Array, "B O"]:
        """Weighted mean over the present modalities, feature mixing, heads."""
        c = self.config.model
        count = jnp.maximum(present.sum(-1, keepdims=True), 1).astype(h.dtype)
        mean = (h * weight[..., None].astype(h.dtype)).sum(1) / count
        y = dense(c, c.mlp_ratio * c.width, "mlp_in", bias=False)(mean)
        return self._readout(mean + dense(c, c.width, "mlp_out", bias=False)(nn.gelu(y)))

    def _joint(self, h: Float[Array, "B M D"]) -> Float[Array, "B O"]:
        """All modalities concatenated through one hidden layer, which can learn interactions."""
        c = self.config.model
        y = dense(c, c.mlp_ratio * c.width, "mlp_in", bias=False)(h.reshape(h.shape[0], -1))
        return self._readout(nn.gelu(y))

    def _experts(self, h: Float[Array, "B M D"], present: Array) -> Float[Array, "B M O"]:
        """Outputs of the experts; zero where a modality is absent."""
        size = output_size(self.config.targets)
        kernel = self.param(
            "expert_kernel", nn.initializers.zeros, (*h.shape[1:], size), jnp.float32
        )
        bias = self.param("expert_bias", nn.initializers.zeros, (h.shape[1], size), jnp.float32)
        outputs = jnp.einsum("bmd,mdo->bmo", self._drop(h.astype(jnp.float32)), kernel) + bias[None]
        return jnp.where(present[..., None], outputs, 0.0)

    def _entropy(self, experts: Float[Array, "B M O"]) -> Float[Array, "B M"]:
        """Entropy of the experts' class probabilities, as a share of the maximum."""
        log_p = jax.nn.log_softmax(class_logits(experts, self.config))
        return -(jnp.exp(log_p) * log_p).sum(-1) / np.float32(np.log(log_p.shape[-1]))

    def _fused(
        self, e: Encoded, outputs: Array, weight: Array, experts: Array | None = None
    ) -> Fused:
        feature = jnp.ones(e.h.shape[1:], jnp.float32)
        return Fused(outputs, weight, feature, e.present, experts, None)


def true_class(experts: Float[Array, "B M O"], batch: Batch, config: Config) -> Float[Array, "B M"]:
    """Each expert's probability of the true class at the classifier's first horizon."""
    label = batch.targets.label[config.classifier[0]]
    probabilities = jax.nn.softmax(class_logits(experts, config))
    return jnp.take_along_axis(probabilities, label[:, :1, None], axis=-1)[..., 0]


class ExpertSum(Fusion):
    """Base of the fusions whose outputs are the sum of linear experts."""

    @nn.compact
    def __call__(self, e: Encoded) -> Fused:
        h, weight = self._normed(e), e.present.astype(jnp.float32)
        experts = self._experts(h, e.present)
        return self._fused(e, experts.sum(1), weight, experts)


def share(logits: Float[Array, "B M"], present: Bool[Array, "B M"]) -> Float[Array, "B M"]:
    """A softmax over the present modalities, times their number: 1 is an equal share."""
    part = nn.softmax(jnp.where(present, logits, -1e9), axis=-1)
    return jnp.where(present, part * present.sum(-1, keepdims=True).astype(part.dtype), 0.0)


def mean(experts: Float[Array, "B M O"], weight: Float[Array, "B M"]) -> Float[Array, "B O"]:
    """The weighted mean of the experts' outputs; zero where all weights are."""
    return (experts * weight[..., None]).sum(1) / jnp.maximum(weight.sum(1, keepdims=True), 1e-6)
