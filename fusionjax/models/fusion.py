"""Many modalities to one representation, with the weights that did it, behind one interface.

``fuse(tokens, present) -> Fused``. Equal weight and the softmax gate are the floors that a learned
fusion must beat.
"""

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float

from fusionjax.config import ModelConfig
from fusionjax.models.layers import RMSNorm, dense
from fusionjax.parallel.rules import constrain_batch
from fusionjax.types import Fused, Tokens


def pool(
    tokens: dict[str, Tokens], present: dict[str, Bool[Array, "B"]]
) -> tuple[Float[Array, "B M D"], Bool[Array, "B M"]]:
    """The mean of each modality's real tokens, and whether it has any (absent ones give zeros)."""
    pooled, shown = [], []
    for name, t in tokens.items():
        mask = t.mask & present[name][:, None]
        weight = mask[..., None].astype(jnp.float32)
        mean = (t.x.astype(jnp.float32) * weight).sum(1) / jnp.maximum(weight.sum(1), 1)
        pooled.append(mean.astype(t.x.dtype))
        shown.append(mask.any(1))
    return constrain_batch(jnp.stack(pooled, 1)), jnp.stack(shown, 1)


class EqualWeight(nn.Module):
    """The mean over the present modalities: weight 1 for each."""

    config: ModelConfig

    @nn.compact
    def __call__(self, tokens: dict[str, Tokens], present: dict[str, Bool[Array, "B"]]) -> Fused:
        h, shown = pool(tokens, present)
        return _combine(self.config, h, shown.astype(jnp.float32), shown)


class SoftmaxGate(nn.Module):
    """A gate reads all pooled modalities and shares out weight by a softmax over the present ones.

    Weights are scaled to sum to the number of present modalities, so that 1 means an equal share.
    """

    config: ModelConfig

    @nn.compact
    def __call__(self, tokens: dict[str, Tokens], present: dict[str, Bool[Array, "B"]]) -> Fused:
        h, shown = pool(tokens, present)
        flat = RMSNorm(name="gate_norm")(h).reshape(h.shape[0], -1)
        logits = dense(self.config, h.shape[1], "gate")(flat).astype(jnp.float32)
        share = nn.softmax(jnp.where(shown, logits, -1e9), axis=-1)
        count = shown.sum(-1, keepdims=True).astype(jnp.float32)
        return _combine(self.config, h, share * count, shown)


_FUSIONS: dict[str, type[nn.Module]] = {"equal": EqualWeight, "softmax_gate": SoftmaxGate}


def fusion(config: ModelConfig, name: str) -> nn.Module:
    """The fusion that ``config.model.fusion`` names."""
    return _FUSIONS[config.fusion](config, name=name)


def _combine(
    config: ModelConfig,
    h: Float[Array, "B M D"],
    weight: Float[Array, "B M"],
    shown: Bool[Array, "B M"],
) -> Fused:
    """Normalises each modality, takes the weighted mean over the present ones, and mixes features.

    With nothing present the result is zero, and the heads then say the base rate.
    """
    h = RMSNorm(name="norm")(h)
    count = jnp.maximum(shown.sum(-1, keepdims=True), 1).astype(h.dtype)
    mean = (h * weight[..., None].astype(h.dtype)).sum(1) / count
    y = dense(config, config.mlp_ratio * config.width, "mlp_in", bias=False)(mean)
    z = mean + dense(config, config.width, "mlp_out", bias=False)(nn.gelu(y))
    return Fused(z, weight, jnp.ones(h.shape[1:], jnp.float32))
