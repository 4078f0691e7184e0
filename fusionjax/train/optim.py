"""The optimiser: clipped AdamW, warm-up and cosine, with layer groups that can be frozen."""

import math
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from fusionjax import streams
from fusionjax.config import Config, TrainConfig
from fusionjax.distill import weights
from fusionjax.errors import InputError
from fusionjax.parallel.rules import path_name
from fusionjax.registry import FUSIONS


def schedule(config: Config) -> optax.Schedule:
    """Learning rate by step: linear warm-up to the peak, cosine to zero at ``train.steps``.

    An extension is a warm restart (SGDR, Loshchilov & Hutter, 2017): cosine to zero from the rate
    at which the refit phase began, as an extension is more of that phase.
    """
    t = config.train
    end = max(t.steps, t.warmup_steps + 1)
    first = optax.warmup_cosine_decay_schedule(0.0, t.learning_rate, t.warmup_steps, end)
    if not t.extensions:
        return first
    share = max(weights.refit_start(config) - t.warmup_steps, 0) / (end - t.warmup_steps)
    restart = t.learning_rate * (1 + math.cos(math.pi * share)) / 2  # ``first`` at that step
    further = [optax.cosine_decay_schedule(restart, steps) for steps in t.extensions]
    return optax.join_schedules([first, *further], extension_starts(t))


def extension_starts(t: TrainConfig) -> list[int]:
    """The step at which each extension begins."""
    return [t.steps + sum(t.extensions[:i]) for i in range(len(t.extensions))]


def optimiser(config: Config) -> optax.GradientTransformationExtraArgs:
    """AdamW (Loshchilov & Hutter, 2019). Frozen parameters get neither gradient nor decay."""
    t = config.train
    gains = ("gain_.*",) if config.stacked_heads else ()  # set once, from later data
    frozen = t.frozen + FUSIONS[config.model.fusion].frozen + gains
    chain = optax.chain(
        _freeze(frozen),  # before clipping: what is frozen must not shrink the rest
        optax.clip_by_global_norm(t.clip_norm),
        optax.adamw(schedule(config), weight_decay=t.weight_decay, mask=decayed),
        _scale_rate("/bert/", t.pretrained_rate),
        _scale_rate("levels/", t.levels_rate),
        _freeze(frozen),  # and after: no decay either
        _at_rate(),
    )
    return low_rank(chain, t.lora_rank) if t.lora_rank else chain


def low_rank(
    inner: optax.GradientTransformationExtraArgs, rank: int
) -> optax.GradientTransformationExtraArgs:
    """Restricts the change of each matrix of the encoders' layers to a low rank.

    LoRA (Hu et al., 2022) as a transformation of gradients. With W = W₀ + D·U, ``inner`` gets
    dD = dW·Uᵀ and dU = Dᵀ·dW instead of dW, and the update of W is the change of D·U. The model
    and its checkpoints keep full matrices. D starts orthonormal, U at zero.

    Args:
      inner: optimiser of the factors and of all other parameters.
      rank: columns of D; at most the matrix's sides.
    """

    def adapted(path: Any, w: Any) -> bool:
        return path_name(path).endswith("kernel") and "/layers/" in path_name(path) and w.ndim == 3

    def factors(params: Any) -> Any:
        def split(path: Any, w: Any) -> Any:
            if not adapted(path, w):
                return None
            key = streams.key(0, f"low-rank factors of {path_name(path)}")
            thin = min(rank, *w.shape[1:])
            down = jax.random.orthogonal(key, w.shape[1], (w.shape[0],))[..., :thin]
            return {"down": down, "up": jnp.zeros((w.shape[0], thin, w.shape[2]))}

        return jax.tree_util.tree_map_with_path(split, params)

    def joined(rest: Any, own: Any) -> Any:
        """``rest`` with the factors in the matrices' place."""
        return jax.tree.map(lambda w, f: w if f is None else f, rest, own, is_leaf=_is_none)

    def init(params: Any) -> Any:
        own = factors(params)
        return own, inner.init(joined(params, own))

    def update(grads: Any, state: Any, params: Any, **extra: Any) -> tuple[Any, Any]:
        own, inner_state = state

        def to_factors(g: Any, f: Any) -> Any:
            if f is None:
                return g
            return {"down": g @ f["up"].mT, "up": f["down"].mT @ g}

        thin = jax.tree.map(to_factors, grads, own, is_leaf=_is_none)
        changes, inner_state = inner.update(thin, inner_state, joined(params, own), **extra)
        new = jax.tree.map(
            lambda f, c: None if f is None else optax.apply_updates(f, c),
            own, changes, is_leaf=_is_factors,
        )  # fmt: skip

        def product_change(f: Any, n: Any, c: Any) -> Any:
            return c if f is None else n["down"] @ n["up"] - f["down"] @ f["up"]

        updates = jax.tree.map(product_change, own, new, changes, is_leaf=_is_factors)
        return updates, (new, inner_state)

    return optax.GradientTransformationExtraArgs(init, update)


def _is_none(x: Any) -> bool:
    return x is None


def _is_factors(x: Any) -> bool:
    return x is None or (isinstance(x, dict) and set(x) == {"down", "up"})


def decayed(params: Any) -> Any:
    """Which parameters decay: matrices; by name, as scanned norms and biases have 2 axes too."""
    return jax.tree_util.tree_map_with_path(
        lambda path, _: path_name(path).endswith(("kernel", "embedding", "positions", "slopes")),
        params,
    )


def _at_rate() -> optax.GradientTransformationExtraArgs:
    """Scales all updates by the argument ``rate``: the factor of a run that was rolled back."""

    def update(updates: Any, state: Any, _: Any = None, *, rate: Any = 1.0) -> tuple[Any, Any]:
        return jax.tree.map(lambda u: u * rate, updates), state

    return optax.GradientTransformationExtraArgs(lambda params: optax.EmptyState(), update)


def _scale_rate(part: str, rate: float) -> optax.GradientTransformation:
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
