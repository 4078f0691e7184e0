"""One optimiser update, as a pure function to be jitted over the mesh."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from einops import rearrange
from jaxtyping import Array, Float

from fusionjax.config import Config
from fusionjax.distill import rivals, weights
from fusionjax.distill.contribution import contributions
from fusionjax.distill.elimination import eliminate
from fusionjax.distill.labels import Labels, believe, hard, soften
from fusionjax.models.forecaster import Forecaster
from fusionjax.models.heads import decode
from fusionjax.train.loss import Metrics, head_weights, hide_modalities, label_counts, row_losses
from fusionjax.train.optim import optimiser, schedule
from fusionjax.train.state import TrainState
from fusionjax.types import Batch, Encoded, Feed, Forecast, Fused

_CLUE_DECAY = 0.98  # of the running mean and spread of the clues


def make_step(
    config: Config, anchor_sessions: float = 0.0
) -> Callable[[TrainState, Feed, Array], tuple[TrainState, Metrics]]:
    """Builds ``step(state, feed, seed) -> (state, metrics)``.

    The loss is a weighted sum of each head's mean over the labels of the *global* batch, whatever
    the number of devices or microbatches. ``seed`` is an argument, so that runs of several seeds
    share one compiled program.

    With the distilled fusion a step has two parts. Encoders and heads learn from the batch, toward
    labels that the teacher (the averaged heads on the live features) softens; then, when due, the
    fusion's weights learn from the anchor, through encoders held still.

    Args:
      config: of the run.
      anchor_sessions: how many sessions the anchor has; says how much it is worth.
    """
    model, still = Forecaster(config, deterministic=False), Forecaster(config)
    tx, distilled = optimiser(config), config.model.fusion == "distilled"
    micro_count, heads = config.train.grad_accum_steps, head_weights(config)
    classes = len(config.targets.classes)

    def objective(
        fused: Fused, labels: Labels, batch: Batch, log_scale: Array, total: Metrics
    ) -> tuple[Array, Metrics]:
        """The weighted sum over heads, and each head's share of the mean."""
        losses = row_losses(decode(fused.outputs, log_scale, config.targets), labels, batch, config)
        means = {
            k: jnp.sum(v * batch.weight) / jnp.maximum(total[k], 1.0) for k, v in losses.items()
        }
        return sum((means[k] * w for k, w in heads.items()), jnp.zeros(())), means

    def expert_losses(fused: Fused, labels: Labels, batch: Batch, log_scale: Array) -> Array:
        """[M, B]: each expert's weighted loss where its modality is present."""

        def one(said: Array, here: Array) -> Array:
            losses = row_losses(decode(said, log_scale, config.targets), labels, batch, config)
            total = sum((losses[k] * w for k, w in heads.items()), jnp.zeros(()))
            return jnp.where(here, total, 0.0)

        assert fused.experts is not None
        return jax.vmap(one, in_axes=(1, 1))(fused.experts, fused.shown)

    def loss_fn(
        params: dict, ema: dict, batch: Batch, key: Array, total: Metrics
    ) -> tuple[Array, tuple[Metrics, Fused]]:
        hide_key, drop_key = jax.random.split(key)
        batch = hide_modalities(batch, config.train.modality_dropout, hide_key)
        variables, rngs = {"params": params}, {"dropout": drop_key}
        encoded: Any = model.apply(variables, batch, rngs=rngs, method="encode")
        fused: Any = model.apply(variables, encoded, rngs=rngs, method="fuse")
        labels = hard(batch.targets, classes)
        if distilled:
            taught: Any = still.apply(
                {"params": ema}, jax.lax.stop_gradient(encoded), method="fuse"
            )
            teacher = decode(taught.outputs, encoded.log_scale, config.targets)
            if config.distill.label_noise > 0:
                labels = believe(labels, teacher, jnp.float32(config.distill.label_noise))
            labels = soften(labels, teacher, jnp.float32(config.distill.soft_labels))
        loss, means = objective(fused, labels, batch, encoded.log_scale, total)
        if fused.experts is not None and config.model.fusion != "ogm_ge":
            alone = expert_losses(fused, labels, batch, encoded.log_scale)
            biggest = jnp.maximum(jnp.stack(list(total.values())).max(), 1.0)
            loss = loss + jnp.sum(alone * batch.weight[None]) / biggest
            if config.model.fusion == "qmf":
                rank = rivals.rank_loss(fused, alone, batch.weight, classes)
                loss = loss + config.loss.quality_rank * rank / micro_count
        return loss, (means, fused)

    def learn(state: TrainState, batch: Batch, key: Array) -> tuple[Array, Metrics, Any, Any]:
        """Loss, its parts, gradients and the clues' sums over the global batch."""
        total = label_counts(batch)
        grad_fn = jax.value_and_grad(loss_fn, has_aux=True)

        def one(micro: Batch, micro_key: Array) -> tuple[Array, Metrics, Any, Any]:
            (loss, (means, fused)), grads = grad_fn(
                state.params, state.ema_params, micro, micro_key, total
            )
            if config.model.fusion == "ogm_ge":
                alpha = config.loss.gradient_modulation
                grads = rivals.slow_leaders(grads, fused, micro, classes, alpha, micro_key)
            return loss, means, grads, _clue_sums(fused) if distilled else ()

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

    def distil(params: Any, opt_state: Any, anchor: Batch, step: Array) -> tuple[Any, Any]:
        """One move of the fusion's weights on the anchor."""
        encoded: Any = jax.lax.stop_gradient(
            still.apply({"params": params}, anchor, method="encode")
        )
        total, labels = label_counts(anchor), hard(anchor.targets, classes)

        def anchor_loss(phi: Any) -> Array:
            fused: Any = still.apply({"params": weights.put(params, phi)}, encoded, method="fuse")
            loss, _ = objective(fused, labels, anchor, encoded.log_scale, total)
            return loss + weights.penalty(phi, config, anchor_sessions)

        phi = weights.get(params)
        with jax.numpy_dtype_promotion("standard"):
            grads = weights.only_learned(jax.grad(anchor_loss)(phi), config, step)
            updates, opt_state = weights.optimiser(config).update(grads, opt_state, phi)
        return weights.put(params, optax.apply_updates(phi, updates)), opt_state

    def step(state: TrainState, feed: Feed, seed: Array) -> tuple[TrainState, Metrics]:
        # A function of seed and step, never a carried key: a resumed run draws the same.
        key = jax.random.fold_in(jax.random.key(seed), state.step)
        loss, means, grads, clues = learn(state, feed.batch, key)
        with jax.numpy_dtype_promotion("standard"):  # optax mixes its step counter with floats
            updates, opt_state = tx.update(grads, state.opt_state, state.params)
            learning_rate = jnp.asarray(schedule(config)(state.step))
        params = optax.apply_updates(state.params, updates)
        weights_opt_state = state.weights_opt_state
        if weights.anchored(config):  # a fine-tuning keeps what its parent's weights read
            assert feed.anchor is not None
            params = _follow_clues(params, clues, state.step)
            params, weights_opt_state = jax.lax.cond(
                weights.due(config, state.step),
                distil,
                lambda params, opt_state, *_: (params, opt_state),
                params,
                weights_opt_state,
                feed.anchor,
                state.step,
            )
        metrics = {
            "loss": loss,
            **{f"loss_{k}": v for k, v in means.items()},
            "grad_norm": optax.tree.norm(grads),
            "learning_rate": learning_rate,
        }
        ema = _average(state.ema_params, params, state.step, config.train.ema_decay)
        return TrainState(state.step + 1, params, opt_state, weights_opt_state, ema), metrics

    return step


def sample_losses(
    config: Config, params: Any, encoded: Encoded, batch: Batch
) -> tuple[Float[Array, "B"], Fused]:
    """Each sample's weighted loss from its own row alone, without dropout, and what was fused."""
    fused: Any = Forecaster(config).apply({"params": params}, encoded, method="fuse")
    labels = hard(batch.targets, len(config.targets.classes))
    outcome = decode(fused.outputs, encoded.log_scale, config.targets)
    losses = row_losses(outcome, labels, batch, config)
    total = sum((losses[k] * w for k, w in head_weights(config).items()), jnp.zeros(()))
    return total * batch.weight, fused


def make_diagnosis(
    config: Config,
) -> Callable[[Any, Encoded, Batch], tuple[Float[Array, "B M D"], Fused]]:
    """Builds ``diagnose(params, encoded, batch)``: contributions, and what was fused."""

    def diagnose(
        params: Any, encoded: Encoded, batch: Batch
    ) -> tuple[Float[Array, "B M D"], Fused]:
        kappa = contributions(lambda e: sample_losses(config, params, e, batch)[0], encoded)
        return kappa, sample_losses(config, params, encoded, batch)[1]

    return diagnose


def make_elimination(
    config: Config,
) -> Callable[[TrainState, Encoded, Batch, Array], tuple[TrainState, dict[str, Array]]]:
    """Builds ``eliminate(state, encoded, batch, session)``, run once on the whole anchor.

    Drops from the state, exactly, the modalities that the anchor does not miss, and tells what each
    was worth (``worth``), its standard error (``error``) and what stayed (``kept``), each [M].
    """

    def run(
        state: TrainState, encoded: Encoded, batch: Batch, session: Array
    ) -> tuple[TrainState, dict[str, Float[Array, "M"]]]:
        fusion = state.ema_params["fusion"]

        def swap(x: Array, swapped: Array) -> Array:
            """Modalities of the sample a third of the anchor away: of another time."""
            there = jnp.expand_dims(swapped, (0, *range(2, x.ndim))) > 0
            return jnp.where(there, jnp.roll(x, len(x) // 3, axis=0), x)

        def loss_of(kept: Array, swapped: Array) -> Array:
            tree = {**state.ema_params, "fusion": {**fusion, "kept": kept}}
            seen = dataclasses.replace(
                encoded,
                h=swap(encoded.h, swapped),
                shown=swap(encoded.shown, swapped),
                energy=swap(encoded.energy, swapped),
            )
            return sample_losses(config, tree, seen, batch)[0]

        seen = jnp.where(encoded.shown.any(0), fusion["kept"], 0.0)
        kept, worth, error = eliminate(loss_of, seen, session, config.distill.elimination_margin)
        params, ema = (
            {**p, "fusion": {**p["fusion"], "kept": kept}} for p in (state.params, state.ema_params)
        )
        new = dataclasses.replace(state, params=params, ema_params=ema)
        return new, {"kept": kept, "worth": worth, "error": error}

    return run


def make_encode(config: Config) -> Callable[[dict, Batch], Encoded]:
    """Builds ``encode(params, batch) -> Encoded``, without dropout."""
    model = Forecaster(config)

    def encode(params: dict, batch: Batch) -> Encoded:
        encoded: Any = model.apply({"params": params}, batch, method="encode")
        return encoded

    return encode


def make_predict(config: Config) -> Callable[[dict, Batch], Forecast]:
    """Builds ``predict(params, batch) -> Forecast``, without dropout."""
    model = Forecaster(config)

    def predict(params: dict, batch: Batch) -> Forecast:
        forecast: Any = model.apply({"params": params}, batch)
        return forecast

    return predict


def _average(ema: Any, params: Any, step: Array, decay: float) -> Any:
    """Early on the average follows closely, so that a short run is not held at its start."""
    count = step.astype(jnp.float32)
    share = jnp.minimum(decay, (1 + count) / (10 + count))
    return jax.tree.map(lambda e, p: e * share + p * (1 - share), ema, params)


def _clue_sums(fused: Fused) -> tuple[Array, Array, Array, Array]:
    """Rows; count, sum and sum of squares of each clue where its modality is present."""
    assert fused.clues is not None
    here = fused.shown.astype(jnp.float32)[..., None]
    rows = jnp.full((), here.shape[0], jnp.float32)
    return rows, here.sum(0), (fused.clues * here).sum(0), (fused.clues**2 * here).sum(0)


def _follow_clues(params: Any, sums: tuple[Array, Array, Array, Array], step: Array) -> Any:
    """Running mean and standard deviation of the clues, from which the rater reads."""
    rows, count, total, squares = sums
    mean = total / jnp.maximum(count, 1)
    std = jnp.sqrt(jnp.maximum(squares / jnp.maximum(count, 1) - mean**2, 1e-4))
    fusion = params["fusion"]
    new = _average(
        {k: fusion[k] for k in ("clue_mean", "clue_std", "presence")},
        {
            # A modality that no row of the batch has leaves its statistics as they are.
            "clue_mean": jnp.where(count > 0, mean, fusion["clue_mean"]),
            "clue_std": jnp.where(count > 0, std, fusion["clue_std"]),
            "presence": count[:, 0] / rows,
        },
        step,
        _CLUE_DECAY,
    )
    return {**params, "fusion": {**fusion, **new}}
