"""What an update must pass before it is made: on the device, in the step, asked by no host.

A non-finite update is never made, and from then on nothing moves until the host has seen
it: the state stays the one that the failing step began with, so that it can be looked into. One
whose gradient stands out is skipped, and the run goes on.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool

from fusionjax.config import GuardConfig
from fusionjax.train.state import Guard

_NORMAL = np.float32(1.4826)  # of a normal distribution: its deviation over its median one
_LEAST = np.float32(0.05)  # a deviation of the log norm: gradients all alike are no yardstick


def judge(
    guard: Guard, loss: Array, norm: Array, finite: Array, config: GuardConfig
) -> tuple[Guard, Bool[Array, ""], Bool[Array, ""]]:
    """Looks at an update before it is made.

    Args:
      guard: as the update before left it.
      loss: of the batch.
      norm: of the gradient.
      finite: whether all that the update is made of is a number.
      config: thresholds.

    Returns:
      The guard, whether the step counts, and whether its update is made.
    """
    moves = finite & ~guard.halted
    log_norm = jnp.log(jnp.maximum(norm, 1e-30))
    takes = moves
    if config.grad_norm_zscore > 0:
        middle = jnp.median(guard.norms)
        spread = jnp.maximum(_NORMAL * jnp.median(jnp.abs(guard.norms - middle)), _LEAST)
        spiked = (guard.count >= config.window) & (
            log_norm > middle + np.float32(config.grad_norm_zscore) * spread
        )
        takes = moves & ~(spiked & (guard.in_row < config.max_consecutive_skips))
    at = guard.count % config.window
    seen = Guard(
        losses=guard.losses.at[at].set(loss),
        norms=guard.norms.at[at].set(log_norm),
        count=guard.count + 1,
        skipped=guard.skipped + (~takes).astype(jnp.int32),
        in_row=jnp.where(takes, 0, guard.in_row + 1),
        halted=guard.halted,
        rate=guard.rate,
    )
    guard = jax.tree.map(lambda new, old: jnp.where(moves, new, old), seen, guard)
    return dataclasses.replace(guard, halted=~moves), moves, takes


def slowed(guard: Guard, factor: float) -> Guard:
    """The guard of a state that goes back: nothing seen, a lower learning rate, free to move."""
    return dataclasses.replace(
        guard,
        losses=jnp.zeros_like(guard.losses),
        norms=jnp.zeros_like(guard.norms),
        count=jnp.zeros_like(guard.count),
        in_row=jnp.zeros_like(guard.in_row),
        halted=jnp.zeros_like(guard.halted),
        rate=guard.rate * np.float32(factor),
    )


def chosen(take: Bool[Array, ""], new: Any, old: Any, moves: Bool[Array, ""]) -> Any:
    """``new`` if ``take``, else ``old``; but counters follow the steps, made or skipped."""
    return jax.tree.map(lambda n, o: jnp.where(moves if _counts(n) else take, n, o), new, old)


def counters(state: Any) -> list[Array]:
    """How far a state is: its step, those of its optimisers and what its guard counted."""
    return [x for x in jax.tree.leaves(state) if _counts(x)]


def with_counters(state: Any, of: list[Array]) -> Any:
    """``state`` as far as another: one that goes back in all but its steps."""
    rest = iter(of)
    return jax.tree.map(lambda x: next(rest) if _counts(x) else x, state)


def _counts(x: Array) -> bool:
    return x.ndim == 0 and bool(jnp.issubdtype(x.dtype, jnp.integer))
