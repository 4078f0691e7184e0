"""On-device checks of every update, without a host round trip.

A non-finite update is not applied, and neither is any later one until the host clears the flag:
the state stays as the failing step found it, so that it can be debugged. An update with an
unusually large gradient is skipped, and the run goes on.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool

from fusionjax.config import GuardConfig
from fusionjax.train.state import Guard

_STD_OVER_MAD = np.float32(1.4826)  # standard deviation over median absolute deviation, normal
_MIN_DEVIATION = np.float32(
    0.05
)  # of the log norm, or equal gradients would make every other one an outlier


def judge(
    guard: Guard, loss: Array, norm: Array, finite: Array, config: GuardConfig
) -> tuple[Guard, Bool[Array, ""], Bool[Array, ""]]:
    """Decides whether an update is applied.

    Args:
      guard: after the previous update.
      loss: of the batch.
      norm: of the gradient.
      finite: whether loss, gradients and new parameters are all finite.
      config: thresholds.

    Returns:
      The new guard, whether the step counts, and whether its update is applied.
    """
    advances = finite & ~guard.halted
    log_norm = jnp.log(jnp.maximum(norm, 1e-30))
    applied = advances
    if config.grad_norm_zscore > 0:
        median = jnp.median(guard.norms)
        deviation = jnp.maximum(
            _STD_OVER_MAD * jnp.median(jnp.abs(guard.norms - median)), _MIN_DEVIATION
        )
        spiked = (guard.count >= config.window) & (
            log_norm > median + np.float32(config.grad_norm_zscore) * deviation
        )
        applied = advances & ~(spiked & (guard.in_row < config.max_consecutive_skips))
    slot = guard.count % config.window
    updated = Guard(
        losses=guard.losses.at[slot].set(loss),
        norms=guard.norms.at[slot].set(log_norm),
        count=guard.count + 1,
        skipped=guard.skipped + (~applied).astype(jnp.int32),
        in_row=jnp.where(applied, 0, guard.in_row + 1),
        halted=guard.halted,
        rate=guard.rate,
    )
    guard = jax.tree.map(lambda new, old: jnp.where(advances, new, old), updated, guard)
    return dataclasses.replace(guard, halted=~advances), advances, applied


def after_rollback(guard: Guard, factor: float) -> Guard:
    """The guard of a restored state: an empty window, a lower learning rate, not halted."""
    return dataclasses.replace(
        guard,
        losses=jnp.zeros_like(guard.losses),
        norms=jnp.zeros_like(guard.norms),
        count=jnp.zeros_like(guard.count),
        in_row=jnp.zeros_like(guard.in_row),
        halted=jnp.zeros_like(guard.halted),
        rate=guard.rate * np.float32(factor),
    )


def select(applied: Bool[Array, ""], new: Any, old: Any, advances: Bool[Array, ""]) -> Any:
    """``new`` if ``applied``, else ``old``; counters are new wherever the step counts."""
    return jax.tree.map(
        lambda n, o: jnp.where(advances if _is_counter(n) else applied, n, o), new, old
    )


def counters(state: Any) -> list[Array]:
    """The counters of a state: its step, its optimisers' steps and its guard's counts."""
    return [x for x in jax.tree.leaves(state) if _is_counter(x)]


def with_counters(state: Any, values: list[Array]) -> Any:
    """``state`` with the counters of another, as ``counters`` gives them."""
    remaining = iter(values)
    return jax.tree.map(lambda x: next(remaining) if _is_counter(x) else x, state)


def _is_counter(x: Array) -> bool:
    return x.ndim == 0 and bool(jnp.issubdtype(x.dtype, jnp.integer))
