"""The training state: everything that one step hands to the next."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Bool, Float, Int, UInt32

from fusionjax import streams
from fusionjax.config import Config, GuardConfig
from fusionjax.distill import weights
from fusionjax.models.forecaster import Forecaster
from fusionjax.registry import FUSIONS
from fusionjax.train.optim import optimiser
from fusionjax.types import Batch


@struct.dataclass
class Guard:
    """Losses and gradient norms of the last updates; part of the state, so that a resumed run
    decides alike.

    W is ``guard.window``. The arrays are ring buffers: entry ``count`` goes to ``count % W``.
    """

    losses: Float[Array, "W"]
    norms: Float[Array, "W"]  # log of the gradient norm, of skipped updates too
    count: Int[Array, ""]
    skipped: Int[Array, ""]  # skipped updates, over the run
    in_row: Int[Array, ""]  # consecutive skipped updates
    halted: Bool[Array, ""]  # a step was non-finite: updates are no-ops until the host clears it
    rate: Float[Array, ""]  # factor on the learning rate


@struct.dataclass
class TrainState:
    """Everything that a resumed run needs to continue bit for bit.

    The data position is ``step`` itself: batch number ``step`` is a function of the seed.
    """

    step: Int[Array, ""]  # completed updates
    params: Any
    opt_state: Any
    weights_opt_state: Any  # of fusion weights learned from the meta set; () without
    ema_params: Any  # averaged parameters: the teacher, and what evaluate and predict use
    guard: Guard


def fresh_guard(config: GuardConfig) -> Guard:
    """The guard before the first update."""
    return Guard(
        losses=jnp.zeros(config.window),
        norms=jnp.zeros(config.window),
        count=jnp.zeros((), jnp.int32),
        skipped=jnp.zeros((), jnp.int32),
        in_row=jnp.zeros((), jnp.int32),
        halted=jnp.zeros((), bool),
        rate=jnp.ones(()),
    )


def init_state(config: Config, seed: UInt32[Array, ""], example: Batch) -> TrainState:
    """A fresh state; ``example`` gives shapes. Jit it with output shardings to create it split."""
    params = Forecaster(config).init(streams.key(seed, "parameters"), example)["params"]
    learns = FUSIONS[config.model.fusion].learns_weights
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        opt_state=optimiser(config).init(params),
        weights_opt_state=weights.optimiser(config.distill).init(weights.get(params))
        if learns
        else (),
        # A copy: donated buffers must not be shared.
        ema_params=jax.tree.map(jnp.copy, params),
        guard=fresh_guard(config.guard),
    )


def with_pretrained(state: TrainState, modality: str, weights: dict) -> TrainState:
    """A fresh state in which a part of a modality's encoder starts from pretrained weights.

    Args:
      state: of ``init_state``, split over a mesh or not.
      modality: whose encoder.
      weights: parameters by submodule name, the same on every process.
    """

    def put(params: Any) -> Any:
        name = f"encoders_{modality}"
        placed = jax.tree.map(
            lambda old, new: jax.make_array_from_callback(
                old.shape, old.sharding, lambda at: np.asarray(new, old.dtype)[at]
            ),
            {part: params[name][part] for part in weights},
            weights,
        )
        return {**params, name: {**params[name], **placed}}

    return dataclasses.replace(state, params=put(state.params), ema_params=put(state.ema_params))
