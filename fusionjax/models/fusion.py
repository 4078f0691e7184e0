"""Many modalities to one forecast, with the weights that did it, behind one interface.

``fuse(encoded) -> Fused``. ``Distilled`` is ours; the others are the fusions it must beat.
docs/fusion.md has the method, its sources and the comparison.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Bool, Float

from fusionjax.config import Config
from fusionjax.models.heads import output_size
from fusionjax.models.layers import RMSNorm, dense
from fusionjax.parallel.rules import constrain_batch
from fusionjax.types import Encoded, Fused, Tokens

CLUES = ("typicality", "entropy", "disagreement")
_APART = 1e-4  # of squared outputs: closer experts agree, and noise in them is not magnified


def pool(
    tokens: dict[str, Tokens], present: dict[str, Bool[Array, "B"]]
) -> tuple[Float[Array, "B M D"], Bool[Array, "B M"], Float[Array, "B M"]]:
    """The mean of each modality's real tokens, whether it has any, and its input's energy.

    Absent ones give zeros, whatever they hold.
    """
    pooled, shown, loud = [], [], []
    for name, t in tokens.items():
        mask = t.mask & present[name][:, None]
        here = mask.any(1)
        x = jnp.where(mask[..., None], t.x.astype(jnp.float32), 0.0)
        mean = x.sum(1) / jnp.maximum(mask.sum(1, keepdims=True), 1).astype(jnp.float32)
        pooled.append(mean.astype(t.x.dtype))
        shown.append(here)
        loud.append(jnp.where(here, t.energy, 0.0))
    return constrain_batch(jnp.stack(pooled, 1)), jnp.stack(shown, 1), jnp.stack(loud, 1)


class _Fusion(nn.Module):
    """What all fusions share: normalised inputs, a readout to the heads, experts."""

    config: Config
    deterministic: bool

    def _normed(self, e: Encoded) -> Float[Array, "B M D"]:
        h = RMSNorm(name="norm")(e.h)
        if e.gain is not None:
            h = h * e.gain.astype(h.dtype)
        return jnp.where(e.shown[..., None], h, jnp.zeros((), h.dtype))

    def _drop(self, x: Array) -> Array:
        return nn.Dropout(self.config.model.dropout, deterministic=self.deterministic)(x)

    def _readout(self, z: Float[Array, "B K"]) -> Float[Array, "B O"]:
        z = RMSNorm(name="readout_norm")(constrain_batch(z).astype(jnp.float32))
        z = self._drop(z)
        return nn.Dense(
            output_size(self.config.targets), name="readout", kernel_init=nn.initializers.zeros
        )(z)

    def _mix(self, h: Array, weight: Array, shown: Array) -> Float[Array, "B O"]:
        """Weighted mean over the present modalities, feature mixing, heads."""
        c = self.config.model
        count = jnp.maximum(shown.sum(-1, keepdims=True), 1).astype(h.dtype)
        mean = (h * weight[..., None].astype(h.dtype)).sum(1) / count
        y = dense(c, c.mlp_ratio * c.width, "mlp_in", bias=False)(mean)
        return self._readout(mean + dense(c, c.width, "mlp_out", bias=False)(nn.gelu(y)))

    def _joint(self, h: Float[Array, "B M D"]) -> Float[Array, "B O"]:
        """All modalities side by side through one hidden layer: sees interactions."""
        c = self.config.model
        y = dense(c, c.mlp_ratio * c.width, "mlp_in", bias=False)(h.reshape(len(h), -1))
        return self._readout(nn.gelu(y))

    def _experts(self, h: Float[Array, "B M D"], shown: Array) -> Float[Array, "B M O"]:
        """A linear head a modality; zero where it is absent."""
        size = output_size(self.config.targets)
        kernel = self.param(
            "expert_kernel", nn.initializers.zeros, (*h.shape[1:], size), jnp.float32
        )
        bias = self.param("expert_bias", nn.initializers.zeros, (h.shape[1], size), jnp.float32)
        said = jnp.einsum("bmd,mdo->bmo", self._drop(h.astype(jnp.float32)), kernel) + bias[None]
        return jnp.where(shown[..., None], said, 0.0)

    def _entropy(self, experts: Float[Array, "B M O"]) -> Float[Array, "B M"]:
        """Of the first direction horizon's classes, as a share of the most there can be."""
        k = len(self.config.targets.classes)
        log_p = jax.nn.log_softmax(experts[..., :k])
        return -(jnp.exp(log_p) * log_p).sum(-1) / np.float32(np.log(k))

    def _fused(
        self,
        e: Encoded,
        outputs: Array,
        weight: Array,
        experts: Array | None = None,
    ) -> Fused:
        feature = jnp.ones(e.h.shape[1:], jnp.float32)
        return Fused(outputs, weight, feature, e.shown, experts, None)


class EqualWeight(_Fusion):
    """The mean over the present modalities: weight 1 for each."""

    @nn.compact
    def __call__(self, e: Encoded) -> Fused:
        h, weight = self._normed(e), e.shown.astype(jnp.float32)
        return self._fused(e, self._mix(h, weight, e.shown), weight)


class Concat(_Fusion):
    """All modalities side by side through a perceptron; the absent ones are zeros."""

    @nn.compact
    def __call__(self, e: Encoded) -> Fused:
        h = self._normed(e)
        return self._fused(e, self._joint(h), e.shown.astype(jnp.float32))


class SoftmaxGate(_Fusion):
    """A gate reads all modalities and shares out weight by a softmax over the present ones.

    Weights are scaled to sum to the number of present modalities, so that 1 means an equal share.
    """

    @nn.compact
    def __call__(self, e: Encoded) -> Fused:
        h = self._normed(e)
        logits = dense(self.config.model, h.shape[1], "gate")(h.reshape(len(h), -1))
        weight = _share(logits.astype(jnp.float32), e.shown)
        return self._fused(e, self._mix(h, weight, e.shown), weight)


class AttentionGate(_Fusion):
    """A learned query attends to the modalities (Bahdanau et al., 2015); weights as in the gate."""

    @nn.compact
    def __call__(self, e: Encoded) -> Fused:
        c, h = self.config.model, self._normed(e)
        key = dense(c, c.width, "key")(h).astype(jnp.float32)
        query = self.param("query", nn.initializers.normal(1.0), (c.width,), jnp.float32)
        logits = jnp.tanh(key) @ query / np.float32(np.sqrt(c.width))
        weight = _share(logits, e.shown)
        return self._fused(e, self._mix(h, weight, e.shown), weight)


class Late(_Fusion):
    """The mean of what the present modalities say alone."""

    @nn.compact
    def __call__(self, e: Encoded) -> Fused:
        h, weight = self._normed(e), e.shown.astype(jnp.float32)
        experts = self._experts(h, e.shown)
        return self._fused(e, _mean(experts, weight), weight, experts)


class Confidence(_Fusion):
    """Late fusion of the modalities that are sure of the direction; of all where none is."""

    @nn.compact
    def __call__(self, e: Encoded) -> Fused:
        h = self._normed(e)
        experts = self._experts(h, e.shown)
        best = jax.nn.softmax(experts[..., : len(self.config.targets.classes)]).max(-1)
        sure = e.shown & (best >= self.config.model.confidence_threshold)
        weight = jnp.where(sure.any(1, keepdims=True), sure, e.shown).astype(jnp.float32)
        return self._fused(e, _mean(experts, weight), weight, experts)


class OnTheFly(_Fusion):
    """A sum of linear parts, whose encoders the step slows where they lead.

    OGM-GE (Peng et al., 2022); see ``distill/rivals.py`` for the modulation.
    """

    @nn.compact
    def __call__(self, e: Encoded) -> Fused:
        h, weight = self._normed(e), e.shown.astype(jnp.float32)
        experts = self._experts(h, e.shown)
        return self._fused(e, experts.sum(1), weight, experts)


class QualityAware(_Fusion):
    """Late fusion weighted by each modality's energy score, log Σ exp of its logits.

    QMF (Zhang et al., 2023, eq. 7); its ranking loss is in ``distill/rivals.py``.
    """

    @nn.compact
    def __call__(self, e: Encoded) -> Fused:
        h = self._normed(e)
        experts = self._experts(h, e.shown)
        score = jax.nn.logsumexp(experts[..., : len(self.config.targets.classes)], axis=-1)
        weight = jnp.where(e.shown, jax.lax.stop_gradient(nn.softplus(score)), 0.0)
        return self._fused(e, (experts * weight[..., None]).sum(1), weight, experts)


class Weights(nn.Module):
    """φ: what the anchor teaches. At its start every weight is 1.

    Parameters: β [M] (modality), r [M, X] (rater), b_j (joint). The weight of modality m in sample
    b is ``2σ(β_m + r_m·clues[b,m])``, that of the joint path ``2σ(b_j)``.
    """

    @nn.compact
    def __call__(
        self, clues: Float[Array, "B M X"], shown: Bool[Array, "B M"]
    ) -> tuple[Float[Array, "B M"], Float[Array, ""]]:
        count = clues.shape[1]

        def phi(name: str, shape: tuple[int, ...]) -> Array:
            return self.param(name, nn.initializers.zeros, shape, jnp.float32)

        beta, rater = phi("modality", (count,)), phi("rater", (count, len(CLUES)))
        logit = beta[None] + jnp.einsum("bmx,mx->bm", clues, rater)
        weight = jnp.where(shown, 2 * jax.nn.sigmoid(logit), 0.0)
        return weight, 2 * jax.nn.sigmoid(phi("joint", ()))


class Distilled(_Fusion):
    """Distillation-weighted fusion: a joint path and a late one, weighted by what later data say.

    ``2σ(b_j)·MLP(concat w·g·h) + Σ w·sg(expert(g·h)) / E[present]`` (docs/fusion.md). Modalities
    that elimination dropped (``kept`` = 0) count as absent, exactly; ``feature`` is g. With nobody
    there the readout's bias is left: the base rate.
    """

    @nn.compact
    def __call__(self, e: Encoded) -> Fused:
        m = e.h.shape[1]
        ones, zeros = nn.initializers.ones, nn.initializers.zeros
        kept = self.param("kept", ones, (m,), jnp.float32)
        centre = self.param("clue_mean", zeros, (m, len(CLUES)), jnp.float32)
        spread = self.param("clue_std", ones, (m, len(CLUES)), jnp.float32)
        share = self.param("presence", ones, (m,), jnp.float32)
        feature = self.param("feature", ones, e.h.shape[1:], jnp.float32)
        h = self._normed(e) * feature[None].astype(e.h.dtype)
        experts = self._experts(h, e.shown)
        # In training the experts learn from their own loss alone; a diagnosis looks through them.
        said = experts if self.deterministic else jax.lax.stop_gradient(experts)
        used = e.shown & (kept > 0)[None]
        clues = jax.lax.stop_gradient(self._clues(e, said, used))
        read = jnp.clip((clues - centre[None]) / jnp.maximum(spread, 1e-3)[None], -4, 4)
        weight, joint = Weights(name="weights")(jnp.where(e.shown[..., None], read, 0.0), used)
        late = (weight[..., None] * said).sum(1)
        # How many of the kept modalities a sample has on average: a missing one says nothing, it
        # does not make the others louder.
        late = late / jnp.maximum(share.sum(), 1.0)
        outputs = joint * self._joint(h * weight[..., None].astype(h.dtype)) + late
        return Fused(outputs, weight, feature, e.shown, experts, clues)

    def _clues(
        self, e: Encoded, said: Float[Array, "B M O"], used: Bool[Array, "B M"]
    ) -> Float[Array, "B M X"]:
        """How loud the input is, how unsure its expert, and how far from the mean of those used."""
        mean = _mean(said, used.astype(jnp.float32))
        apart = jnp.log(jnp.square(said - mean[:, None]).mean(-1) + _APART)
        return jnp.stack([e.energy, self._entropy(said), apart], -1)


_FUSIONS: dict[str, type[_Fusion]] = {
    "distilled": Distilled,
    "equal": EqualWeight,
    "concat": Concat,
    "late": Late,
    "softmax_gate": SoftmaxGate,
    "attention_gate": AttentionGate,
    "confidence": Confidence,
    "ogm_ge": OnTheFly,
    "qmf": QualityAware,
}


def fusion(config: Config, deterministic: bool) -> nn.Module:
    """The fusion that ``config.model.fusion`` names."""
    return _FUSIONS[config.model.fusion](config, deterministic)


def _share(logits: Float[Array, "B M"], shown: Bool[Array, "B M"]) -> Float[Array, "B M"]:
    share = nn.softmax(jnp.where(shown, logits, -1e9), axis=-1)
    return jnp.where(shown, share * shown.sum(-1, keepdims=True).astype(share.dtype), 0.0)


def _mean(experts: Float[Array, "B M O"], weight: Float[Array, "B M"]) -> Float[Array, "B O"]:
    return (experts * weight[..., None]).sum(1) / jnp.maximum(weight.sum(1, keepdims=True), 1e-6)
