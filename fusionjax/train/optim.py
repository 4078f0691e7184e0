"""The optimiser: clipped AdamW, warm-up and cosine, with layer groups that can be frozen."""

import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from fusionjax.config import Config
from fusionjax.distill import weights
from fusionjax.errors import InputError
from fusionjax.parallel.rules import path_name


def schedule(config: Config) -> optax.Schedule:
    """Learning rate by step: linear warm-up to the peak, cosine to zero at ``train.steps``."""
    t = config.train
    return optax.warmup_cosine_decay_schedule(
        0.0, t.learning_rate, t.warmup_steps, max(t.steps, t.warmup_steps + 1)
    )


def optimiser(config: Config) -> optax.GradientTransformation:
    """AdamW (Loshchilov & Hutter, 2019). Frozen parameters get neither gradient nor decay."""
    t = config.train
    frozen = t.frozen + (weights.OWN if config.model.fusion == "distilled" else ())
    return optax.chain(
        _freeze(frozen),  # before clipping: what is frozen must not shrink the rest
        optax.clip_by_global_norm(t.clip_norm),
        optax.adamw(schedule(config), weight_decay=t.weight_decay, mask=decayed),
        _slow_down("/bert/", t.pretrained_rate),
        _freeze(frozen),  # and after: no decay either
    )


def decayed(params: Any) -> Any:
    """Which parameters decay: matrices, by name, as scanned norms and biases have 2 axes too."""
    return jax.tree_util.tree_map_with_path(
        lambda path, _: path_name(path).endswith(("kernel", "embedding", "positions")), params
    )


def _slow_down(part: str, rate: float) -> optax.GradientTransformation:
    """Scales the updates of the parameters whose path holds ``part``."""

    def update(updates: Any, _: Any = None) -> Any:
        return jax.tree_util.tree_map_with_path(
            lambda p, u: u * np.float32(rate) if part in path_name(p) else u, updates
        )

    return optax.stateless(update)


def _freeze(patterns: tuple[str, ...]) -> optax.GradientTransformation:
    """Zeroes the updates of matching parameters; the state keeps its shape, so checkpoints fit.

    Raises (on use):
      InputError: a pattern matches no parameter.
    """

    def update(updates: Any, state: optax.EmptyState, params: Any = None) -> tuple[Any, Any]:
        del params
        names = [path_name(p) for p, _ in jax.tree_util.tree_leaves_with_path(updates)]
        for pattern in patterns:
            if not any(re.match(pattern, n) for n in names):
                groups = sorted({n.split("/")[0] for n in names})
                raise InputError(
                    f"frozen pattern {pattern!r} matches no parameter; top-level "
                    f"groups are {', '.join(groups)}"
                )
        return jax.tree_util.tree_map_with_path(
            lambda p, u: (
                jnp.zeros_like(u) if any(re.match(x, path_name(p)) for x in patterns) else u
            ),
            updates,
        ), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)
