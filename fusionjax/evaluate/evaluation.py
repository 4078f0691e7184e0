"""One evaluation, from runs to tables: forecast, calibrate, score, compare, check for leaks.

Calibration uses only labels that matured before each forecast, from the first session after
training on, so that no sample is calibrated by its own label.
"""

import dataclasses
import hashlib
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool

from fusionjax import files
from fusionjax.config import Config, Heads
from fusionjax.data.samples import Samples, between, period, require_any
from fusionjax.data.store import Market
from fusionjax.evaluate import ablation, coverage, diagnostics, labels, readings, scoring
from fusionjax.evaluate.inference import Ensemble, Forecaster, Prediction, mean
from fusionjax.evaluate.readings import Question, Reading
from fusionjax.evaluate.table import Scores
from fusionjax.heads.base import Scored
from fusionjax.ledger import Record, Result, Subject
from fusionjax.parallel.mesh import make_mesh
from fusionjax.scores import trials
from fusionjax.scores.portfolio import COST

_BLOCKS = 16  # of the days, for the probability of overfitting


def suffix(config: Config, options: "Options") -> str:
    """Ends the names of an evaluation's files."""
    return f"{config.evaluate.split}{'_subset' if options.subset else ''}"


@dataclasses.dataclass(frozen=True)
class Outcomes:
    """A run's forecasts and the outcomes, one row a sample."""

    name: str  # of the file
    rows: pd.DataFrame
    daily: dict[str, float]  # net return of each day, of the first head that is traded

    def save(self, folder: Path, marks: list[str]) -> None:
        """Writes the rows as parquet, with the marks of suspect scores in its metadata."""
        self.rows.attrs = {"marks": marks} if marks else {}
        with files.replaced(folder / f"{self.name}.parquet") as f:
            self.rows.to_parquet(f, index=False)


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of an evaluation.

    Attributes:
      subset: score only the published sub-protocol.
      alone: folder for trainings of single modalities, shown as baselines; None shows none.
      common: score only the samples that every forecaster forecasts.
    """

    subset: bool = False
    alone: Path | None = None
    common: bool = False


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Scores, the forecasts they are of, and the ledger record, which is written."""

    scores: Scores
    outcomes: Outcomes
    record: Record


def evaluate(
    runs: Mapping[str, Forecaster],
    market: Market,
    config: Config,
    ledger: Path,
    options: Options = Options(),
) -> Evaluation:
    """Scores runs on ``config.evaluate.split`` beside every baseline.

    That the labels are read is on record before anything is scored, and the scores are before this
    returns.

    Args:
      runs: by name; the first is the one the verdicts are about.
      market: the data.
      config: of the first run.
      ledger: its folder; what was scored on these days before are the trials.
      options: which samples, and whether beside single modalities.

    Raises:
      InputError: no sample or label to score, a sample that a file of forecasts lacks, or a locked
        hold-out that was read before.
    """
    started = time.perf_counter()
    name, first = next(iter(runs.items()))
    samples, inside = _asked(first, market, config, options)
    ids = _trials(runs, config, options)
    question = Question(
        "evaluate",
        config,
        Subject(first.source, market.fingerprint, first.seed_numbers, config.evaluate.split),
        labels.of_samples(market, samples.take(inside)),
        tuple(ids.values()),
        tuple(run.config for run in runs.values()),
        ledger,
        market.encoders,
    )
    question.require_unread()
    each = {k: run.predict_each(samples.row) for k, run in runs.items()}
    inside, remarks = coverage.kept(each, samples, inside, market, config, options.common)
    scored = samples.take(inside)
    forecasts = {k: [p.take(inside) for p in seeds] for k, seeds in each.items()}
    if isinstance(first, Ensemble) and options.alone is not None:
        forecasts |= _alone(first, market, config, scored, options.alone)
    reading = question.begin()
    averaged = mean(each[name])
    by_head = calibrated(averaged, samples, market, config)
    corrected = {k: v[inside] for k, v in by_head.items() if v is not None}
    probabilities = {k: v for k, v in corrected.items() if k not in first.calls}
    tables = scoring.score_runs(runs, forecasts, probabilities, market, config, scored)
    corrected |= {k: np.full_like(v, np.nan) for k, v in corrected.items() if k in first.calls}
    rows = _frame(averaged.take(inside), forecasts[name], corrected, scored, market, config)
    heads = {k: Scored.of(k, scored, market, config) for k in config.targets}
    daily = {trial: _daily(mean(forecasts[k]), heads, config.targets) for k, trial in ids.items()}
    lines = [
        *_of_period(runs, config, options, scored),
        *remarks,
        *_headlines(averaged.take(inside), heads, config.targets),
        *_unscored(tables, config.targets),
        _of_trials(reading, ids[name], daily),
        *reading.warnings,
    ]
    ending, answer = suffix(config, options), config.evaluate.leak_alarm_override.strip()
    scores = Scores(f"scores_{ending}", lines, tables, answer, scored_key(runs, config, options))
    cost = {"seconds": time.perf_counter() - started}
    result = Result(scores.metrics, cost, daily[ids[name]], tuple(scores.suspect))
    record = reading.finish(result, daily)
    outcomes = Outcomes(f"outcomes_{ending}", rows, daily[ids[name]])
    return Evaluation(scores, outcomes, record)


def _asked(
    first: Forecaster, market: Market, config: Config, options: Options
) -> tuple[Samples, Bool[np.ndarray, "S"]]:
    """The samples to forecast, and which of them to score: the others calibrate."""
    split = config.evaluate.split
    start, last = period(config.data, split)
    samples = between(market, config, min(start, first.since), last)
    inside = samples.target_day >= start
    if options.subset:
        inside &= samples.subset
    require_any(samples.take(inside), market, config.data, split)
    return samples, inside


def _trials(runs: Mapping[str, Forecaster], config: Config, options: Options) -> dict[str, str]:
    """What tells each run, and each training on a modality alone, from all others."""
    ids = {k: readings.of_run(run) for k, run in runs.items()}
    main = next(iter(ids.values()))
    singles = _singles(config) if options.alone is not None else ()
    return ids | {k: readings.variant(main, k) for k in singles}


def publish(new: Evaluation, config: Config, folder: Path) -> dict[str, list[str]]:
    """Writes an evaluation into the run folder; returns anomalies by stage.

    Scores with a leak alarm are marked in each file; ``leaks.require_answered`` ends a command.
    """
    new.scores.save(folder)
    new.outcomes.save(folder, new.scores.marks)
    return diagnostics.diagnose(folder, config, new.outcomes.name)


def scored_key(runs: Mapping[str, Forecaster], config: Config, options: Options) -> str:
    """Tells whether two evaluations are of the same parameters, data, settings and options."""
    unanswered = config.override({"evaluate.leak_alarm_override": ""})
    digest = hashlib.sha256(unanswered.to_json().encode())
    digest.update(f"{options.subset} {options.alone is not None} {options.common}".encode())
    for name, run in runs.items():
        digest.update(f"{name} {run.windows.market.fingerprint} {run.identity()}".encode())
    return digest.hexdigest()


def calibrated(
    prediction: Prediction, samples: Samples, market: Market, config: Config
) -> dict[str, np.ndarray | None]:
    """By head, the calibrated values [S, H, ...]; None if it has no calibration."""

    def at_each_horizon(name: str) -> Iterator[np.ndarray]:
        for at in range(len(config.targets[name].horizons)):
            value = prediction.value[name][:, at].astype(float)
            given = np.isfinite(value).reshape(len(value), -1).all(1)  # a file may lack some
            scored = Scored.of(name, samples.take(given), market, config, at)
            corrected = config.targets[name].one(at).calibrated(value[given], scored)
            if corrected is not None:
                value[given] = corrected
                yield value

    by_head = {name: [*at_each_horizon(name)] for name in config.targets}
    return {name: np.stack(each, 1) if each else None for name, each in by_head.items()}


def _singles(config: Config) -> tuple[str, ...]:
    """Names of the trainings on each modality alone; none if there is only one."""
    return tuple(f"{m} alone" for m in config.modalities) if len(config.modalities) > 1 else ()


def _alone(
    run: Ensemble, market: Market, config: Config, scored: Samples, folder: Path
) -> dict[str, list[Prediction]]:
    """Forecasts of the trainings of ``_singles``, by seed."""
    trainings = ablation.Trainings(market, config, make_mesh(config.mesh), scored, folder)
    return {
        name: [trainings.alone(m, seed) for seed in run.seed_numbers]
        for name, m in zip(_singles(config), config.modalities, strict=False)
    }


def _daily(forecast: Prediction, scored: dict[str, Scored], heads: Heads) -> dict[str, float]:
    """Net return of each day, of the first head that is traded."""
    earned = (
        head.daily_return(forecast.value[k][:, 0].astype(float), scored[k])
        for k, head in heads.items()
        if k in forecast.value and np.isfinite(forecast.value[k][:, 0]).all()
    )
    daily: dict[str, float] = next(filter(None, earned), {})
    return daily


def _frame(
    averaged: Prediction,
    each: list[Prediction],
    calibrated: Mapping[str, np.ndarray],
    samples: Samples,
    market: Market,
    config: Config,
) -> pd.DataFrame:
    """One row a sample: its keys, each head's forecast and outcome, fusion weights. Columns of a
    head's second and later horizons end in the horizon, such as ``_5d``."""
    columns = {
        "row": samples.row,
        "symbol": np.array(market.symbols)[market.symbol[samples.row]],
        "session": market.session[samples.row].astype("datetime64[s]"),
        "target_day": samples.target_day.astype("datetime64[s]"),
        "close": market.adj_close[samples.row],
    }
    for name, head in config.targets.items():
        for at in range(len(head.horizons)):
            corrected = calibrated[name][:, at] if name in calibrated else None
            of_horizon = head.one(at).columns(
                averaged.value[name][:, at],
                corrected,
                np.stack([p.value[name][:, at] for p in each]),
                Scored.of(name, samples, market, config, at),
            )
            columns |= {f"{k}{head.suffix(at)}": v for k, v in of_horizon.items()}
    weights = {
        f"weight.{m}": averaged.modality_weight[:, i]
        for i, m in enumerate(config.modalities)
        if np.isfinite(averaged.modality_weight).all()  # a file of forecasts has none
    }
    return pd.DataFrame(columns | weights)


def _of_period(
    runs: Mapping[str, Forecaster], config: Config, options: Options, scored: Samples
) -> list[str]:
    """The scored period, and what each forecaster has to say of it."""
    first, last = scored.target_day.min(), scored.target_day.max()
    what = f"{config.evaluate.split}{' (sub-protocol)' if options.subset else ''}"
    return [
        f"{next(iter(runs))}: {what} {first} to {last}, 95 % intervals over days",
        *(line for name, run in runs.items() for line in run.remarks(name, scored.target_day)),
    ]


def _headlines(forecast: Prediction, scored: dict[str, Scored], heads: Heads) -> list[str]:
    """What each head says of a forecast of its first horizon."""
    return [
        line
        for k, head in heads.items()
        for line in head.headline(forecast.value[k][:, 0].astype(float), scored[k])
    ]


def _unscored(tables: list[scoring.TargetTable], heads: Heads) -> list[str]:
    """A line for each further horizon that has no table."""
    scored = {(t.target, t.horizon) for t in tables}
    return [
        f"{name} at {horizon} sessions is not scored: no label is known"
        for name, head in heads.items()
        for horizon in head.horizons
        if (name, horizon) not in scored
    ]


def _of_trials(reading: Reading, ours: str, daily: dict[str, dict[str, float]]) -> str:
    """The Sharpe ratio corrected for all settings that were scored on these days.

    Args:
      reading: with the earlier ones.
      ours: the trial that is reported.
      daily: net returns of the trials of this reading.
    """
    known = readings.trials_of([*reading.earlier, reading.record]) | daily
    mine = known.pop(ours)
    text = f"{reading.count}, by the ledger"
    # Series of at least half of our days, on the days that all of them have.
    near = [d for d in known.values() if 2 * len(d.keys() & mine.keys()) >= max(len(mine), 1)]
    days = sorted(mine.keys() & set.intersection(*(set(d) for d in near))) if near else []
    if len(days) < 2:
        return text
    returns = np.array([[d[day] for d in (mine, *near)] for day in days])
    sharpes = returns.mean(0) / np.maximum(returns.std(0, ddof=1), 1e-12)
    deflated = trials.deflated_sharpe(np.array([*mine.values()]), sharpes, len(known) + 1)
    overfitting = trials.overfitting_probability(returns, min(_BLOCKS, len(days) // 2 * 2))
    return (
        f"{text}; at {COST} bps: deflated Sharpe {deflated:.2f} (the chance that its true Sharpe "
        f"is above 0 after as many trials), probability of backtest overfitting {overfitting:.2f}"
        + f" ({len(near) + 1} of the trials have returns on {len(days)} common days)"
        * (len(near) < len(known) or len(days) < len(mine))
    )
