"""Selects modalities and weighs features by their effect on the meta set's loss."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def eliminate(
    loss_of: Callable[[Float[Array, "M"], Float[Array, "M"]], Float[Array, "N"]],
    modality_mask: Float[Array, "M"],
    session: Int[Array, "N"],
    margin: float,
) -> tuple[Float[Array, "M"], Float[Array, "M"], Float[Array, "M"]]:
    """Backward elimination: drops the least useful modality until all that remain are needed.

    A modality is needed if three conditions hold. The meta loss is higher without it, by more
    than ``margin`` standard errors, clustered by session. It is as much higher with the modality
    of another sample in its place: noise may help merely by damping the others. And the later
    half of the meta set does not contradict this by more than a standard error: an effect that
    fades within the meta set is of no use later. The last modality always stays.

    Args:
      loss_of: ``loss_of(used, swapped)``: loss of each meta sample with only the modalities that
        are 1 in ``used``, those that are 1 in ``swapped`` taken from another sample.
      modality_mask: where to start, 1 or 0.
      session: which session each sample belongs to, in [0, N), in time order.
      margin: standard errors.

    Returns:
      The mask of what is kept; each modality's worth when last tested: the rise of the mean loss
      without it or with another sample's, whichever is smaller; and its standard error.
    """
    count = modality_mask.shape[0]
    others = 1.0 - jnp.eye(count)
    late = (session > session.max() // 2).astype(jnp.float32)

    def measure(modality_mask: Array) -> tuple[Array, Array, Array, Array]:
        none = jnp.zeros(count)
        base = loss_of(modality_mask, none)[None]
        without = jax.vmap(loss_of, in_axes=(0, None))(modality_mask[None] * others, none) - base
        swapped = jax.vmap(loss_of, in_axes=(None, 0))(modality_mask, 1.0 - others) - base
        smaller = without.mean(1, keepdims=True) < swapped.mean(1, keepdims=True)
        rise = jnp.where(smaller, without, swapped)
        all_rows = jnp.ones(rise.shape[1])
        return *_mean_error(rise, all_rows, session), *_mean_error(rise, late, session)

    def drop_one(_: Array, carry: tuple) -> tuple:
        modality_mask, worth, error = carry
        new_worth, new_error, recent, recent_error = measure(modality_mask)
        worth = jnp.where(modality_mask > 0, new_worth, worth)
        error = jnp.where(modality_mask > 0, new_error, error)
        excess = jnp.minimum(new_worth - margin * new_error, recent + recent_error)
        excess = jnp.where(modality_mask > 0, excess, jnp.inf)
        drop = (excess.min() <= 0) & (modality_mask.sum() > 1)
        least_useful = jax.nn.one_hot(excess.argmin(), count)
        return jnp.where(drop, modality_mask * (1 - least_useful), modality_mask), worth, error

    zero = jnp.zeros(count)
    return jax.lax.fori_loop(0, count, drop_one, (modality_mask, zero, zero))


def _mean_error(
    x: Float[Array, "M N"], weight: Float[Array, "N"], session: Int[Array, "N"]
) -> tuple[Float[Array, "M"], Float[Array, "M"]]:
    """Weighted means and their standard errors, clustered by session."""
    total = jnp.maximum(weight.sum(), 1)
    mean = (x * weight[None]).sum(1) / total
    deviation = (x - mean[:, None]) * weight[None]
    days = jax.vmap(lambda row: jax.ops.segment_sum(row, session, x.shape[1]))(deviation)
    return mean, jnp.sqrt(jnp.square(days).sum(1)) / total


def feature_weights(kappa: Float[Array, "N M D"], cost: float) -> Float[Array, "M D"]:
    """Weights from 0 to 1, by the rise of the meta set's loss without each feature.

    ``v / (v + cost/D)``, relative to the modality's best feature. v is the loss rise when a feature
    goes, to second order in its gain: ``E[κ'] + E[κ²]/2``, the squared slope standing for the
    curvature (Fisher; as in optimal brain damage, LeCun et al., 1990). κ' is the slope at the
    common scale of all features that suits the meta set best: ``E[κ'] = E[κ] - s·E[κ·Σκ]`` with
    ``s = E[Σκ] / E[(Σκ)²]``, one Newton step. A feature by which noise was fitted has v < 0 and
    gets 0; a modality none of whose features has v > 0 keeps them all.

    Args:
      kappa: contributions of the meta samples, see ``contribution.contributions``.
      cost: loss reduction in nats at which a modality's features together get half weight.
    """
    total = kappa.sum((1, 2), keepdims=True)
    scale_step = total.mean() / jnp.maximum((total**2).mean(), 1e-12)
    slope = kappa.mean(0) - scale_step * (kappa * total).mean(0)
    worth = jnp.maximum(slope + (kappa**2).mean(0) / 2, 0.0)
    weight = worth / (worth + cost / kappa.shape[2])
    best = weight.max(1, keepdims=True)
    return jnp.where(best > 0, weight / jnp.maximum(best, 1e-12), 1.0)
