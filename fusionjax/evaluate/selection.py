"""Folds of the training period and a setting's score on them: no choice uses dev or test."""

import dataclasses

import numpy as np
from jax.sharding import Mesh

from fusionjax.config import Config, Heads
from fusionjax.data.samples import Samples, between, label_end, period, training_data
from fusionjax.data.store import Market
from fusionjax.data.windows import Scaler, Windows
from fusionjax.distill import weights
from fusionjax.errors import InputError
from fusionjax.evaluate import leaks, splits
from fusionjax.evaluate.inference import Prediction, predict
from fusionjax.experts import stacked
from fusionjax.train.job import Run
from fusionjax.train.loop import fit
from fusionjax.train.program import Program
from fusionjax.train.run import make_program

FoldSamples = tuple[Samples, Samples]  # to train on, to score


def folds(
    market: Market, config: Config, first: np.datetime64, last: np.datetime64
) -> list[FoldSamples]:
    """The folds of a training period by ``config.selection``.

    No training label spans a scored session, whatever the scheme: folds are purged by when the last
    of a sample's labels is known, which gaps in a symbol's bars delay.

    Raises:
      InputError: the period is too short for the folds.
    """
    samples, s = between(market, config, first, last), config.selection
    start = market.ordinal[samples.row]
    end = label_end(market, config, samples.row, last)
    if s.scheme == "walk_forward":
        days = len(np.unique(start))
        if days < 2 * s.folds * s.fold_sessions:
            raise InputError(
                f"config.selection: {s.folds} folds of {s.fold_sessions} sessions need "
                f"twice as many between {first} and {last}; there are {days}"
            )
        chosen = splits.walk_forward(start, end, s.folds, s.fold_sessions, s.embargo)
    elif s.scheme == "purged_k_fold":
        chosen = splits.purged_k_fold(start, end, s.folds, s.embargo)
    else:
        chosen = splits.combinatorial_purged(start, end, s.folds, s.held_out, s.embargo)
    return [(samples.take(fold.train), samples.take(fold.test)) for fold in chosen]


def objective(scores: dict[str, float], heads: Heads) -> float:
    """The loss by which settings are chosen: the heads' ``fold_loss``, weighted as in training."""
    judged = (h for h in heads.values() if h.fold_loss[0])
    return sum((h.weight * scores[h.fold_loss[0]] for h in judged), 0.0)


def objective_in_words(heads: Heads) -> str:
    """``objective`` as a formula, for a page."""
    judged = (h for h in heads.values() if h.fold_loss[0])
    return " + ".join(f"{h.weight:g} × {h.fold_loss[1]}" for h in judged)


class Selection:
    """Trains one setting on every fold; compiles once for each length of the meta set."""

    def __init__(self, market: Market, config: Config, mesh: Mesh) -> None:
        first, last = period(config.data, config.train.split)
        self._market, self._config, self._mesh, self._first = market, config, mesh, first
        self._folds = folds(market, config, first, last)
        self._programs: dict[int, Program] = {}
        self.suspect: list[str] = []  # leak alarms of the last scores

    def scores(self, seed: int) -> dict[str, float]:
        """Trains on every fold and scores what comes after: means over folds."""
        config = dataclasses.replace(self._config, seed=seed)
        self.suspect = []
        each = [
            self._score(config, before, after, f"seed {seed}, fold {k + 1} of {len(self._folds)}")
            for k, (before, after) in enumerate(self._folds)
        ]
        means = np.mean([[*scores.values()] for scores in each], axis=0)
        return dict(zip(each[0], means.tolist(), strict=True))

    def _score(
        self, config: Config, before: Samples, after: Samples, label: str
    ) -> dict[str, float]:
        market, last = self._market, before.target_day.max()
        training = training_data(market, config, self._first, last, weights.meta_fraction(config))
        training = training.only(before.row)
        windows = Windows(market, config, Scaler.fit(market, last, np.unique(after.target_day)))
        windows = stacked.started(windows, training, last)
        meta = training.meta_sessions
        if meta not in self._programs:
            self._programs[meta] = make_program(config, self._mesh, windows, meta)
        program = self._programs[meta]
        state = fit(Run(config, windows, program, label), training)
        size = config.train.global_batch_size
        prediction = predict(program, state.ema_params, windows, after.row, size)
        self.suspect += leaks.of_prediction(label, prediction, before, after, market, config)
        return score(prediction, after, config.targets)


def score(prediction: Prediction, samples: Samples, heads: Heads) -> dict[str, float]:
    """The heads' ``fold_scores`` at the first horizon."""
    scores: dict[str, float] = {}
    for name, head in heads.items():
        label, mask = samples.targets.label[name][:, 0], samples.targets.mask[name][:, 0]
        scores |= head.fold_scores(prediction.value[name][mask, 0], label[mask])
    return scores
