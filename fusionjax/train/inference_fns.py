"""Functions of a trained state: forecasts, modality contributions, modality selection."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from fusionjax.config import Config
from fusionjax.distill import weights
from fusionjax.distill.contribution import contributions, removals, swap
from fusionjax.distill.elimination import (
    LossOf,
    Rises,
    Sessions,
    eliminate,
    feature_weights,
    measure,
)
from fusionjax.distill.labels import hard
from fusionjax.models.forecaster import Forecaster
from fusionjax.models.heads import decode
from fusionjax.train.loss import output_losses, weigh
from fusionjax.train.state import TrainState
from fusionjax.types import Batch, Encoded, Forecast, Fused


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


def sample_losses(
    config: Config, params: Any, encoded: Encoded, batch: Batch
) -> tuple[Float[Array, "B"], Fused]:
    """Each sample's weighted loss, without dropout, and the fusion's result."""
    fused: Any = Forecaster(config).apply({"params": params}, encoded, method="fuse")
    labels = hard(batch.targets, config.targets)
    losses = output_losses(fused.outputs, encoded.log_scale, labels, batch, config.targets)
    return weigh(losses, config.targets) * batch.weight, fused


def make_diagnosis(
    config: Config,
) -> Callable[[Any, Encoded, Batch], tuple[Array, tuple[Array, Array], Fused]]:
    """Builds ``diagnose(params, encoded, batch)``: contributions, removals, the fusion's result."""

    def diagnose(
        params: Any, encoded: Encoded, batch: Batch
    ) -> tuple[Array, tuple[Array, Array], Fused]:
        def loss_of(e: Encoded) -> Array:
            return sample_losses(config, params, e, batch)[0]

        fused = sample_losses(config, params, encoded, batch)[1]
        return contributions(loss_of, encoded), removals(loss_of, encoded), fused

    return diagnose


def make_corrections(
    config: Config, shares: tuple[float, ...]
) -> Callable[[Any, Encoded, Batch], dict[str, Float[Array, "K B H"]]]:
    """Builds ``corrections(params, encoded, batch)``: each head's loss if shares of the network's
    correction of the experts count; 0 where the label or the experts' forecast is unknown."""

    def losses(params: Any, encoded: Encoded, batch: Batch) -> dict[str, Float[Array, "K B H"]]:
        fused: Any = Forecaster(config).apply({"params": params}, encoded, method="fuse")
        labels, heads = hard(batch.targets, config.targets), config.stacked_heads
        assert batch.base is not None
        mask, known = batch.targets.mask, batch.base.known

        def at(share: Float[Array, ""]) -> dict[str, Float[Array, "B H"]]:
            gain = {k: jnp.full(len(h.horizons), share, jnp.float32) for k, h in heads.items()}
            outcome = decode(fused.outputs, encoded.log_scale, config.targets, batch.base, gain)
            by_head = {k: h.loss(outcome[k], labels[k], batch.log_scale) for k, h in heads.items()}
            return {k: jnp.where(mask[k] & known[k], loss, 0.0) for k, loss in by_head.items()}

        return jax.lax.map(at, jnp.array(shares, jnp.float32))  # compiled once, not for each share

    return losses


def _loss_of(config: Config, params: Any, encoded: Encoded, batch: Batch) -> LossOf:
    """The loss as a question of modalities; the remaining ones keep their scale."""

    def loss_of(used: Array, swapped: Array, shift: Array | int) -> Array:
        reduced = weights.with_fusion(params, kept=used)
        return sample_losses(config, reduced, swap(encoded, swapped, shift), batch)[0]

    return loss_of


def make_measure(
    config: Config,
) -> Callable[[Any, Encoded, Batch, Array, Array], Rises]:
    """Builds ``measure(params, encoded, batch, used, which)``, see ``elimination.measure``."""

    def run(params: Any, encoded: Encoded, batch: Batch, used: Array, which: Array) -> Rises:
        return measure(_loss_of(config, params, encoded, batch), used, which)

    return run


def make_elimination(
    config: Config,
) -> Callable[[TrainState, Encoded, Batch, Sessions, Array], tuple[TrainState, dict[str, Any]]]:
    """Builds ``eliminate(state, encoded, batch, sessions, asked)``, run once on the meta set.

    Rows are in time order. Of the modalities that are 1 in ``asked``, [M], those that do not lower
    the held-out loss are removed, as are all others but those of ``distill.keep``; the features of
    the rest are weighed. Also returns what is ``kept``, the fields of ``Worth``, each [M], and
    ``rises``.
    """
    forced = jnp.array([name in config.distill.keep for name in config.modalities], jnp.float32)

    def run(
        state: TrainState, encoded: Encoded, batch: Batch, sessions: Sessions, asked: Array
    ) -> tuple[TrainState, dict[str, Any]]:
        loss_of = _loss_of(config, state.ema_params, encoded, batch)
        kept, rises, worth = eliminate(loss_of, asked, forced, sessions)
        # Afterwards their scale is renormalised and their weights are reset, as if the dropped ones
        # had never been there.
        fusion = {"kept": kept, "presence": state.ema_params["fusion"]["presence"] * kept}
        if "feature" in config.distill.learned:
            reduced = weights.with_fusion(state.ema_params, **fusion)
            kappa = contributions(lambda e: sample_losses(config, reduced, e, batch)[0], encoded)
            kappa = kappa[..., : encoded.h.shape[2]]  # levels have no weight of the fusion
            fusion["feature"] = feature_weights(kappa, config.distill.feature_penalty)
        params, ema = (
            weights.with_fusion(p, **fusion, weights=weights.reset(weights.get(p)))
            for p in (state.params, state.ema_params)
        )
        new = dataclasses.replace(state, params=params, ema_params=ema)
        return new, {"kept": kept, **worth._asdict(), "rises": rises}

    return run
