"""Scores of a run and of the baselines: every metric with its interval, and by part of the period.

One table for each head, at its first horizon.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float

from fusionjax.config import Config, EvaluateConfig
from fusionjax.data.samples import Samples, between
from fusionjax.data.store import Market
from fusionjax.errors import InputError
from fusionjax.evaluate import baselines, leaks
from fusionjax.evaluate.inference import Ensemble, Prediction, mean
from fusionjax.evaluate.selection import folds
from fusionjax.heads.base import Head, Scored, Scorer
from fusionjax.scores import bootstrap, metrics
from fusionjax.scores.bootstrap import Draws, Score

_MIN_BLOCKS = 4  # fewer are not worth resampling
_REGIMES = ("calm", "middling", "turbulent")


@dataclasses.dataclass(frozen=True)
class ForecasterScores:
    """One forecaster's scores on one target."""

    name: str
    values: dict[str, float]
    spread: dict[str, tuple[float, float]]  # 95 % interval, or (mean - std, mean + std) over seeds
    over_seeds: bool  # what ``spread`` is
    verdict: str  # the model against this row


@dataclasses.dataclass(frozen=True)
class Part:
    """The model's scores on a part of the period."""

    by: str  # year, sector or volatility
    name: str
    samples: int
    values: dict[str, float]
    spread: dict[str, tuple[float, float]]


@dataclasses.dataclass(frozen=True)
class TargetTable:
    """All rows of one target."""

    target: str
    horizon: int
    samples: int  # scored: without labels that are unknown or between the class thresholds
    days: int
    shown: tuple[str, ...]  # metrics in the first columns
    compared: str  # the one that decides better or worse
    rows: list[ForecasterScores]
    detectable: dict[str, float]  # the least effect that these days can detect
    parts: list[Part]
    suspect: list[str] = dataclasses.field(default_factory=list)  # alarms, of all horizons


@dataclasses.dataclass(frozen=True)
class Task:
    """One head: which samples count and how a forecast of it is scored."""

    target: str
    head: Head
    keep: Bool[np.ndarray, "S"]
    scores: Scorer

    def values(self, prediction: Prediction) -> np.ndarray:
        """The part of a prediction that is scored: the first horizon's values."""
        return prediction.value[self.target][:, 0].astype(float)


def tasks(scored: Samples, market: Market, config: Config) -> dict[str, Task]:
    """The heads of a config on given samples, in the order of their tables."""
    by_name = {}
    for name, head in config.targets.items():
        labelled = Scored.of(name, scored, market, config)
        by_name[name] = Task(name, head, labelled.known, head.scorer(labelled))
    return by_name


def score_runs(
    runs: dict[str, Ensemble],
    forecasts: dict[str, list[Prediction]],
    calibrated: dict[str, np.ndarray],
    market: Market,
    config: Config,
    scored: Samples,
) -> list[TargetTable]:
    """Scores runs and every baseline on the same samples and the same resampled days.

    Args:
      runs: by name; the first is the one the verdicts are about. Its seeds are averaged into one
        forecast, and their spread is shown too. The baselines learn from what it learned from.
      forecasts: of each run's seeds, by the run's name.
      calibrated: the first run's calibrated forecast, by target.
      market: the data.
      config: of the first run.
      scored: the samples to score.

    Raises:
      InputError: no label to score, or too few days for an interval.
    """
    all_tasks = tasks(scored, market, config)
    for task in all_tasks.values():
        _require_days(task, scored, config.evaluate)
    main_name, main = next(iter(runs.items()))
    period = tuple(np.datetime64(d, "D") for d in (main.info.trained_from, main.info.trained_until))
    train = between(market, config, *period)
    learners = baselines.Baselines(main.windows, train, folds(market, config, *period), scored.row)
    tables = []
    for target, task in all_tasks.items():
        train_labels = Scored.of(target, train, market, config)
        baseline_forecasts = (
            {f"{main_name}, calibrated": calibrated[target]} if target in calibrated else {}
        )
        baseline_forecasts |= task.head.rules(train_labels, period[1], scored.row)
        fitted = learners.fitted(target, task.head)
        baseline_forecasts |= fitted
        ours = {run: [task.values(p) for p in each] for run, each in forecasts.items()}
        new = table(task, ours, baseline_forecasts, scored, market, config)
        # What is fitted to the inputs knows of a leak too, and often more of it.
        asked = {run: mean(each).value[target] for run, each in forecasts.items()}
        asked |= {name: v[:, None] for name, v in fitted.items()}
        suspect = leaks.of_head(target, asked, train, scored, market, config)
        tables.append(dataclasses.replace(new, suspect=suspect))
    return tables


def table(
    task: Task,
    runs: dict[str, list[np.ndarray]],
    baseline_forecasts: dict[str, np.ndarray],
    scored: Samples,
    market: Market,
    config: Config,
) -> TargetTable:
    """Rows of the runs, then of the baselines; a head's ``certain`` ones are scored as classes."""
    days, horizon = len(np.unique(scored.target_day)), task.head.horizons[0]
    draws = Draws.of_days(days, horizon, config.evaluate)
    all_forecasts = {
        name: np.mean(each, axis=0) for name, each in runs.items()
    } | baseline_forecasts
    compared = task.head.compared
    higher_is_better = compared not in metrics.LOSSES
    rows: list[ForecasterScores] = []
    detectable: dict[str, float] = {}
    ours = np.zeros(0)
    every_sample = np.ones(len(scored), bool)
    for name, forecast in all_forecasts.items():
        scores = task.scores(forecast, every_sample, name not in task.head.certain)
        drawn = {k: s(draws) for k, s in scores.items()}
        if not rows:
            ours = drawn[compared]
            detectable = {k: bootstrap.minimum_detectable(d) for k, d in drawn.items()}
            verdict = ""
        else:
            verdict = bootstrap.verdict(ours, drawn[compared], higher_is_better)
        seeds = len(runs.get(name, ()))
        rows.append(
            ForecasterScores(
                f"{name} ({seeds} seeds averaged)" if seeds > 1 else name,
                _points(scores, days),
                {k: bootstrap.interval(d) for k, d in drawn.items()},
                False,
                verdict,
            )
        )
        if seeds > 1:
            each = [task.scores(f, every_sample, True) for f in runs[name]]
            rows.append(_single_seeds([_points(s, days) for s in each]))
    return TargetTable(
        task.target,
        horizon,
        int(task.keep.sum()),
        days,
        task.head.shown,
        compared,
        rows,
        detectable,
        list(_parts(task, next(iter(all_forecasts.values())), draws, scored, market)),
    )


def _require_days(task: Task, scored: Samples, settings: EvaluateConfig) -> None:
    days = len(np.unique(scored.target_day[task.keep]))
    horizon = task.head.horizons[0]
    block = bootstrap.block_days(horizon, settings)
    if days < _MIN_BLOCKS * block:
        raise InputError(
            f"config.data.splits.{settings.split}: {days} days with a known "
            f"{horizon}-session label; intervals from blocks of {block} need at least "
            f"{_MIN_BLOCKS * block}. Score a longer split or set evaluate.block_sessions"
        )


def _points(scores: dict[str, Score], days: int) -> dict[str, float]:
    return {k: metrics.point(s, days) for k, s in scores.items()}


def _single_seeds(each: list[dict[str, float]]) -> ForecasterScores:
    """The row of single seeds: mean and standard deviation over them."""
    values = {k: np.array([e[k] for e in each]) for k in each[0]}
    means = {k: float(v.mean()) for k, v in values.items()}
    stds = {k: float(v.std(ddof=1)) for k, v in values.items()}
    spread = {k: (means[k] - stds[k], means[k] + stds[k]) for k in values}
    return ForecasterScores("  one seed alone: mean ± std", means, spread, True, "")


def _parts(
    task: Task, forecast: Float[np.ndarray, "S ..."], draws: Draws, scored: Samples, market: Market
) -> Iterator[Part]:
    """The shown metrics by year, by sector and by how turbulent the market was."""
    year = scored.target_day.astype("datetime64[Y]").astype(str)
    groups = {"year": year, "market": _regime(scored, market)}
    if market.sectors:
        names = np.array([market.sectors.get(s, "(none)") for s in market.symbols])
        groups["sector"] = names[market.symbol[scored.row]]
    for by, group in groups.items():
        named = [n for n in _REGIMES if n in group] if by == "market" else np.unique(group).tolist()
        for name in named if len(named) > 1 else ():
            inside = group == name
            scores = task.scores(forecast, inside, True)
            yield Part(
                by,
                name,
                int((inside & task.keep).sum()),
                {k: metrics.point(scores[k], draws.at.shape[1]) for k in task.head.shown},
                {k: bootstrap.interval(scores[k](draws)) for k in task.head.shown},
            )


def _regime(scored: Samples, market: Market) -> np.ndarray:
    """Each sample's regime: a third of the days each, by the stocks' mean 20-session volatility."""
    vol = market.channels[scored.row, market.columns(("vol20",))[0]]
    days, day = np.unique(scored.target_day, return_inverse=True)
    known = np.isfinite(vol)
    level = np.bincount(day, np.where(known, vol, 0)) / np.maximum(np.bincount(day, known), 1)
    third = np.argsort(np.argsort(level, kind="stable"), kind="stable") * 3 // len(days)
    return np.array(_REGIMES)[third][day]
