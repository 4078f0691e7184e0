"""The training loss: one term a head, each a mean over its known labels."""

import dataclasses

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float

from fusionjax.config import Config
from fusionjax.types import Batch, Forecast

Metrics = dict[str, Float[Array, ""]]


def label_counts(batch: Batch) -> Metrics:
    """How much label weight each head has in a batch: what its summed loss is divided by."""
    t = batch.targets

    def count(mask: Bool[Array, "B H"]) -> Float[Array, ""]:
        return jnp.sum(jnp.where(mask, batch.weight[:, None], 0.0))

    return {
        "direction": count(t.direction_mask),
        "returns": count(t.returns_mask),
        "volatility": count(t.volatility_mask),
    }


def loss_terms(forecast: Forecast, batch: Batch, config: Config) -> Metrics:
    """Summed loss of each head over a batch; divide by ``label_counts`` for means.

    Direction: cross-entropy in nats. Returns: pinball loss (Koenker & Bassett, 1978) in units of
    the trailing volatility over the horizon, mean over quantiles. Volatility: squared error of
    the log.
    """
    t, w = batch.targets, batch.weight[:, None]

    def total(loss: Float[Array, "B H"], mask: Bool[Array, "B H"]) -> Float[Array, ""]:
        return jnp.sum(jnp.where(mask, loss, 0.0) * w)

    cross_entropy = optax.softmax_cross_entropy_with_integer_labels(
        forecast.direction_logits, t.direction
    )
    horizon = jnp.sqrt(jnp.asarray(config.targets.returns, jnp.float32))[None, :]
    unit = jnp.exp(batch.log_scale)[:, None] * horizon
    error = (t.returns[..., None] - forecast.return_quantiles) / unit[..., None]
    q = jnp.asarray(config.targets.quantiles, jnp.float32)[None, None, :]
    pinball = jnp.maximum(q * error, (q - 1) * error).mean(-1)
    squared = (forecast.log_volatility - t.log_volatility) ** 2
    return {
        "direction": total(cross_entropy, t.direction_mask),
        "returns": total(pinball, t.returns_mask),
        "volatility": total(squared, t.volatility_mask),
    }


def hide_modalities(batch: Batch, rate: float, key: Array) -> Batch:
    """Marks each present modality absent with probability ``rate``, but never a sample's last.

    ModDrop (Neverova et al., 2016): it keeps the model usable when a feed fails.
    """
    names = list(batch.present)
    here = jnp.stack([batch.present[n] for n in names], 1)
    kept = here & jax.random.bernoulli(key, 1 - rate, here.shape)
    kept = jnp.where(kept.any(1, keepdims=True), kept, here)
    return dataclasses.replace(batch, present={n: kept[:, i] for i, n in enumerate(names)})
