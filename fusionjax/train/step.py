"""One optimiser update, as a pure function to be jitted over the mesh."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from einops import rearrange
from jaxtyping import Array

from fusionjax.config import Config
from fusionjax.models.forecaster import Forecaster
from fusionjax.train.loss import Metrics, hide_modalities, label_counts, loss_terms
from fusionjax.train.optim import optimiser, schedule
from fusionjax.train.state import TrainState
from fusionjax.types import Batch, Forecast


def make_step(config: Config) -> Callable[[TrainState, Batch, Array], tuple[TrainState, Metrics]]:
    """Builds ``step(state, batch, seed) -> (state, metrics)``.

    The loss is a weighted sum of each head's mean over the labels of the *global* batch, whatever
    the number of devices or microbatches. ``seed`` is an argument, so that runs of several seeds
    share one compiled program.
    """
    model = Forecaster(config, deterministic=False)
    tx = optimiser(config)
    head_weight = {
        "direction": config.loss.direction,
        "returns": config.loss.returns,
        "volatility": config.loss.volatility,
    }
    micro_count = config.train.grad_accum_steps

    def loss_fn(params: dict, batch: Batch, key: Array, total: Metrics) -> tuple[Array, Metrics]:
        hide_key, dropout_key = jax.random.split(key)
        batch = hide_modalities(batch, config.train.modality_dropout, hide_key)
        forecast: Any = model.apply({"params": params}, batch, rngs={"dropout": dropout_key})
        terms = loss_terms(forecast, batch, config)
        means = {k: v / jnp.maximum(total[k], 1.0) for k, v in terms.items()}
        return sum((means[k] * w for k, w in head_weight.items()), jnp.zeros(())), means

    def step(state: TrainState, batch: Batch, seed: Array) -> tuple[TrainState, Metrics]:
        # A function of seed and step, never a carried key: a resumed run draws the same.
        key = jax.random.fold_in(jax.random.key(seed), state.step)
        total = label_counts(batch)
        grad_fn = jax.value_and_grad(loss_fn, has_aux=True)

        def accumulate(carry: tuple, slice_: tuple[Batch, Array]) -> tuple[tuple, None]:
            micro, micro_key = slice_
            (loss, means), grads = grad_fn(state.params, micro, micro_key, total)
            return jax.tree.map(jnp.add, carry, (loss, means, grads)), None

        if micro_count == 1:
            (loss, means), grads = grad_fn(state.params, batch, key, total)
        else:
            # Rows are dealt out so that every device keeps its own rows in every microbatch.
            micros = jax.tree.map(
                lambda x: rearrange(x, "(b a) ... -> a b ...", a=micro_count), batch
            )
            zero = (
                jnp.zeros(()),
                {k: jnp.zeros(()) for k in head_weight},
                jax.tree.map(jnp.zeros_like, state.params),
            )
            (loss, means, grads), _ = jax.lax.scan(
                accumulate, zero, (micros, jax.random.split(key, micro_count))
            )
        with jax.numpy_dtype_promotion("standard"):  # optax mixes its step counter with floats
            updates, opt_state = tx.update(grads, state.opt_state, state.params)
            learning_rate = jnp.asarray(schedule(config)(state.step))
        params = optax.apply_updates(state.params, updates)
        # Early on the average follows closely, so that a short run is not held at its start.
        count = state.step.astype(jnp.float32)
        decay = jnp.minimum(config.train.ema_decay, (1 + count) / (10 + count))
        ema = jax.tree.map(lambda e, p: e * decay + p * (1 - decay), state.ema_params, params)
        metrics = {
            "loss": loss,
            **{f"loss_{k}": v for k, v in means.items()},
            "grad_norm": optax.tree.norm(grads),
            "learning_rate": learning_rate,
        }
        return TrainState(state.step + 1, params, opt_state, ema), metrics

    return step


def make_predict(config: Config) -> Callable[[dict, Batch], Forecast]:
    """Builds ``predict(params, batch) -> Forecast``, without dropout."""
    model = Forecaster(config)

    def predict(params: dict, batch: Batch) -> Forecast:
        forecast: Any = model.apply({"params": params}, batch)
        return forecast

    return predict
