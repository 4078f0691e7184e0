"""Fusion "distilled", the method of this project (docs/fusion.md)."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float

from fusionjax.config import Config
from fusionjax.models.average import running_mean
from fusionjax.models.fusions.base import Fusion, mean
from fusionjax.registry import FUSIONS
from fusionjax.types import Encoded, Fused

QUALITY_FEATURES = ("typicality", "entropy", "disagreement")
_MIN_DISTANCE = 1e-4  # added to squared distances before the log
_DECAY = 0.98  # of the running mean and spread of the quality features


class Weights(nn.Module):
    """The weights φ, which learn from the meta set alone. Initially every weight is 1.

    Parameters: β [M] (modality), r [M, X] (quality head), b_j (joint). The weight of modality m in
    sample b is ``2σ(β_m + r_m·quality[b,m])``, that of the joint path ``2σ(b_j)``.
    """

    @nn.compact
    def __call__(
        self, quality: Float[Array, "B M X"], present: Bool[Array, "B M"]
    ) -> tuple[Float[Array, "B M"], Float[Array, ""]]:
        count = quality.shape[1]

        def phi(name: str, shape: tuple[int, ...]) -> Array:
            return self.param(name, nn.initializers.zeros, shape, jnp.float32)

        beta, quality_head = phi("modality", (count,)), phi("rater", (count, len(QUALITY_FEATURES)))
        logit = beta[None] + jnp.einsum("bmx,mx->bm", quality, quality_head)
        weight = jnp.where(present, 2 * jax.nn.sigmoid(logit), 0.0)
        return weight, 2 * jax.nn.sigmoid(phi("joint", ()))


@FUSIONS.register("distilled")
class Distilled(Fusion):
    """Distillation-weighted fusion: a joint and a late path; the weights learn from later data.

    ``2σ(b_j)·MLP(concat w·g·h) + Σ w·sg(expert(g·h)) / E[present]`` (docs/fusion.md). Modalities
    that elimination dropped (``kept`` = 0) count as absent, exactly; ``feature`` is g. Where no
    modality is present, the output is the readout's bias: the base rate.
    """

    learns_weights = True
    # Not updated by training rows: φ learns from the meta set, the rest are running statistics and
    # the outcome of the elimination.
    frozen = ("fusion/weights/.*", "fusion/(kept|feature)", "fusion/(presence|clue_(mean|std))")

    @nn.compact
    def __call__(self, e: Encoded) -> Fused:
        m = e.h.shape[1]
        ones, zeros = nn.initializers.ones, nn.initializers.zeros
        modality_mask = self.param("kept", ones, (m,), jnp.float32)
        centre = self.param("clue_mean", zeros, (m, len(QUALITY_FEATURES)), jnp.float32)
        spread = self.param("clue_std", ones, (m, len(QUALITY_FEATURES)), jnp.float32)
        share = self.param("presence", ones, (m,), jnp.float32)
        feature = self.param("feature", ones, e.h.shape[1:], jnp.float32)
        h = self._normed(e) * feature[None].astype(e.h.dtype)
        experts = self._experts(h, e.present)
        # In training no gradient flows from the fused loss into the experts; diagnoses do
        # differentiate through them.
        expert_outputs = experts if self.deterministic else jax.lax.stop_gradient(experts)
        used = e.present & (modality_mask > 0)[None]
        quality = jax.lax.stop_gradient(self._quality(e, expert_outputs, used))
        scaled = jnp.clip((quality - centre[None]) / jnp.maximum(spread, 1e-3)[None], -4, 4)
        weight, joint = Weights(name="weights")(jnp.where(e.present[..., None], scaled, 0.0), used)
        late = (weight[..., None] * expert_outputs).sum(1)
        # Divided by the mean number of kept modalities a sample, not by this sample's number: the
        # scale of the others must not depend on which are missing.
        late = late / jnp.maximum(share.sum(), 1.0)
        outputs = joint * self._joint(h * weight[..., None].astype(h.dtype)) + late
        return Fused(outputs, weight, feature, e.present, experts, quality)

    def _quality(
        self, e: Encoded, expert_outputs: Float[Array, "B M O"], used: Bool[Array, "B M"]
    ) -> Float[Array, "B M X"]:
        """Log input energy, entropy of the expert, log squared distance to the mean expert."""
        centre = mean(expert_outputs, used.astype(jnp.float32))
        distance = jnp.log(jnp.square(expert_outputs - centre[:, None]).mean(-1) + _MIN_DISTANCE)
        return jnp.stack([e.energy, self._entropy(expert_outputs), distance], -1)

    @staticmethod
    def soft_labels(config: Config) -> float:
        return config.distill.soft_labels

    @staticmethod
    def observe(params: Any, fused: Fused) -> tuple[Array, Array, Array, Array]:
        """Rows; count, sum and sum of squares of the quality features of present modalities.

        Sums are centred on the running mean, to limit rounding errors in the variance.
        """
        assert fused.quality is not None
        present = fused.present.astype(jnp.float32)[..., None]
        centred = (fused.quality - params["fusion"]["clue_mean"][None]) * present
        rows = jnp.full((), present.shape[0], jnp.float32)
        return rows, present.sum(0), centred.sum(0), (centred**2).sum(0)

    @staticmethod
    def after_step(
        params: Any, observed: tuple[Array, Array, Array, Array], step: Array, config: Config
    ) -> Any:
        """Updates running mean and standard deviation, which standardise the quality features."""
        if config.distill.refit_fraction >= 1:
            return params  # fine-tuning keeps its parent's statistics, as it keeps the weights
        rows, count, total, squares = observed
        centre = total / jnp.maximum(count, 1)
        std = jnp.sqrt(jnp.maximum(squares / jnp.maximum(count, 1) - centre**2, 1e-4))
        fusion = params["fusion"]
        new = {
            # A modality that is absent from the whole batch keeps its statistics.
            "clue_mean": jnp.where(count > 0, fusion["clue_mean"] + centre, fusion["clue_mean"]),
            "clue_std": jnp.where(count > 0, std, fusion["clue_std"]),
            "presence": count[:, 0] / rows * fusion["kept"],
        }
        old = {k: fusion[k] for k in new}
        return {**params, "fusion": {**fusion, **running_mean(old, new, step, _DECAY)}}
