"""Runs where the refit phase begins: how much of the network's correction of the experts counts."""

import dataclasses
from typing import Any

import jax
import numpy as np
from jaxtyping import Bool, Float, Shaped

from fusionjax.data.pipeline import labelled_batches
from fusionjax.distill import weights
from fusionjax.experts import stack
from fusionjax.train import events
from fusionjax.train.hook import Hook, TrainingLoop
from fusionjax.train.hooks.modality_selection import some_in_order
from fusionjax.train.program import meta_batch_size
from fusionjax.train.quarantine import Exclusions


class Corrections(Hook):
    """Judges the network, which has not trained on the meta set yet, by the meta set.

    Each head's correction counts by the share whose fall of the loss is largest after two standard
    errors are taken off (``experts.stack.trusted``): a network goes on changing in the refit phase.
    0 leaves the experts as they are, to the bit. A step that is repeated after a rollback is judged
    again.

    Args:
      exclusions: samples that are left out.
    """

    def __init__(self, exclusions: Exclusions) -> None:
        self._exclusions = exclusions

    def before_step(self, loop: TrainingLoop) -> None:
        """Judges at that step."""
        config = loop.run.config
        if loop.training_data.meta is None or not config.stacked_heads:
            return
        if loop.step == weights.refit_start(config):
            with loop.goodput.spent("settle"):
                self._judge(loop)

    def _judge(self, loop: TrainingLoop) -> None:
        run, config = loop.run, loop.run.config
        training_data = self._exclusions.without_excluded(loop.training_data, loop.step)
        assert training_data.meta is not None
        meta = some_in_order(training_data.meta)
        params, size = loop.state.ema_params, meta_batch_size(config.train)
        encoded, batch = run.program.encode(params, labelled_batches(meta, run.windows, size))
        losses = run.program.corrections(params, encoded, batch)
        assert batch.base is not None
        mask, known = batch.targets.mask, batch.base.known
        finite = {name: np.isfinite(x).all(0) for name, x in losses.items()}
        counts = {name: mask[name] & known[name] & finite[name] for name in known}
        gains = {
            name: np.array(
                [
                    _share(losses[name][:, :, at], counts[name][:, at], meta.target_day, horizon)
                    for at, horizon in enumerate(head.horizons)
                ],
                np.float32,
            )
            for name, head in config.stacked_heads.items()
        }
        loop.state = dataclasses.replace(
            loop.state,
            params=_with(loop.state.params, gains),
            ema_params=_with(loop.state.ema_params, gains),
        )
        words = ", ".join(
            f"{name} {head.horizons[at]}d {gains[name][at]:.0%}"
            for name, head in config.stacked_heads.items()
            for at in range(len(head.horizons))
        )
        text = f"{run.label}: the network corrects the experts by {words} of what it would"
        listed = {name: g.astype(float).round(3).tolist() for name, g in gains.items()}
        events.tell("T7", text, loop.folder, step=loop.step, gains=listed)


def _share(
    losses: Float[np.ndarray, "K N"],
    counts: Bool[np.ndarray, "N"],
    days: Shaped[np.ndarray, "N"],
    horizon: int,
) -> float:
    """How much of a head's correction at one horizon counts; none of it without a sample."""
    if not counts.any():
        return 0.0
    return stack.trusted(losses[:, counts].astype(float), days[counts], horizon)


def _with(params: Any, gains: dict[str, np.ndarray]) -> Any:
    """The parameters with new gains, in arrays of their own: the step donates its state."""
    new = {f"gain_{k}": jax.device_put(g, params[f"gain_{k}"].sharding) for k, g in gains.items()}
    return {**params, **new}
