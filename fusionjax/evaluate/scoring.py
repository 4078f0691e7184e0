"""A run scored beside the baselines: every metric with its interval, whole and by part of the
period.

A table a head, at its first horizon.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float

from fusionjax.config import Config
from fusionjax.data.samples import Samples, between
from fusionjax.data.store import Market
from fusionjax.errors import InputError
from fusionjax.evaluate import baselines
from fusionjax.evaluate.inference import Ensemble, Prediction
from fusionjax.evaluate.selection import folds
from fusionjax.heads.base import Head, Scored, Scorer
from fusionjax.scores import bootstrap, metrics
from fusionjax.scores.bootstrap import Draws, Score

_MIN_BLOCKS = 4  # with fewer, resampling them says nothing
_REGIMES = ("calm", "middling", "turbulent")


@dataclasses.dataclass(frozen=True)
class Floor:
    """Another forecast of a target, to be compared with.

    Attributes:
      forecast: of every sample.
      certain: it gives a class and no probability.
    """

    forecast: np.ndarray
    certain: bool = False


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
    samples: int  # scored; the protocol's middle and immature labels are left out
    days: int
    shown: tuple[str, ...]  # metrics that head the table
    compared: str  # the one that decides better or worse
    rows: list[ForecasterScores]
    detectable: dict[str, float]  # the least effect these days can tell from none
    parts: list[Part]


@dataclasses.dataclass(frozen=True)
class Task:
    """One head: which samples count and how a forecast of it is scored."""

    target: str
    head: Head
    keep: Bool[np.ndarray, "S"]
    scores: Scorer

    def said(self, prediction: Prediction) -> np.ndarray:
        """What is scored of a prediction: the first horizon's values."""
        return prediction.value[self.target][:, 0].astype(float)


def tasks(scored: Samples, market: Market, config: Config) -> dict[str, Task]:
    """The heads of a config on given samples, in the order of their tables."""
    made = {}
    for name, head in config.targets.items():
        asked = Scored.of(name, scored, market, config)
        made[name] = Task(name, head, asked.known, head.scorer(asked))
    return made


def score_runs(
    runs: dict[str, Ensemble],
    said: dict[str, list[Prediction]],
    calibrated: dict[str, np.ndarray],
    market: Market,
    config: Config,
    scored: Samples,
) -> list[TargetTable]:
    """Scores runs and every baseline on the same samples and the same resampled days.

    Args:
      runs: by name; the first is the one the verdicts are about. Its seeds are averaged into one
        forecast, and their spread is shown too. The baselines learn from what it learned from.
      said: what each seed of each run says of the samples.
      calibrated: the first run's forecast by target, once more, as calibrated.
      market: the data.
      config: of the first run.
      scored: the samples to score.

    Raises:
      InputError: no label to score, or too few days for an interval.
    """
    wanted = tasks(scored, market, config)
    for task in wanted.values():
        _require_days(task, scored, config)
    name, first = next(iter(runs.items()))
    period = tuple(
        np.datetime64(d, "D") for d in (first.info.trained_from, first.info.trained_until)
    )
    train = between(market, config, *period)
    learners = baselines.Baselines(first.windows, train, folds(market, config, *period), scored.row)
    made = []
    for target, task in wanted.items():
        known = Scored.of(target, train, market, config)
        baseline_forecasts = (
            {f"{name}, calibrated": calibrated[target]} if target in calibrated else {}
        )
        baseline_forecasts |= task.head.rules(known, period[1], scored.row)
        baseline_forecasts |= learners.fitted(target, task.head)
        ours = {run: [task.said(p) for p in each] for run, each in said.items()}
        made.append(table(task, ours, baseline_forecasts, scored, market, config))
    return made


def table(
    task: Task,
    runs: dict[str, list[np.ndarray]],
    baseline_forecasts: dict[str, np.ndarray],
    scored: Samples,
    market: Market,
    config: Config,
) -> TargetTable:
    """Model rows, then baseline rows; those that are ``certain`` give no probability to score."""
    days, horizon = len(np.unique(scored.target_day)), task.head.horizons[0]
    draws = Draws.of_days(days, horizon, config)
    together = {name: np.mean(each, axis=0) for name, each in runs.items()} | baseline_forecasts
    compared = task.head.compared
    better_up = compared not in metrics.LOSSES
    rows: list[ForecasterScores] = []
    detectable: dict[str, float] = {}
    ours = np.zeros(0)
    everyone = np.ones(len(scored), bool)
    for name, forecast in together.items():
        scores = task.scores(forecast, everyone, name not in task.head.certain)
        drawn = {k: s(draws) for k, s in scores.items()}
        if not rows:
            ours = drawn[compared]
            detectable = {k: bootstrap.minimum_detectable(d) for k, d in drawn.items()}
            verdict = ""
        else:
            verdict = bootstrap.verdict(ours, drawn[compared], better_up)
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
            each = [task.scores(f, everyone, True) for f in runs[name]]
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
        list(_parts(task, next(iter(together.values())), draws, scored, market)),
    )


def leak_alarms(tables: list[TargetTable], config: Config) -> list[str]:
    """What to say of scores that are too good to be true of the first row."""
    return [
        f"LEAK ALARM: {figure}; find what knows the future before believing it"
        for t in tables
        for figure in config.targets[t.target].alarms(t.rows[0].values, t.rows[0].spread)
    ]


def _require_days(task: Task, scored: Samples, config: Config) -> None:
    days = len(np.unique(scored.target_day[task.keep]))
    horizon = task.head.horizons[0]
    block = bootstrap.block_days(horizon, config)
    if days < _MIN_BLOCKS * block:
        raise InputError(
            f"config.data.splits.{config.evaluate.split}: {days} days with a known "
            f"{horizon}-session label; intervals from blocks of {block} need at least "
            f"{_MIN_BLOCKS * block}. Score a longer split or set evaluate.block_sessions"
        )


def _points(scores: dict[str, Score], days: int) -> dict[str, float]:
    return {k: metrics.point(s, days) for k, s in scores.items()}


def _single_seeds(each: list[dict[str, float]]) -> ForecasterScores:
    """What one seed alone scores: mean and standard deviation over seeds."""
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
    """A third of the days each, by the mean volatility of the stocks' last 20 sessions."""
    vol = market.channels[scored.row, market.columns(("vol20",))[0]]
    days, at = np.unique(scored.target_day, return_inverse=True)
    seen = np.isfinite(vol)
    level = np.bincount(at, np.where(seen, vol, 0)) / np.maximum(np.bincount(at, seen), 1)
    third = np.argsort(np.argsort(level, kind="stable"), kind="stable") * 3 // len(days)
    return np.array(_REGIMES)[third][at]
