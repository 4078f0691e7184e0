"""Backward elimination: drops, exactly, what the anchor does not miss."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def eliminate(
    loss_of: Callable[[Float[Array, "M"]], Float[Array, "N"]],
    kept: Float[Array, "M"],
    session: Int[Array, "N"],
    margin: float,
) -> tuple[Float[Array, "M"], Float[Array, "M"], Float[Array, "M"]]:
    """Drops the least useful modality again and again, while its loss is not missed.

    A modality is missed if the anchor loss without it is higher by more than ``margin`` standard
    errors, clustered by session. The last one always stays.

    Args:
      loss_of: loss of every anchor sample when only the modalities with 1 are used.
      kept: where to start, 1 or 0.
      session: which session each sample belongs to, in [0, N).
      margin: standard errors.

    Returns:
      What is kept, what each modality was worth when last asked (the rise of the mean loss without
      it), and the standard error of that.
    """
    count = kept.shape[0]
    others = 1.0 - jnp.eye(count)

    def ask(kept: Array) -> tuple[Array, Array]:
        rise = jax.vmap(loss_of)(kept * others) - loss_of(kept)[None]
        days = jax.vmap(lambda r: jax.ops.segment_sum(r, session, rise.shape[1]))(
            rise - rise.mean(1, keepdims=True)
        )
        return rise.mean(1), jnp.sqrt(jnp.square(days).sum(1)) / rise.shape[1]

    def drop_one(_: Array, carry: tuple) -> tuple:
        kept, worth, error = carry
        new_worth, new_error = ask(kept)
        worth = jnp.where(kept > 0, new_worth, worth)
        error = jnp.where(kept > 0, new_error, error)
        excess = jnp.where(kept > 0, new_worth - margin * new_error, jnp.inf)
        drop = (excess.min() <= 0) & (kept.sum() > 1)
        least = jax.nn.one_hot(excess.argmin(), count)
        return jnp.where(drop, kept * (1 - least), kept), worth, error

    zero = jnp.zeros(count)
    return jax.lax.fori_loop(0, count, drop_one, (kept, zero, zero))
