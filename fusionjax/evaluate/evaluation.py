"""One evaluation, from runs to tables: forecast, calibrate, score, compare, check for leaks.

Calibration uses only labels that matured before each forecast, from the first session after
training on, so that no sample is calibrated by its own label.
"""

import dataclasses
import hashlib
import time
from collections.abc import Mapping
from pathlib import Path

import jax
import numpy as np
import pandas as pd

from fusionjax import files, ledger
from fusionjax.config import Config
from fusionjax.data.samples import Samples, between, period
from fusionjax.data.store import Market
from fusionjax.errors import InputError
from fusionjax.evaluate import ablation, diagnostics, scoring
from fusionjax.evaluate.inference import Ensemble, Prediction, mean
from fusionjax.evaluate.table import Scores
from fusionjax.heads.base import Scored
from fusionjax.ledger import Record, scored_before
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
      forced: the split is locked and was scored before.
      alone: folder for trainings of single modalities, shown as baselines; None shows none.
    """

    subset: bool = False
    forced: bool = False
    alone: Path | None = None


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Scores, the forecasts they are of, and the ledger record."""

    scores: Scores
    outcomes: Outcomes
    record: Record


def evaluate(
    runs: dict[str, Ensemble],
    market: Market,
    config: Config,
    records: list[Record],
    options: Options = Options(),
) -> Evaluation:
    """Scores runs on ``config.evaluate.split`` beside every baseline.

    Args:
      runs: by name; the first is the one the verdicts are about.
      market: the data.
      config: of the first run.
      records: the ledger; its evaluations of this split are the trials.
      options: which samples, and whether beside single modalities.

    Raises:
      InputError: no sample or label to score, or too few days for an interval.
    """
    started, split = time.perf_counter(), config.evaluate.split
    name, first = next(iter(runs.items()))
    info = first.info
    start, last = period(config.data, split)
    untrained = np.datetime64(info.trained_until, "D") + 1
    samples = between(market, config, min(start, untrained), last)
    inside = samples.target_day >= start
    if options.subset:
        inside &= samples.subset
    scored = samples.take(inside)
    if not len(scored):
        raise InputError(
            f"config.data.splits.{split} is {start} to {last}, where the data has no "
            f"sample: it runs from {market.session.min()} to {market.session.max()}"
        )
    each = {name: run.predict_each(samples.row) for name, run in runs.items()}
    averaged = mean(each[name])
    by_head = calibrated(averaged, samples, market, config)
    corrected = {k: v[inside] for k, v in by_head.items() if v is not None}
    forecasts = {name: [p.take(inside) for p in seeds] for name, seeds in each.items()}
    tables = scoring.score_runs(
        runs,
        forecasts
        | ({} if options.alone is None else _alone(first, market, config, scored, options.alone)),
        corrected,
        market,
        config,
        scored,
    )
    heads = {k: Scored.of(k, scored, market, config) for k in config.targets}
    first_horizon = {k: v[inside, 0].astype(float) for k, v in averaged.value.items()}
    rows = _frame(averaged.take(inside), forecasts[name], corrected, heads, market, config)
    earned = (h.daily_return(first_horizon[k], heads[k]) for k, h in config.targets.items())
    daily: dict[str, float] = next(filter(None, earned), {})
    lines = _of_period(runs, f"{split}{' (sub-protocol)' if options.subset else ''}", scored)
    for k, head in config.targets.items():
        lines += head.headline(first_horizon[k], heads[k])
    lines.append(_of_trials(scored_before(records, config.data, split), name, daily))
    ending = suffix(config, options)
    answer = config.evaluate.leak_alarm_override.strip()
    scores = Scores(f"scores_{ending}", lines, tables, answer, scored_key(runs, config, options))
    record = ledger.record(
        "evaluate",
        config,
        ledger.Subject(name, market.fingerprint, first.seed_numbers, split),
        ledger.Result(
            scores.metrics,
            {"seconds": time.perf_counter() - started},
            daily,
            options.forced,
            tuple(scores.suspect),
        ),
    )
    return Evaluation(scores, Outcomes(f"outcomes_{ending}", rows, daily), record)


def publish(new: Evaluation, config: Config, folder: Path, records: Path) -> dict[str, list[str]]:
    """Writes an evaluation into the run folder and the ledger; returns anomalies by stage.

    Scores with a leak alarm are marked in each file; ``leaks.require_answered`` ends a command.
    """
    new.scores.save(folder)
    new.outcomes.save(folder, new.scores.marks)
    ledger.append(records, new.record)
    return diagnostics.diagnose(folder, config, new.outcomes.name)


def scored_key(runs: dict[str, Ensemble], config: Config, options: Options) -> str:
    """Tells whether two evaluations are of the same parameters, data, settings and options."""
    unanswered = config.override({"evaluate.leak_alarm_override": ""})
    digest = hashlib.sha256(unanswered.to_json().encode())
    digest.update(f"{options.subset} {options.alone is not None}".encode())
    for name, run in runs.items():
        digest.update(f"{name} {run.windows.market.fingerprint}".encode())
        for leaf in jax.tree.leaves(run.seeds):
            digest.update(np.asarray(leaf).tobytes())
    return digest.hexdigest()


def calibrated(
    prediction: Prediction, samples: Samples, market: Market, config: Config
) -> dict[str, np.ndarray | None]:
    """By head, the calibrated values of the first horizon; None if it has no calibration."""
    return {
        name: head.calibrated(
            prediction.value[name][:, 0].astype(float), Scored.of(name, samples, market, config)
        )
        for name, head in config.targets.items()
    }


def _alone(
    run: Ensemble, market: Market, config: Config, scored: Samples, folder: Path
) -> dict[str, list[Prediction]]:
    """Forecasts of trainings on each modality alone, by seed; none if there is only one."""
    trainings = ablation.Trainings(market, config, make_mesh(config.mesh), scored, folder)
    names = config.modalities if len(config.modalities) > 1 else ()
    return {f"{m} alone": [trainings.alone(m, seed) for seed in run.seed_numbers] for m in names}


def _frame(
    averaged: Prediction,
    each: list[Prediction],
    calibrated: Mapping[str, np.ndarray],
    by_head: dict[str, Scored],
    market: Market,
    config: Config,
) -> pd.DataFrame:
    """One row a sample: its keys, each head's forecast and outcome, fusion weights."""
    samples = next(iter(by_head.values()))
    columns = {
        "row": samples.row,
        "symbol": np.array(market.symbols)[market.symbol[samples.row]],
        "session": market.session[samples.row].astype("datetime64[s]"),
        "target_day": samples.target_day.astype("datetime64[s]"),
        "close": market.adj_close[samples.row],
    }
    for name, head in config.targets.items():
        seeds = np.stack([p.value[name][:, 0] for p in each])
        value = averaged.value[name][:, 0]
        columns |= head.columns(value, calibrated.get(name), seeds, by_head[name])
    weights = {
        f"weight.{m}": averaged.modality_weight[:, i] for i, m in enumerate(config.modalities)
    }
    return pd.DataFrame(columns | weights)


def _of_period(runs: dict[str, Ensemble], what: str, scored: Samples) -> list[str]:
    """The scored period, and which runs were trained on part of it."""
    first, last = scored.target_day.min(), scored.target_day.max()
    return [
        f"{next(iter(runs))}: {what} {first} to {last}, 95 % intervals from a day-block bootstrap",
        *(
            f"IN SAMPLE: {name} was trained on days up to {run.info.trained_until} that are scored"
            for name, run in runs.items()
            if first <= np.datetime64(run.info.trained_until, "D")
        ),
    ]


def _of_trials(before: list[Record], run: str, daily: dict[str, float]) -> str:
    """The Sharpe ratio corrected for the ledger's other trials on this split."""
    others = {r.run: r.daily for r in before if r.run != run and r.daily.keys() == daily.keys()}
    ours = np.array(list(daily.values()))
    count = len(others) + 1
    text = f"Trial {count} on this split, by the ledger"
    if not others:
        return text
    returns = np.column_stack([ours, *(np.array(list(d.values())) for d in others.values())])
    sharpes = returns.mean(0) / np.maximum(returns.std(0, ddof=1), 1e-12)
    blocks = min(_BLOCKS, len(ours) // 2 * 2)
    return (
        f"{text}; at {COST} bps: deflated Sharpe {trials.deflated_sharpe(ours, sharpes):.2f} "
        "(the chance that its true Sharpe is above 0 after as many trials), probability of "
        f"backtest overfitting {trials.overfitting_probability(returns, blocks):.2f}"
    )
