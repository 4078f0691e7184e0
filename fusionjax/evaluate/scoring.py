"""Scores of a run and of the baselines: every metric with its interval, and by part of the period.

One table for each head and horizon, and a second one where a published protocol leaves samples out.
"""

import dataclasses
import functools
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int

from fusionjax.config import Config, EvaluateConfig
from fusionjax.data.samples import Samples, between
from fusionjax.data.store import Market
from fusionjax.errors import InputError
from fusionjax.evaluate import baselines, leaks
from fusionjax.evaluate.inference import Forecaster, Prediction
from fusionjax.evaluate.selection import folds
from fusionjax.experts.stacked import CACHE
from fusionjax.heads.base import Head, Scored, Scorer
from fusionjax.scores import intervals, metrics
from fusionjax.scores.intervals import Estimate, Score

_REGIMES = ("calm", "middling", "turbulent")
EXPERTS_ALONE = "the experts alone"
_CALIBRATED = ", calibrated"
OWN_PARTS = (EXPERTS_ALONE, _CALIBRATED)  # how rows of the model's own parts end
UNFILTERED = "all samples"  # variant of a table with the samples that a protocol leaves out


@dataclasses.dataclass(frozen=True)
class ForecasterScores:
    """One forecaster's scores on one target."""

    name: str
    values: dict[str, float]
    spread: dict[str, tuple[float, float]]  # 95 % interval, infinite where none holds; or
    # (mean - std, mean + std) over seeds
    over_seeds: bool  # what ``spread`` is
    verdict: str  # the model against this row
    # The metric that decides, the model less this row: value and 95 % interval of the paired
    # difference; empty for the model itself, and in scores of earlier versions.
    difference: tuple[float, ...] = ()


@dataclasses.dataclass(frozen=True)
class Part:
    """The model's scores on a part of the period."""

    by: str  # year, sector or volatility
    name: str
    samples: int
    values: dict[str, float]
    spread: dict[str, tuple[float, float]]  # 95 % intervals, infinite where none holds


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
    detectable: dict[str, float]  # the least effect that these days can detect; infinite: none
    parts: list[Part]
    variant: str = ""  # unless it is the head's first table: which horizon or samples
    suspect: list[str] = dataclasses.field(default_factory=list)  # alarms, once a horizon

    @property
    def others(self) -> list[ForecasterScores]:
        """The rows of forecasters that are no part of the model and are compared with it."""
        return [r for r in self.rows[1:] if r.verdict and not r.name.endswith(OWN_PARTS)]

    @property
    def name(self) -> str:
        """Of the target and the variant: no two tables have the same."""
        return f"{self.target} {self.variant}".strip()


@dataclasses.dataclass(frozen=True)
class Task:
    """One head at one horizon: which samples count and how a forecast of it is scored.

    Attributes:
      target: the head's name.
      at: number of the horizon among the head's.
      head: with this horizon alone.
      labelled: the samples.
      variant: see ``TargetTable``.
      calls: names of forecasters that give no probability.
    """

    target: str
    at: int
    head: Head
    labelled: Scored
    variant: str
    calls: frozenset[str] = frozenset()

    @functools.cached_property
    def scores(self) -> Scorer:
        """Scores forecasts of the samples."""
        return self.head.scorer(self.labelled)

    @property
    def keep(self) -> Bool[np.ndarray, "S"]:
        """The samples that count."""
        return self.labelled.known

    def values(self, prediction: Prediction) -> np.ndarray:
        """The part of a prediction that is scored: this horizon's values."""
        return prediction.value[self.target][:, self.at].astype(float)


def tasks(scored: Samples, market: Market, config: Config) -> dict[str, Task]:
    """What is scored of given samples, by its table's name, in the order of the tables: each head
    at each horizon, then with the samples that a published protocol leaves out."""
    by_name = {}
    for target, head in config.targets.items():
        for at in range(len(head.horizons)):
            one, labelled = head.one(at), Scored.of(target, scored, market, config, at)
            variants = {head.suffix(at).lstrip("_"): labelled}
            if (every := one.unfiltered(labelled)) is not None:
                variants[f"{next(iter(variants))} {UNFILTERED}".strip()] = every
            for variant, samples in variants.items():
                by_name[f"{target} {variant}".strip()] = Task(target, at, one, samples, variant)
    return by_name


def score_runs(
    runs: Mapping[str, Forecaster],
    forecasts: dict[str, list[Prediction]],
    calibrated: dict[str, np.ndarray],
    market: Market,
    config: Config,
    scored: Samples,
) -> list[TargetTable]:
    """Scores runs and every baseline on the same samples and days.

    Args:
      runs: by name; the first is the one the verdicts are about. Its seeds are averaged into one
        forecast, and their spread is shown too. The baselines learn from what it learned from.
      forecasts: of each run's seeds, by the run's name.
      calibrated: the first run's calibrated forecast [S, H, ...], by target.
      market: the data.
      config: of the first run.
      scored: the samples to score.

    Raises:
      InputError: no label of a head's first horizon; tables of other horizons are then
        left out.
    """
    all_tasks = tasks(scored, market, config).values()
    unknown = {(t.target, t.at): _unknown(t, scored, config.evaluate) for t in all_tasks}
    for (_, at), why in unknown.items():
        if why and at == 0:
            raise InputError(why)
    main_name, main = next(iter(runs.items()))
    period = main.learned
    train = between(market, config, *period)
    learners = baselines.Baselines(
        main.windows,
        train,
        folds(market, config, *period),
        scored.row,
        period[1],
        Path(config.data.prepared) / CACHE,
    )
    baseline_forecasts: dict[tuple[str, int], dict[str, np.ndarray]] = {}
    tables = []
    for task in all_tasks:
        target, at = task.target, task.at
        if unknown[target, at]:
            continue
        given = {run: each for run, each in forecasts.items() if target in each[0].value}
        ours = {run: [task.values(p) for p in each] for run, each in given.items()}
        ours = {run: each for run, each in ours.items() if np.isfinite(each).any()}
        suspect: list[str] = []
        if (target, at) not in baseline_forecasts:
            fitted = learners.fitted(target, task.head, at)
            train_labels = Scored.of(target, train, market, config, at)
            corrected = calibrated[target][:, at] if target in calibrated else None
            baseline_forecasts[target, at] = {
                **_experts(main, target, at, scored.row),
                **({} if corrected is None else {f"{main_name}{_CALIBRATED}": corrected}),
                **task.head.rules(train_labels, period[1], scored.row),
                **fitted,
            }
            # What is fitted to the inputs knows of a leak too, and often more of it.
            asked = {run: np.mean(each, axis=0) for run, each in ours.items()} | fitted
            suspect = leaks.of_horizon(target, at, asked, train_labels, task.labelled)
        calls = frozenset(name for name, run in runs.items() if target in run.calls)
        task = dataclasses.replace(task, calls=calls)
        baseline = baseline_forecasts[target, at]
        new = table(task, ours, baseline, scored, market, config)
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
    all_forecasts = {
        name: np.mean(each, axis=0) for name, each in runs.items()
    } | baseline_forecasts
    main, ours_forecast = next(iter(all_forecasts.items()))
    period = Period.of(task, scored)
    compared = task.head.compared
    rows: list[ForecasterScores] = []
    every_sample = np.ones(len(scored), bool)
    for name, forecast in all_forecasts.items():
        soft = name not in task.head.certain | task.calls
        scores = task.scores(forecast, every_sample, soft)
        values = period.values(scores)
        estimates = {k: period.estimate(k, s, values[k]) for k, s in scores.items()}
        verdict, difference = "", tuple[float, ...]()
        if not rows:
            ours, our_score = estimates, scores[compared]
        else:
            verdict, difference = period.paired(compared, our_score, scores[compared])
        seeds = len(runs.get(name, ()))
        title = f"{name} ({seeds} seeds averaged)" if seeds > 1 else name
        spread = {k: e.interval() for k, e in estimates.items()}
        rows.append(ForecasterScores(title, values, spread, False, verdict, difference))
        if seeds > 1:
            each = [task.scores(f, every_sample, True) for f in runs[name]]
            rows.append(_single_seeds([period.values(s) for s in each]))
    return TargetTable(
        task.target,
        period.horizon,
        int(task.keep.sum()),
        period.days,
        task.head.shown,
        compared,
        rows,
        {k: e.detectable for k, e in ours.items()},
        list(_parts(task, ours_forecast, main not in task.calls, period, scored, market)),
        task.variant,
    )


def _experts(
    run: Forecaster, target: str, at: int, rows: np.ndarray
) -> dict[str, Float[np.ndarray, "S ..."]]:
    """What a run's experts forecast together, without its network, if it starts from any."""
    stack = run.windows.stack
    if stack is None or (target, at) not in stack.experts.weight:
        return {}
    return {EXPERTS_ALONE: stack(rows).value[target][:, at].astype(float)}


@dataclasses.dataclass(frozen=True)
class Period:
    """Days over which scores are estimated.

    Attributes:
      days: of the whole period.
      inside: those that hold samples to score.
      horizon: sessions of a label.
    """

    days: int
    inside: Int[np.ndarray, "inside"]
    horizon: int

    @staticmethod
    def of(task: Task, scored: Samples, keep: np.ndarray | None = None) -> "Period":
        """The days of a task's samples, or of those of them to ``keep``."""
        all_days, day = np.unique(scored.target_day, return_inverse=True)
        used = task.keep if keep is None else task.keep & keep
        return Period(len(all_days), np.unique(day[used]), task.head.horizons[0])

    def values(self, scores: dict[str, Score]) -> dict[str, float]:
        return {k: metrics.point(s, self.days) for k, s in scores.items()}

    def influence(self, score: Score) -> np.ndarray:
        return intervals.influences(score, self.days, self.inside)

    def estimate(self, metric: str, score: Score, value: float) -> Estimate:
        """A metric with its error; without one where no interval holds."""
        if metrics.lasting(metric) or not np.isfinite(value):
            return Estimate(value, np.inf, 1.0)
        return Estimate.of(value, self.influence(score), self.horizon, lasting=False)

    def paired(self, metric: str, ours: Score, theirs: Score) -> tuple[str, tuple[float, ...]]:
        """The verdict on our forecast against another, and the paired difference of a metric with
        its interval."""
        lasting = metrics.lasting(metric)

        def gap(weight: np.ndarray) -> np.ndarray:
            return ours(weight) - theirs(weight)

        value = metrics.point(gap, self.days)
        difference = Estimate.of(value, self.influence(gap), self.horizon, lasting)
        needed = intervals.least_days(self.horizon, lasting)
        verdict = intervals.verdict(difference, metric not in metrics.LOSSES, needed)
        return verdict, (value, *difference.interval())


def _unknown(task: Task, scored: Samples, settings: EvaluateConfig) -> str:
    """That no label is known, in words; empty if one is."""
    if task.keep.any():
        return ""
    first, last = scored.target_day[[0, -1]]
    return (
        f"config.data.splits.{settings.split}: no {task.head.horizons[0]}-session label of "
        f"{task.target} is known from {first} to {last}; score a longer split"
    )


def _single_seeds(each: list[dict[str, float]]) -> ForecasterScores:
    """The row of single seeds: mean and standard deviation over them."""
    values = {k: np.array([e[k] for e in each]) for k in each[0]}
    means = {k: float(v.mean()) for k, v in values.items()}
    stds = {k: float(v.std(ddof=1)) for k, v in values.items()}
    spread = {k: (means[k] - stds[k], means[k] + stds[k]) for k in values}
    return ForecasterScores("  one seed alone: mean ± std", means, spread, True, "")


def _parts(
    task: Task,
    forecast: Float[np.ndarray, "S ..."],
    soft: bool,
    whole: Period,
    scored: Samples,
    market: Market,
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
            scores = task.scores(forecast, inside, soft)
            values = whole.values({k: scores[k] for k in task.head.shown if k in scores})
            period = Period.of(task, scored, inside)
            spread = {k: period.estimate(k, scores[k], v).interval() for k, v in values.items()}
            yield Part(by, name, int((inside & task.keep).sum()), values, spread)


def _regime(scored: Samples, market: Market) -> np.ndarray:
    """Each sample's regime: a third of the days each, by the stocks' mean 20-session volatility."""
    vol = market.channels[scored.row, market.columns(("vol20",))[0]]
    days, day = np.unique(scored.target_day, return_inverse=True)
    known = np.isfinite(vol)
    level = np.bincount(day, np.where(known, vol, 0)) / np.maximum(np.bincount(day, known), 1)
    third = np.argsort(np.argsort(level, kind="stable"), kind="stable") * 3 // len(days)
    return np.array(_REGIMES)[third][day]
