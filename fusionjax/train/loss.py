"""The training loss: one term a head, each a mean over its known labels."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from fusionjax.config import Config
from fusionjax.distill.labels import Labels
from fusionjax.models.heads import decode
from fusionjax.types import Batch, Outcome

Metrics = dict[str, Float[Array, ""]]


def label_counts(batch: Batch) -> Metrics:
    """How much label weight each head has in a batch: what its summed loss is divided by."""
    weight = batch.weight[:, None]
    return {name: jnp.sum(jnp.where(m, weight, 0.0)) for name, m in _masks(batch).items()}


def row_losses(
    outcome: Outcome, labels: Labels, batch: Batch, config: Config
) -> dict[str, Float[Array, "B"]]:
    """Each sample's loss in each head, summed over horizons; 0 where the label is unknown.

    Direction: cross-entropy in nats. Returns: pinball loss (Koenker & Bassett, 1978) in units of
    the trailing volatility over the horizon, mean over quantiles. Volatility: squared error of
    the log. Not weighted by ``batch.weight``.
    """
    cross_entropy = -(labels.direction * jax.nn.log_softmax(outcome.direction_logits)).sum(-1)
    horizon = jnp.sqrt(jnp.asarray(config.targets.returns, jnp.float32))[None, :]
    unit = jnp.exp(batch.log_scale)[:, None] * horizon
    error = (labels.returns[..., None] - outcome.return_quantiles) / unit[..., None]
    q = jnp.asarray(config.targets.quantiles, jnp.float32)[None, None, :]
    pinball = jnp.maximum(q * error, (q - 1) * error).mean(-1)
    squared = (outcome.log_volatility - labels.log_volatility) ** 2
    losses = {"direction": cross_entropy, "returns": pinball, "volatility": squared}
    masks = _masks(batch)
    return {name: jnp.where(masks[name], loss, 0.0).sum(-1) for name, loss in losses.items()}


def output_losses(
    outputs: Float[Array, "B O"],
    log_scale: Float[Array, "B"],
    labels: Labels,
    batch: Batch,
    config: Config,
) -> dict[str, Float[Array, "B"]]:
    """``row_losses`` of a fusion's, or one expert's, outputs."""
    return row_losses(decode(outputs, log_scale, config.targets), labels, batch, config)


def label_means(losses: dict[str, Float[Array, "B"]], batch: Batch, total: Metrics) -> Metrics:
    """Each head's loss over ``total`` labels, of which the batch may hold a part."""
    return {k: jnp.sum(v * batch.weight) / jnp.maximum(total[k], 1.0) for k, v in losses.items()}


def weigh(losses: dict[str, Float[Array, "*rows"]], config: Config) -> Float[Array, "*rows"]:
    """The sum over heads, each at its weight."""
    return sum((v * getattr(config.loss, k) for k, v in losses.items()), jnp.zeros(()))


def _masks(batch: Batch) -> dict[str, Bool[Array, "B _"]]:
    t = batch.targets
    return {
        "direction": t.direction_mask,
        "returns": t.returns_mask,
        "volatility": t.volatility_mask,
    }
