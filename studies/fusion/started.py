"""A fusion on vectors whose forecast starts from experts, as a run's does.

What a run corrects while it trains, a study mixes afterwards: the network trains as without experts
and the forecast goes from them toward it, in logits or log volatility, as far as later data show
that it may. Where views are noisy the experts are far behind, and a network that trains to correct
them stays behind.
"""

import copy
import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int64

from fusionjax.distill import weights
from fusionjax.experts import stack
from fusionjax.scores import intervals
from fusionjax.train.state import TrainState
from fusionjax.types import Forecast
from studies.data.views import Views
from studies.fusion import view_experts
from studies.fusion.vector_experiment import VectorExperiment, only
from studies.fusion.view_experts import ViewExperts
from studies.schema import StudyConfig

_NO_REFIT = 1e-9  # share of the steps that rounds to none


class Started(NamedTuple):
    """What was trained, all seeds at once.

    Attributes:
      state: of the networks.
      notes: of the training, by name.
      steps: its length.
      experts: of every seed; none if the config has none.
      share: of every seed, how far the forecast goes from the experts to the network, by each of
        the experts' ``task.groups``.
    """

    state: TrainState
    notes: dict[str, Any]
    steps: int
    experts: list[ViewExperts]
    share: Float[np.ndarray, "seeds G"]

    def parts(self) -> dict[str, "Started"]:
        """The network and the experts, each as if it had the whole share; none without experts."""
        share = {"network": np.ones_like(self.share), "experts": np.zeros_like(self.share)}
        return {k: self._replace(share=x) for k, x in share.items()} if self.experts else {}


class StartedExperiment:
    """``VectorExperiment`` that starts from the experts of a config, if its fusion has a meta set
    to weigh them by; which of ``ladder.lengths`` it trains for is chosen by the meta set too."""

    def __init__(self, config: StudyConfig, views: list[Views]) -> None:
        self._config, self._views = config, views
        self._starts = bool(config.distill.experts) and weights.are_learned(config)
        lengths = (config.ladder.lengths if self._starts else ()) or (config.train.steps,)
        plain = config.override({"distill.experts": ()})

        def networks(**changes: Any) -> dict[int, VectorExperiment]:
            each = {n: plain.override({"train.steps": n, **changes}) for n in lengths}
            return {n: VectorExperiment(c, views) for n, c in each.items()}

        self._final = networks()
        # Trained to the end on the rows before the meta set, as the experts that forecast it are.
        self._trial = networks(**{"distill.refit_fraction": _NO_REFIT}) if self._starts else {}
        self.train = views[0].split["train"]

    def with_views(self, views: list[Views]) -> "StartedExperiment":
        """The same programs on other views, whose splits must be those of the first."""
        other = copy.copy(self)
        other._views = views
        other._final = {n: x.with_views(views) for n, x in self._final.items()}
        other._trial = {n: x.with_views(views) for n, x in self._trial.items()}
        return other

    def fit(self, subset: tuple[str, ...]) -> Started:
        """Trains all seeds with the modalities of ``subset``; the others are absent.

        Raises:
          InputError: a seed's loss became non-finite, or the config names other experts.
        """
        experts: list[ViewExperts] = []
        steps, share = next(iter(self._final)), np.ones((len(self._views), 1))
        if self._starts:
            parts = self._final[steps].inner, self._final[steps].meta
            experts = [view_experts.learned(self._config, v, subset, parts) for v in self._views]
            judged = {n: self._judged(t, experts, subset) for n, t in self._trial.items()}
            steps = min(judged, key=lambda n: judged[n][1])
            share = judged[steps][0]
        state, notes = self._final[steps].fit(subset)
        return Started(state, notes, steps, experts, share)

    def _judged(
        self, trial: VectorExperiment, experts: list[ViewExperts], subset: tuple[str, ...]
    ) -> tuple[Float[np.ndarray, "seeds G"], float]:
        """How far the meta set lets each seed go to a network, and the mean loss there."""
        meta, task = trial.meta, experts[0].task
        network = trial.predict(trial.fit(subset).state, subset, meta).outcome[task.head]
        shares, losses = [], []
        for i, (views, base) in enumerate(
            zip(self._views, self._base(experts, subset, meta), strict=True)
        ):
            day, horizon = views.time[meta], weights.horizon(self._config)
            labels = task.groups(task.label(views)[meta])
            way = [task.groups(task.as_values(moved(base, network[i], x))) for x in stack.SHARES]
            each = [  # by group: of each share and row
                np.stack([task.loss(values[g], label) for values in way])
                for g, label in enumerate(labels)
            ]
            shares.append([trusted(x, day, horizon) for x in each])
            chosen = zip(each, shares[-1], strict=True)
            losses.append(np.mean([x[stack.SHARES.index(share)].mean() for x, share in chosen]))
        return np.array(shares), float(np.mean(losses))

    def _base(
        self, experts: list[ViewExperts], subset: tuple[str, ...], rows: Int64[np.ndarray, "S"]
    ) -> list[Float[np.ndarray, "S *outputs"]]:
        """What every seed's experts forecast, as the network's head does."""
        batches = (only(v.batch, subset) for v in self._views)
        return [e.task.as_outcome(e(b, rows)) for e, b in zip(experts, batches, strict=True)]

    def predict(self, fitted: Started, subset: tuple[str, ...], rows: np.ndarray) -> Forecast:
        """Forecasts of every seed for some rows; the network's own where experts have none."""
        forecast = self._final[fitted.steps].predict(fitted.state, subset, rows)
        if not fitted.experts:
            return forecast
        head, base = fitted.experts[0].task.head, self._base(fitted.experts, subset, rows)
        network = forecast.outcome[head]
        mixed = [moved(b, n, s) for b, n, s in zip(base, network, fitted.share, strict=True)]
        return dataclasses.replace(forecast, outcome={**forecast.outcome, head: jnp.stack(mixed)})


def trusted(losses: Float[np.ndarray, "K S"], day: Int64[np.ndarray, "S"], horizon: int) -> float:
    """How far the meta set lets a forecast go from experts to a network, or its later half if that
    lets it go further: experts may rely on what has ended since, which the network's selection of
    modalities drops by the same later half. Arguments as of ``stack.trusted``."""
    days = np.unique(day)
    share = stack.trusted(losses, day, horizon)
    if len(days) // 2 < intervals.least_days(horizon, lasting=False):
        return share
    later = day >= days[len(days) // 2]
    return max(share, stack.trusted(losses[:, later], day[later], horizon))


def moved(
    base: Float[np.ndarray, "S *outputs"],
    network: Float[Array, "S *outputs"],
    share: float | Float[np.ndarray, "G"],
) -> Float[Array, "S *outputs"]:
    """Forecasts a share of the way from experts to a network; at 0 and 1 those of one, to the bit.
    Rows that experts do not forecast are the network's.

    Args:
      base: log probabilities, or the volatility of each horizon.
      network: the same, or logits.
      share: of all, or of each horizon.
    """
    share = np.broadcast_to(share, network.shape)
    same_scale = jax.nn.log_softmax(network) if network.ndim == 3 else network  # classes
    way = jnp.where(share == 0, base, base + share * (same_scale - base))
    return jnp.where(np.isnan(base) | (share == 1), network, way)
