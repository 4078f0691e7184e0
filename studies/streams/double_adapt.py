"""Adapts the data to the model, and the model from a meta-learned initialisation.

DoubleAdapt (Zhao et al., KDD 2023): a stream is a sequence of tasks, each to learn from one
window and to forecast the next. A few affine heads map inputs and labels to a common distribution,
and the model starts each task from a meta-learned initialisation.
"""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct
from jax.sharding import Mesh
from jaxtyping import Array, Float

from fusionjax import streams
from fusionjax.config import Config
from fusionjax.distill.labels import hard
from fusionjax.models.forecaster import Forecaster
from fusionjax.parallel import rules
from fusionjax.train.loss import label_counts, label_means, row_losses, weigh
from fusionjax.train.program import flops
from fusionjax.types import Batch, Forecast, Labels, Outcome, Series

_HEADS, _SHARPNESS = 8, 10.0  # affine maps of each side; of the softmax that mixes them
_INNER_RATE = 0.01  # of the one step inside a task
_META_RATE = 3e-4  # of what is learned over tasks
_OUTPUTS = 3  # whose labels are mapped


@struct.dataclass
class Adapter:
    """Affine heads, mixed by how near an input lies to each head's prototype.

    N heads, F channels. All zeros but the prototypes map everything to itself.
    """

    prototype: dict[str, Any]  # by numeric modality, [N, F]
    turn: dict[str, Any]  # [N, F, F]
    shift: dict[str, Any]  # [N, F]
    scale: Any  # [N, 3], log; of labels: direction, returns, volatility
    offset: Any  # [N, 3]


@struct.dataclass
class Meta:
    """The meta-learned state."""

    params: Any  # where the model starts each task
    adapter: Adapter
    opt_state: Any


def fresh(config: Config, params: Any, example: Batch) -> Meta:
    """The parent's parameters and identity maps."""
    sizes = {k: v.x.shape[-1] for k, v in example.inputs.items() if isinstance(v, Series)}
    keys = jax.random.split(streams.key(config.seed, "adapter"), max(len(sizes), 1))
    adapter = Adapter(
        {
            k: jax.random.normal(key, (_HEADS, n))
            for key, (k, n) in zip(keys, sizes.items(), strict=False)
        },
        {k: jnp.zeros((_HEADS, n, n)) for k, n in sizes.items()},
        {k: jnp.zeros((_HEADS, n)) for k, n in sizes.items()},
        jnp.zeros((_HEADS, _OUTPUTS)),
        jnp.zeros((_HEADS, _OUTPUTS)),
    )
    return Meta(params, adapter, optax.adam(_META_RATE).init((params, adapter)))


def adapted_inputs(adapter: Adapter, batch: Batch) -> Batch:
    """x + Σᵢ sᵢ(x)·(Tᵢx + bᵢ) at every session of every numeric modality (equation 6)."""
    inputs = dict(batch.inputs)
    for name, near in adapter.prototype.items():
        series: Any = batch.inputs[name]
        share = _share(series.x, near)
        moved = jnp.einsum("btn,nfg,btf->btg", share, adapter.turn[name], series.x)
        moved = moved + share @ adapter.shift[name]
        x = series.x + jnp.where(series.mask[..., None], moved, 0.0)
        inputs[name] = dataclasses.replace(series, x=x)
    return dataclasses.replace(batch, inputs=inputs)


def adapted_labels(adapter: Adapter, batch: Batch, labels: Labels) -> Labels:
    """Returns and volatility, in units of the stock's own, each scaled and moved (equation 8)."""
    scale, offset = _label_map(adapter, batch)
    unit = jnp.exp(batch.log_scale)[:, None]
    returns = labels["returns"] * scale[:, 1:2] + offset[:, 1:2] * unit
    relative = labels["volatility"] - batch.log_scale[:, None]
    volatility = relative * scale[:, 2:] + offset[:, 2:] + batch.log_scale[:, None]
    return labels | {"returns": returns, "volatility": volatility}


def restored(adapter: Adapter, batch: Batch, outcome: Outcome) -> Outcome:
    """Forecasts mapped back to the original labels; of classes, the logits are mapped."""
    scale, offset = _label_map(adapter, batch)
    unit = jnp.exp(batch.log_scale)[:, None, None]
    lean = jnp.stack([-offset[:, 0], offset[:, 0]], -1)[:, None, :]
    plain = outcome["direction"].shape[-1] != 2  # of more classes only the scale is adapted
    logits = outcome["direction"] - (0.0 if plain else lean)
    relative = outcome["volatility"] - batch.log_scale[:, None]
    return outcome | {
        "direction": logits / scale[:, 0, None, None],
        "returns": (outcome["returns"] - offset[:, 1, None, None] * unit) / scale[:, 1, None, None],
        "volatility": (relative - offset[:, 2:]) / scale[:, 2:] + batch.log_scale[:, None],
    }


def make_task(config: Config) -> tuple[Callable, Callable, Callable]:
    """Builds the three pure functions of a stream of tasks.

    Returns:
      ``learn(params, adapter, support)``: the parameters after the one step inside a task;
      ``meta_step(meta, support, query)``: ``meta`` after one step on the loss of the query's
      forecasts, differentiated through ``learn`` on the support (second order), and that loss;
      ``forecast(params, adapter, batch)``: forecasts with adapted inputs and outputs.
    """
    model = Forecaster(config)
    heads = config.targets

    def inner_loss(params: Any, adapter: Adapter, support: Batch) -> Float[Array, ""]:
        output: Any = model.apply({"params": params}, adapted_inputs(adapter, support))
        labels = adapted_labels(adapter, support, hard(support.targets, heads))
        return _batch_loss(output.outcome, labels, support, config)

    def learn(params: Any, adapter: Adapter, support: Batch) -> Any:
        grads = jax.grad(inner_loss)(params, adapter, support)
        clip = jnp.minimum(1.0, config.train.clip_norm / (optax.tree.norm(grads) + 1e-9))
        return jax.tree.map(lambda p, g: p - _INNER_RATE * clip * g, params, grads)

    def forecast(params: Any, adapter: Adapter, batch: Batch) -> Forecast:
        output: Any = model.apply({"params": params}, adapted_inputs(adapter, batch))
        return dataclasses.replace(output, outcome=restored(adapter, batch, output.outcome))

    def meta_step(meta: Meta, support: Batch, query: Batch) -> tuple[Meta, Array]:
        def outer(both: tuple[Any, Adapter]) -> Float[Array, ""]:
            params, adapter = both
            learned = learn(params, adapter, support)
            outcome = forecast(learned, adapter, query).outcome
            return _batch_loss(outcome, hard(query.targets, heads), query, config)

        both = (meta.params, meta.adapter)
        loss, grads = jax.value_and_grad(outer)(both)
        with jax.numpy_dtype_promotion("standard"):  # optax mixes its step counter with floats
            updates, opt_state = optax.adam(_META_RATE).update(grads, meta.opt_state, both)
        params, adapter = optax.apply_updates(both, updates)
        return Meta(params, adapter, opt_state), loss

    return learn, meta_step, forecast


class Tasks:
    """The functions of ``make_task`` compiled on a mesh, parameters split as in training."""

    def __init__(self, config: Config, mesh: Mesh, params: Any, example: Batch) -> None:
        self._mesh, self._config, self._example = mesh, config, example
        learn, meta_step, forecast = make_task(config)
        self._fresh = partial(fresh, config, example=example)
        shapes = jax.eval_shape(self._fresh, params)
        split = rules.shardings(shapes, mesh)
        batch, everywhere = rules.batch_sharding(mesh), rules.replicated(mesh)
        self._split = split
        self._learn = jax.jit(
            learn, in_shardings=(split.params, split.adapter, batch), out_shardings=split.params
        )
        self._meta_step = jax.jit(
            meta_step, in_shardings=(split, batch, batch), out_shardings=(split, everywhere)
        )
        self._forecast = jax.jit(
            forecast, in_shardings=(split.params, split.adapter, batch), out_shardings=everywhere
        )

    def start(self, params: Any) -> Meta:
        """From a parent's parameters."""
        return jax.device_put(self._fresh(params), self._split)

    def learn(self, meta: Meta, support: Batch) -> Any:
        """The parameters that a task starts to forecast with."""
        with jax.set_mesh(self._mesh):
            on_device = rules.to_devices(support, self._mesh)
            return self._learn(meta.params, meta.adapter, on_device)

    def meta_step(self, meta: Meta, support: Batch, query: Batch) -> tuple[Meta, Array]:
        """One meta step, with its loss."""
        with jax.set_mesh(self._mesh):
            on_device = (rules.to_devices(b, self._mesh) for b in (support, query))
            return self._meta_step(meta, *on_device)

    def forecast(self, params: Any, adapter: Adapter, batch: Batch) -> Forecast:
        """Forecasts of this process's rows."""
        with jax.set_mesh(self._mesh):
            return self._forecast(params, adapter, rules.to_devices(batch, self._mesh))

    def flops(self, meta: Meta, batch: Batch) -> float:
        """FLOPs of one task: a meta step and the step inside it."""
        with jax.set_mesh(self._mesh):
            lowered = (
                self._meta_step.lower(meta, batch, batch),
                self._learn.lower(meta.params, meta.adapter, batch),
            )
            return sum(flops(x.compile()) for x in lowered)


def _batch_loss(outcome: Outcome, labels: Labels, batch: Batch, config: Config) -> Float[Array, ""]:
    """The weighted sum over heads of each head's mean over the batch's known labels."""
    losses = row_losses(outcome, labels, batch, config.targets)
    return weigh(label_means(losses, batch, label_counts(batch)), config.targets)


def _share(x: Float[Any, "*rows F"], near: Float[Any, "N F"]) -> Float[Array, "*rows N"]:
    def unit(v: Any) -> Array:
        return v * jax.lax.rsqrt((v**2).sum(-1, keepdims=True) + 1e-6)

    return jax.nn.softmax(np.float32(_SHARPNESS) * unit(x) @ unit(near).T)


def _label_map(adapter: Adapter, batch: Batch) -> tuple[Float[Array, "B 3"], Float[Array, "B 3"]]:
    """Scale and offset of each sample's labels, by its last session in the first modality."""
    if not adapter.prototype:
        share = jnp.full((batch.weight.shape[0], _HEADS), 1 / _HEADS)
    else:
        name, near = next(iter(adapter.prototype.items()))
        series: Any = batch.inputs[name]
        share = _share(series.x[:, -1], near)
    return jnp.exp(share @ adapter.scale), share @ adapter.offset
