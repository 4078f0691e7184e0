"""A fusion on vectors whose forecast starts from experts, as a run's does.

What a run corrects while it trains, a study mixes afterwards: the network trains as without experts
and the forecast goes from them toward it, in logits, as far as later data show that it may. Where
views are noisy the experts are far behind, and a network that trains to correct them stays behind.
"""

import copy
import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int64
from scipy.special import softmax

from fusionjax.distill import weights
from fusionjax.experts import stack
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
      share: of every seed, how far the forecast goes from the experts to the network.
    """

    state: TrainState
    notes: dict[str, Any]
    steps: int
    experts: list[ViewExperts]
    share: Float[np.ndarray, "seeds"]


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
        steps, share = next(iter(self._final)), np.ones(len(self._views))
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
    ) -> tuple[Float[np.ndarray, "seeds"], float]:
        """How far the meta set lets each seed go to a network, and the mean loss there."""
        meta, horizon = trial.meta, weights.horizon(self._config)
        network = trial.predict(trial.fit(subset).state, subset, meta).outcome["direction"]
        shares, losses = [], []
        for i, (views, base) in enumerate(
            zip(self._views, self._base(experts, subset, meta), strict=True)
        ):
            label = views.batch.targets.label["direction"][meta, 0]
            way = [np.asarray(moved(base, network[i], s))[:, 0] for s in stack.SHARES]
            each = np.stack([view_experts.loss(softmax(x.astype(float), -1), label) for x in way])
            shares.append(stack.trusted(each, views.time[meta], horizon))
            losses.append(each[stack.SHARES.index(shares[-1])].mean())
        return np.array(shares), float(np.mean(losses))

    def _base(
        self, experts: list[ViewExperts], subset: tuple[str, ...], rows: Int64[np.ndarray, "S"]
    ) -> list[Float[np.ndarray, "S 1 C"]]:
        """The logarithms of what every seed's experts forecast."""
        batches = (only(v.batch, subset) for v in self._views)
        return [np.log(e(b, rows))[:, None] for e, b in zip(experts, batches, strict=True)]

    def predict(self, fitted: Started, subset: tuple[str, ...], rows: np.ndarray) -> Forecast:
        """Forecasts of every seed for some rows; the network's own where experts have none."""
        forecast = self._final[fitted.steps].predict(fitted.state, subset, rows)
        if not fitted.experts:
            return forecast
        network, base = forecast.outcome["direction"], self._base(fitted.experts, subset, rows)
        mixed = [moved(b, n, s) for b, n, s in zip(base, network, fitted.share, strict=True)]
        outcome = {**forecast.outcome, "direction": jnp.stack(mixed)}
        return dataclasses.replace(forecast, outcome=outcome)


def moved(
    base: Float[np.ndarray, "S 1 C"], network: Float[Array, "S 1 C"], share: float
) -> Float[Array, "S 1 C"]:
    """Logits a share of the way from experts to a network; at 0 and 1 those of one, to the bit.
    Rows that experts do not forecast are the network's."""
    if share == 1:
        return network
    way = base + share * (jax.nn.log_softmax(network) - base) if share else base
    return jnp.where(np.isnan(base), network, way)
