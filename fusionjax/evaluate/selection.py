"""Choosing settings by rolling origin inside the training period, never on dev or test."""

import dataclasses
import itertools
from typing import Any

import numpy as np
from jax.sharding import Mesh

from fusionjax.config import Config
from fusionjax.data.samples import Samples, between, lesson
from fusionjax.data.store import Market
from fusionjax.data.windows import Scaler, Windows
from fusionjax.distill import weights
from fusionjax.errors import InputError
from fusionjax.evaluate import metrics
from fusionjax.evaluate.inference import Prediction, predict
from fusionjax.train.loop import fit
from fusionjax.train.program import Program
from fusionjax.train.run import make_program


def rolling_folds(
    market: Market, config: Config, first: np.datetime64, last: np.datetime64
) -> list[tuple[Samples, Samples]]:
    """(train, next) pairs: the last windows of a training period, each after all it learns from.

    A fold's training labels are known before its window begins.

    Raises:
      InputError: the period is too short for the folds.
    """
    days = np.unique(between(market, config, first, last).target_day)
    s = config.selection
    if s.folds < 1 or len(days) < 2 * s.folds * s.fold_sessions:
        raise InputError(
            f"config.selection: {s.folds} folds of {s.fold_sessions} sessions need "
            f"twice as many between {first} and {last}; there are {len(days)}"
        )
    edges = [len(days) - k * s.fold_sessions for k in range(s.folds, -1, -1)]
    return [
        (between(market, config, first, days[a - 1]), between(market, config, days[a], days[b - 1]))
        for a, b in itertools.pairwise(edges)
    ]


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A grid entry and its scores, means over folds."""

    changes: dict[str, Any]
    log_loss: float  # direction, nats
    mcc: float
    volatility_mse: float
    objective: float  # what is minimised: direction and volatility, weighted as in the config


def select(market: Market, config: Config, mesh: Mesh) -> list[Candidate]:
    """Trains every entry of ``config.selection.grid`` on every fold; best first."""
    first, last = (np.datetime64(d, "D") for d in config.data.splits[config.train.split])
    folds = rolling_folds(market, config, first, last)
    candidates = [
        _candidate(market, config, config.override(changes), changes, folds, mesh)
        for changes in config.selection.grid
    ]
    return sorted(candidates, key=lambda c: c.objective)


def _candidate(
    market: Market,
    config: Config,
    tried: Config,
    changes: dict[str, Any],
    folds: list[tuple[Samples, Samples]],
    mesh: Mesh,
) -> Candidate:
    """Trains one setting on every fold; ``config`` weighs the scores, the same for all settings."""
    batch_size = tried.train.global_batch_size
    program: Program | None = None
    scores = []
    for k, (before, after) in enumerate(folds):
        windows = Windows(market, tried, Scaler.fit(market, after.target_day.min() - 1))
        days = before.target_day.min(), after.target_day.min() - 1
        learnt = lesson(market, tried, *days, weights.anchor_share(tried))
        program = program or make_program(tried, mesh, windows, learnt.anchor_sessions)
        state = fit(
            tried,
            program,
            learnt,
            windows,
            label=f"{changes} fold {k + 1}",
        )
        said = predict(program, state.ema_params, windows, after.row, batch_size)
        scores.append(score(said, after))
    log_loss, mcc, mse = np.mean(scores, axis=0).tolist()
    objective = config.loss.direction * log_loss + config.loss.volatility * mse
    return Candidate(changes, log_loss, mcc, mse, objective)


def score(said: Prediction, samples: Samples) -> tuple[float, float, float]:
    """Log loss and MCC of direction, squared error of log volatility."""
    d, v = (
        metrics.known(m) for m in (samples.targets.direction_mask, samples.targets.volatility_mask)
    )
    direction = metrics.direction_sums(samples.targets.direction[d, 0], said.up[d, 0]).sum(0)
    volatility = metrics.volatility_sums(
        samples.targets.log_volatility[v, 0], said.log_volatility[v, 0]
    ).sum(0)
    return (
        float(metrics.log_loss(direction)),
        float(metrics.mcc(direction)),
        float(metrics.mean_squared_error(volatility)),
    )
