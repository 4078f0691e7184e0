"""The training loss: one term a head, each a mean over its known labels."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from fusionjax.config import Heads
from fusionjax.models.heads import decode
from fusionjax.types import Batch, Labels, Outcome

Metrics = dict[str, Float[Array, ""]]


def label_counts(batch: Batch) -> Metrics:
    """Each head's total label weight in a batch, by which its summed loss is divided."""
    weight = batch.weight[:, None]
    return {name: jnp.sum(jnp.where(m, weight, 0.0)) for name, m in batch.targets.mask.items()}


def row_losses(
    outcome: Outcome, labels: Labels, batch: Batch, heads: Heads
) -> dict[str, Float[Array, "B"]]:
    """Each sample's loss in each head, summed over horizons; 0 where the label is unknown.

    Not weighted by ``batch.weight``.
    """
    losses = {
        name: head.loss(outcome[name], labels[name], batch.log_scale)
        for name, head in heads.items()
    }
    masks = batch.targets.mask
    return {name: jnp.where(masks[name], loss, 0.0).sum(-1) for name, loss in losses.items()}


def output_losses(
    outputs: Float[Array, "B O"],
    log_scale: Float[Array, "B"],
    labels: Labels,
    batch: Batch,
    heads: Heads,
) -> dict[str, Float[Array, "B"]]:
    """``row_losses`` of a fusion's, or one expert's, outputs."""
    return row_losses(decode(outputs, log_scale, heads, batch.base), labels, batch, heads)


def label_means(losses: dict[str, Float[Array, "B"]], batch: Batch, total: Metrics) -> Metrics:
    """Each head's loss divided by ``total`` labels, of which the batch may hold only a part."""
    return {k: jnp.sum(v * batch.weight) / jnp.maximum(total[k], 1.0) for k, v in losses.items()}


def weigh(losses: dict[str, Float[Array, "*rows"]], heads: Heads) -> Float[Array, "*rows"]:
    """The weighted sum over heads, in the config's order."""
    return sum((losses[k] * head.weight for k, head in heads.items()), jnp.zeros(()))
