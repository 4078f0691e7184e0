"""Functions of a trained state: forecasts, modality contributions, modality selection."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from fusionjax.config import Config
from fusionjax.distill import weights
from fusionjax.distill.contribution import contributions, removals, swap
from fusionjax.distill.elimination import eliminate, feature_weights
from fusionjax.distill.labels import hard
from fusionjax.models.forecaster import Forecaster
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


def make_elimination(
    config: Config,
) -> Callable[[TrainState, Encoded, Batch, Array], tuple[TrainState, dict[str, Array]]]:
    """Builds ``eliminate(state, encoded, batch, session)``, run once on the whole meta set.

    Removes the modalities that do not lower the held-out loss and weighs the features of the
    others. Also returns, each [M], what each modality lowers the loss by (``worth``), its standard
    error (``error``) and whether it stayed (``kept``).
    """

    def run(
        state: TrainState, encoded: Encoded, batch: Batch, session: Array
    ) -> tuple[TrainState, dict[str, Float[Array, "M"]]]:
        def loss_of(modality_mask: Array, swapped: Array) -> Array:
            params = weights.with_fusion(state.ema_params, kept=modality_mask)
            return sample_losses(config, params, swap(encoded, swapped), batch)[0]

        candidates = jnp.where(encoded.present.any(0), state.ema_params["fusion"]["kept"], 0.0)
        modality_mask, worth, error = eliminate(
            loss_of, candidates, session, config.distill.elimination_margin
        )
        # During selection the remaining modalities keep their scale. Afterwards it is renormalised
        # and their weights are reset, as if the dropped ones had never been there.
        fusion = {
            "kept": modality_mask,
            "presence": state.ema_params["fusion"]["presence"] * modality_mask,
        }
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
        return new, {"kept": modality_mask, "worth": worth, "error": error}

    return run
