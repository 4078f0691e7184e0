"""One optimiser update, as a pure function to be jitted over the mesh."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from einops import rearrange
from jaxtyping import Array

from fusionjax import streams
from fusionjax.config import Config
from fusionjax.distill import weights
from fusionjax.distill.labels import hard, soften
from fusionjax.models.average import running_mean
from fusionjax.models.forecaster import Forecaster
from fusionjax.models.heads import decode
from fusionjax.registry import FUSIONS
from fusionjax.train import guards
from fusionjax.train.augment import augment
from fusionjax.train.loss import Metrics, label_counts, label_means, output_losses, weigh
from fusionjax.train.optim import optimiser, schedule
from fusionjax.train.state import TrainState
from fusionjax.types import Batch, Encoded, Fused, Labels, StepInputs

# A metric of the steps that update the fusion weights, NaN in the others: the loss of a batch of
# the meta set, on which the encoders and heads have not trained.
META_LOSS = "meta_loss"


def make_step(
    config: Config, meta_sessions: float = 0.0
) -> Callable[..., tuple[TrainState, Metrics]]:
    """Builds ``step(state, step_inputs, seed, parent=None) -> (state, metrics)``.

    The loss is a weighted sum of each head's mean over the labels of the *global* batch, whatever
    the number of devices or microbatches. ``seed`` is an argument, so that runs of several seeds
    share one compiled program.

    With a fusion that learns weights a step has two parts. Encoders and heads learn from the batch,
    on labels softened by the teacher (the averaged heads on the current features). Then, when due,
    the fusion weights learn from the meta set, with the encoders fixed.

    A fine-tuning may be regularised toward its parent: by the distance of the parameters (L2-SP, Li
    et al., 2018; ``finetune.l2_sp``) and by labels mixed with the parent's forecasts (learning
    without forgetting, Li & Hoiem, 2016; ``finetune.distillation_weight``).

    Args:
      config: of the run.
      meta_sessions: sessions of the meta set; the more, the weaker the prior of equal weights.
    """

    def step(
        state: TrainState, step_inputs: StepInputs, seed: Array, parent: Any = None
    ) -> tuple[TrainState, Metrics]:
        proposed = _proposed(state, step_inputs, seed, parent, config)
        params, opt_state = proposed.params, proposed.opt_state
        weights_opt_state = state.weights_opt_state
        finite = _all_finite((proposed.loss, proposed.norm, proposed.observed))
        held_out = {}
        if weights.has_meta_set(config):
            assert step_inputs.meta is not None
            # Only φ and the loss pass through the conditional, which copies what it returns.
            phi, weights_opt_state, held_out[META_LOSS] = jax.lax.cond(
                weights.is_update_step(config, state.step),
                partial(_update_weights, config=config, meta_sessions=meta_sessions),
                lambda params, opt, meta: (weights.get(params), opt, jnp.float32(jnp.nan)),
                params,
                weights_opt_state,
                step_inputs.meta,
            )
            params = weights.put(params, phi)
            finite &= _all_finite(phi)
        guard, count = state.guard, state.step + 1
        ema = running_mean(state.ema_params, params, state.step, config.train.ema_decay)
        new = (params, opt_state, weights_opt_state, ema)
        if config.guard.window:
            old = (state.params, state.opt_state, state.weights_opt_state, state.ema_params)
            guard, advances, applied = guards.judge(
                guard, proposed.loss, proposed.norm, finite, config.guard
            )
            new = guards.select(applied, new, old, advances)
            count = state.step + advances.astype(jnp.int32)
        metrics = {
            "loss": proposed.loss,
            **held_out,
            **{f"loss_{k}": v for k, v in proposed.means.items()},
            "grad_norm": proposed.norm,
            "learning_rate": proposed.learning_rate,
            "skipped": guard.skipped,
            "halted": guard.halted,
        }
        return TrainState(count, *new, guard=guard), metrics

    return step


def make_examination(config: Config, meta_sessions: float = 0.0) -> Callable[..., dict[str, Any]]:
    """Builds ``examine(state, step_inputs, seed, parent=None)``: all parts of an update.

    The loss, its parts and gradients, their norm, the fusion's observations and, where the inputs
    have a meta set, the new fusion weights.
    """

    def examine(
        state: TrainState, step_inputs: StepInputs, seed: Array, parent: Any = None
    ) -> dict[str, Any]:
        proposed = _proposed(state, step_inputs, seed, parent, config)
        parts = {"loss": proposed.loss, "parts": proposed.means, "gradients": proposed.grads}
        parts |= {"norm": proposed.norm, "observed": proposed.observed}
        if step_inputs.meta is not None:
            parts["weights"], _, _ = _update_weights(
                proposed.params,
                state.weights_opt_state,
                step_inputs.meta,
                config=config,
                meta_sessions=meta_sessions,
            )
        return parts

    return examine


class _Proposed(NamedTuple):
    """An update before the guards have checked it."""

    loss: Array
    means: Metrics
    grads: Any
    norm: Array
    observed: Any
    params: Any
    opt_state: Any
    learning_rate: Array


def _proposed(
    state: TrainState, step_inputs: StepInputs, seed: Array, parent: Any, config: Config
) -> _Proposed:
    # A function of seed and step, never a carried key: a resumed run draws the same.
    key = jax.random.fold_in(streams.key(seed, "training step"), state.step)
    loss, means, grads, observed = _gradients(state, step_inputs.batch, key, config, parent)
    if parent is not None:
        pull = np.float32(config.finetune.l2_sp)
        grads = jax.tree.map(lambda g, p, q: g + pull * (p - q), grads, state.params, parent)
    rate = state.guard.rate
    with jax.numpy_dtype_promotion("standard"):  # optax mixes its step counter with floats
        updates, opt_state = optimiser(config).update(
            grads, state.opt_state, state.params, rate=rate
        )
        learning_rate = jnp.asarray(schedule(config)(state.step)) * rate
    params = optax.apply_updates(state.params, updates)
    params = FUSIONS[config.model.fusion].after_step(params, observed, state.step, config)
    norm = optax.tree.norm(grads)
    return _Proposed(loss, means, grads, norm, observed, params, opt_state, learning_rate)


def _all_finite(tree: Any) -> Array:
    """Whether every entry is finite."""
    return jnp.stack([jnp.isfinite(x).all() for x in jax.tree.leaves(tree)]).all()


def _gradients(
    state: TrainState, batch: Batch, key: Array, config: Config, parent: Any
) -> tuple[Array, Metrics, Any, Any]:
    """Loss, its parts, gradients and the fusion's observations, over the global batch."""
    total, micro_count = label_counts(batch), config.train.grad_accum_steps
    fusion = FUSIONS[config.model.fusion]
    teachers = _Teachers(state.ema_params, parent)

    def one(micro: Batch, micro_key: Array) -> tuple[Array, Metrics, Any, Any]:
        losses = partial(
            _losses, teachers=teachers, batch=micro, key=micro_key, total=total, config=config
        )
        loss, (means, fused), grads = _value_and_gradients(losses, state.params, fusion)
        gradients_key = streams.branch(micro_key, "gradients")
        grads = fusion.edit_gradients(grads, fused, micro, config, gradients_key)
        return loss, means, grads, fusion.observe(state.params, fused)

    if micro_count == 1:
        return one(batch, key)
    # Rows are dealt out so that every device keeps its own rows in every microbatch.
    micros = jax.tree.map(lambda x: rearrange(x, "(b a) ... -> a b ...", a=micro_count), batch)
    keys = jax.random.split(key, micro_count)
    shapes = jax.eval_shape(one, jax.tree.map(lambda x: x[0], micros), keys[0])
    zero = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)

    def accumulate(carry: tuple, micro: tuple[Batch, Array]) -> tuple[tuple, None]:
        return jax.tree.map(jnp.add, carry, one(*micro)), None

    return jax.lax.scan(accumulate, zero, (micros, keys))[0]


def _value_and_gradients(
    losses: Callable[[Any], tuple[tuple[Array, Array], Any]], params: Any, fusion: Any
) -> tuple[Array, Any, Any]:
    """The sum of both losses, what else they return, and the gradient for the optimiser."""
    if not fusion.splits_gradients:

        def summed(params: Any) -> tuple[Array, Any]:
            (joint, alone), extra = losses(params)
            return joint + alone, extra

        (loss, extra), grads = jax.value_and_grad(summed, has_aux=True)(params)
        return loss, extra, grads
    (joint, alone), pull_back, extra = jax.vjp(losses, params, has_aux=True)
    one, zero = jnp.ones_like(joint), jnp.zeros_like(joint)
    (of_joint,), (of_alone,) = pull_back((one, zero)), pull_back((zero, one))
    return joint + alone, extra, fusion.combine_gradients(of_joint, of_alone)


class _Teachers(NamedTuple):
    """Parameters whose forecasts may soften labels: the run's averaged ones, its parent's."""

    ema: Any
    parent: Any


def _losses(
    params: Any, teachers: _Teachers, batch: Batch, key: Array, total: Metrics, config: Config
) -> tuple[tuple[Array, Array], tuple[Metrics, Fused]]:
    """The loss of the fused outputs, and that of all experts with what the fusion adds."""
    model = Forecaster(config, deterministic=False)
    batch = augment(batch, config, streams.branch(key, "augmentation"))
    variables, rngs = {"params": params}, {"dropout": streams.branch(key, "dropout")}
    encoded: Any = model.apply(variables, batch, rngs=rngs, method="encode")
    fused: Any = model.apply(variables, encoded, rngs=rngs, method="fuse")
    labels = hard(batch.targets, config.targets)
    fusion = FUSIONS[config.model.fusion]
    if (share := fusion.soft_labels(config)) > 0:
        labels = _softened(labels, teachers.ema, encoded, batch, share, config)
    if teachers.parent is not None and config.finetune.distillation_weight > 0:
        forecast: Any = Forecaster(config).apply({"params": teachers.parent}, batch)
        share = config.finetune.distillation_weight
        labels = soften(labels, forecast.outcome, jnp.float32(share), config.targets)
    joint, means = _objective(fused, labels, batch, encoded.log_scale, total, config)
    alone = jnp.zeros_like(joint)
    if fused.experts is not None and fusion.experts_learn:
        each = _expert_losses(fused, labels, batch, encoded.log_scale, config)
        largest = jnp.maximum(jnp.stack(list(total.values())).max(), 1.0)
        alone = jnp.sum(each * batch.weight[None]) / largest
        alone = alone + fusion.extra_loss(fused, each, batch, config)
    return (joint, alone), (means, fused)


def _softened(
    labels: Labels, ema: Any, encoded: Encoded, batch: Batch, share: float, config: Config
) -> Labels:
    """The labels mixed with the teacher's forecast: the averaged heads on the current features."""
    fixed: Any = jax.lax.stop_gradient(encoded)
    fused: Any = Forecaster(config).apply({"params": ema}, fixed, method="fuse")
    teacher = decode(fused.outputs, encoded.log_scale, config.targets, batch.base)
    return soften(labels, teacher, jnp.float32(share), config.targets)


def _objective(
    fused: Fused, labels: Labels, batch: Batch, log_scale: Array, total: Metrics, config: Config
) -> tuple[Array, Metrics]:
    """The weighted sum over heads, and each head's share of the mean."""
    losses = output_losses(fused.outputs, log_scale, labels, batch, config.targets)
    means = label_means(losses, batch, total)
    return weigh(means, config.targets), means


def _expert_losses(
    fused: Fused, labels: Labels, batch: Batch, log_scale: Array, config: Config
) -> Array:
    """[M, B]: each expert's weighted loss where its modality is present."""

    def one(outputs: Array, present: Array) -> Array:
        losses = output_losses(outputs, log_scale, labels, batch, config.targets)
        return jnp.where(present, weigh(losses, config.targets), 0.0)

    assert fused.experts is not None
    return jax.vmap(one, in_axes=(1, 1))(fused.experts, fused.present)


def _update_weights(
    params: Any,
    opt_state: Any,
    meta: Batch,
    *,
    config: Config,
    meta_sessions: float,
) -> tuple[Any, Any, Array]:
    """φ and its optimiser's state after one update on the meta set, with the encoders fixed; and
    the loss of the meta batch before it, without the penalty."""
    model = Forecaster(config)
    encoded: Any = jax.lax.stop_gradient(model.apply({"params": params}, meta, method="encode"))
    total, labels = label_counts(meta), hard(meta.targets, config.targets)

    def loss_of(phi: Any) -> tuple[Array, Array]:
        fused: Any = model.apply({"params": weights.put(params, phi)}, encoded, method="fuse")
        loss, _ = _objective(fused, labels, meta, encoded.log_scale, total, config)
        return loss + weights.penalty(phi, config.distill, meta_sessions), loss

    phi = weights.get(params)
    with jax.numpy_dtype_promotion("standard"):
        grads, loss = jax.grad(loss_of, has_aux=True)(phi)
        grads = weights.only_learned(grads, config.distill)
        updates, opt_state = weights.optimiser(config.distill).update(grads, opt_state, phi)
    return optax.apply_updates(phi, updates), opt_state, loss
