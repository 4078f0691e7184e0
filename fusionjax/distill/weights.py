"""The fusion's weights φ: their place among the parameters, update steps and penalty."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

from fusionjax.config import Config, DistillConfig
from fusionjax.registry import FUSIONS


def get(params: Any) -> Any:
    """φ among all parameters."""
    return params["fusion"]["weights"]


def put(params: Any, phi: Any) -> Any:
    """All parameters with φ replaced."""
    return with_fusion(params, weights=phi)


def with_fusion(params: Any, **changes: Any) -> Any:
    """All parameters with some of the fusion's own replaced."""
    return {**params, "fusion": {**params["fusion"], **changes}}


def reset(phi: Any) -> Any:
    """φ at its initial value, except for the quality head, which stays valid."""
    return {k: v if k == "rater" else jnp.zeros_like(v) for k, v in phi.items()}


def silenced(params: Any) -> Any:
    """All parameters, where the joint path no longer reads modalities that are not kept.

    No forecast changes. One that comes back speaks through its expert alone, which has gone on
    learning; what the joint path once knew of it is of another encoder.
    """
    kept, kernel = params["fusion"]["kept"], params["fusion"]["mlp_in"]["kernel"]
    rows = jnp.repeat(kept > 0, kernel.shape[0] // kept.shape[0])[:, None]
    return with_fusion(params, mlp_in={"kernel": jnp.where(rows, kernel, 0)})


def with_kept(params: Any, kept: Float[Array, "M"], shown: Float[Array, "M"]) -> Any:
    """All parameters with other modalities kept.

    Args:
      params: as ``silenced`` returns them.
      kept: 1 or 0.
      shown: share of the samples that show each modality, for those that come in; their weights
        begin at 1.
    """
    fusion, phi = params["fusion"], get(params)
    comes = (kept > 0) & (fusion["kept"] == 0)
    presence = jnp.where(comes, shown, fusion["presence"]) * kept
    fresh = {
        "modality": jnp.where(comes, 0, phi["modality"]),
        "rater": jnp.where(comes[:, None], 0, phi["rater"]),
    }
    return with_fusion(params, kept=kept, presence=presence, weights={**phi, **fresh})


def are_learned(config: Config) -> bool:
    """Whether the fusion has weights that learn from a meta set."""
    return FUSIONS[config.model.fusion].learns_weights


def has_meta_set(config: Config) -> bool:
    """Whether this run trains fusion weights on a meta set; fine-tuning keeps its parent's."""
    return are_learned(config) and config.distill.refit_fraction < 1


def meta_fraction(config: Config) -> float:
    """Share of the training period's sessions in the meta set; 0 where no weights are learned."""
    return config.distill.meta_fraction if has_meta_set(config) else 0.0


def horizon(config: Config) -> int:
    """The longest horizon of the labels that the loss counts, in sessions."""
    heads = [head for head in config.targets.values() if head.weight > 0]
    return max((h for head in heads for h in head.horizons), default=1)


def refit_start(config: Config) -> int:
    """The step from which the weights are fixed and the meta set is trained on too."""
    return round(config.train.steps * (1 - config.distill.refit_fraction))


def elimination_step(config: Config) -> int:
    """The step before which modalities are dropped: half-way from the warm-up to the refit phase.

    The weights are updated further afterwards, to adapt to the remaining modalities.
    """
    end = refit_start(config)
    return (min(config.distill.warmup_steps, end) + end) // 2


def loss_changes(config: Config) -> list[int]:
    """The steps at which the training loss may jump: modalities are dropped, and the meta set's
    rows join the training rows."""
    return [elimination_step(config), refit_start(config)]


def is_update_step(config: Config, step: Int[Array, ""] | int) -> Bool[Array, ""] | bool:
    """Whether φ is updated in this step: every ``update_interval`` steps from warm-up to refit
    phase, and in each of the first ``initial_update_steps`` after warm-up and elimination."""
    d = config.distill
    since, after = step - d.warmup_steps, step - elimination_step(config)
    burst = (since < d.initial_update_steps) | ((after >= 0) & (after < d.initial_update_steps))
    updates = burst | (since % d.update_interval == 0)
    return (since >= 0) & updates & (step < refit_start(config))


def only_learned(grads: Any, distill: DistillConfig) -> Any:
    """Gradients of φ with those of unlearned parts set to zero, so that Adam never changes them."""
    return {k: g * jnp.float32(k in distill.learned) for k, g in grads.items()}


def optimiser(distill: DistillConfig) -> optax.GradientTransformation:
    """Adam for φ; its state is part of the run's state."""
    return optax.adam(distill.learning_rate)


def penalty(phi: Any, distill: DistillConfig, meta_sessions: float) -> Float[Array, ""]:
    """The penalty on modality weights, and a prior that pulls φ toward plain fusion.

    Step 2 of docs/fusion.md. Penalties are in nats of the meta loss. The prior is Gaussian; its
    strength falls with the number of *sessions* in the meta set: the stocks of one day share their
    noise and count as one.
    """
    d = distill
    cost = d.modality_penalty * jax.nn.sigmoid(phi["modality"]).sum()
    prior = (phi["modality"] ** 2).sum() / 8 + (phi["rater"] ** 2).sum() / 2 + phi["joint"] ** 2 / 8
    return cost + jnp.float32(d.prior_strength / max(meta_sessions, 1.0)) * prior
