"""One evaluation, from runs to tables: forecast, calibrate, score, compare, doubt.

Calibrations learn from matured labels only, from the first session after training on, so that no
part of the scored split is used twice.
"""

import dataclasses
import time
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float

from fusionjax import files, ledger
from fusionjax.config import Config
from fusionjax.data.samples import Samples, between, growth, period, realised_log_volatility
from fusionjax.data.store import Market
from fusionjax.errors import InputError
from fusionjax.evaluate import ablation, calibration, diagnostics, metrics, scoring, trials
from fusionjax.evaluate.inference import Ensemble, Prediction, mean
from fusionjax.evaluate.table import Scores
from fusionjax.ledger import Record, scored_before
from fusionjax.parallel.mesh import make_mesh

COST = 10  # basis points at which trials are compared
_BLOCKS = 16  # of the days, for the probability of overfitting


@dataclasses.dataclass(frozen=True)
class Outcomes:
    """What a run forecast of each sample and what came, beside its scores."""

    name: str  # of the file
    rows: pd.DataFrame
    daily: dict[str, float]  # the book's net return of each day, at ``COST`` basis points

    def save(self, folder: Path) -> None:
        """Writes the rows as parquet."""
        with files.replaced(folder / f"{self.name}.parquet") as f:
            self.rows.to_parquet(f, index=False)


@dataclasses.dataclass(frozen=True)
class Asked:
    """What an evaluation is asked for.

    Attributes:
      subset: score only the published sub-protocol.
      forced: the split is locked and was scored before.
      alone: where trainings with one modality alone are kept, or will be; None shows none.
    """

    subset: bool = False
    forced: bool = False
    alone: Path | None = None


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Scores, what they are scores of, and the record of it."""

    scores: Scores
    outcomes: Outcomes
    record: Record


def evaluate(
    runs: dict[str, Ensemble],
    market: Market,
    config: Config,
    records: list[Record],
    asked: Asked = Asked(),
) -> Evaluation:
    """Scores runs on ``config.evaluate.split`` beside every floor.

    Args:
      runs: by name; the first is the one the verdicts are about.
      market: the data.
      config: of the first run.
      records: the ledger; its evaluations of this split are the trials.
      asked: which samples, and whether beside single modalities.

    Raises:
      InputError: no sample or label to score, or too few days for an interval.
    """
    begun, split = time.perf_counter(), config.evaluate.split
    name, first = next(iter(runs.items()))
    info = first.info
    opened, last = period(config, split)
    seen = np.datetime64(info.trained_until, "D") + 1
    whole = between(market, config, min(opened, seen), last)
    inside = whole.target_day >= opened
    if asked.subset:
        inside &= whole.subset
    scored = whole.take(inside)
    if not len(scored):
        raise InputError(
            f"config.data.splits.{split} is {opened} to {last}, where the data has no "
            f"sample: it runs from {market.session.min()} to {market.session.max()}"
        )
    each = {name: run.predict_each(whole.row) for name, run in runs.items()}
    up, quantiles = calibrated(mean(each[name]), whole, market, config)
    tables = scoring.score_runs(
        runs,
        {name: [p.take(inside) for p in said] for name, said in each.items()}
        | ({} if asked.alone is None else _alone(first, market, config, scored, asked.alone)),
        {"direction": up[inside], "returns": quantiles[inside]},
        market,
        config,
        scored,
    )
    said = mean(each[name]).take(inside)
    rows = _frame(said, up[inside], quantiles[inside], scored, market, config)
    rows["up_spread"] = _spread([p.take(inside) for p in each[name]])
    up_said = said.up[:, 0].astype(float)
    book = scoring.book(up_said, scored.row, scored.target_day, market, config)
    days = np.unique(scored.target_day).astype(str).tolist()
    daily = dict(zip(days, book.net(COST).round(8).tolist(), strict=True))
    headline = _of_period(runs, f"{split}{' (sub-protocol)' if asked.subset else ''}", scored)
    headline += _of_ic(said, scored, market, config)
    headline.append(_of_trials(scored_before(records, config, split), name, daily))
    headline += scoring.leak_alarms(tables)
    suffix = f"{split}{'_subset' if asked.subset else ''}"
    scores = Scores(f"scores_{suffix}", headline, tables)
    record = ledger.record(
        "evaluate",
        config,
        ledger.Subject(name, market.fingerprint, first.seed_numbers, split),
        ledger.Result(
            scores.metrics, {"seconds": time.perf_counter() - begun}, daily, asked.forced
        ),
    )
    return Evaluation(scores, Outcomes(f"outcomes_{suffix}", rows, daily), record)


def publish(made: Evaluation, config: Config, folder: Path, records: Path) -> dict[str, list[str]]:
    """Writes what was scored into the run folder and the ledger; returns what is odd, by stage.

    Raises:
      InputError: it is too good to be true, and the config does not say why it is.
    """
    require_answered(made.scores, config)
    made.scores.save(folder)
    made.outcomes.save(folder)
    ledger.append(records, made.record)
    return diagnostics.diagnose(folder, config, made.outcomes.name)


def require_answered(scores: Scores, config: Config) -> None:
    """Raises InputError for a leak alarm that ``config.evaluate.leak_answer`` does not answer."""
    alarms = [line for line in scores.headline if line.startswith("LEAK ALARM")]
    if alarms and not config.evaluate.leak_answer.strip():
        raise InputError(
            f"{alarms[0]}. No result was written; once you know why it is true, say so: "
            '--config.evaluate.leak_answer="the reason"'
        )


def calibrated(
    said: Prediction, whole: Samples, market: Market, config: Config
) -> tuple[Float[np.ndarray, "S"], Float[np.ndarray, "S Q"]]:
    """The first horizons' probability of up and return quantiles, calibrated as time goes on.

    The probability by temperature, the outermost quantiles by adaptive conformal intervals.
    """
    sessions = np.unique(market.session)
    start = np.searchsorted(sessions, market.session[whole.row])
    t, targets = whole.targets, config.targets
    p = np.clip(said.up[:, 0].astype(float), 1e-6, 1 - 1e-6)
    logit = np.log(p / (1 - p))
    temperature = calibration.prequential_temperature(
        logit, t.direction[:, 0], t.direction_mask[:, 0], start, start + targets.direction[0]
    )
    quantiles = said.return_quantiles[:, 0].astype(float)
    y = np.where(t.returns_mask[:, 0], t.returns[:, 0], np.nan).astype(float)
    raw = calibration.Intervals(
        quantiles[:, 0],
        quantiles[:, -1],
        y,
        np.exp(realised_log_volatility(market, whole.row, -20)),
        start,
        start + targets.returns[0],
    )
    covered = targets.quantiles[-1] - targets.quantiles[0]
    low, high = calibration.adaptive_conformal(raw, covered)
    inner = np.clip(quantiles[:, 1:-1], low[:, None], high[:, None])
    return 1 / (1 + np.exp(-logit / temperature)), np.column_stack([low, inner, high])


def _alone(
    run: Ensemble, market: Market, config: Config, scored: Samples, folder: Path
) -> dict[str, list[Prediction]]:
    """What trainings of each of several modalities alone say of the samples, by seed."""
    made = ablation.Trainings(market, config, make_mesh(config.mesh), scored, folder)
    names = config.modalities if len(config.modalities) > 1 else ()
    return {f"{m} alone": [made.alone(m, seed) for seed in run.seed_numbers] for m in names}


def _spread(each: list[Prediction]) -> np.ndarray:
    """Standard deviation over seeds of the probability of up; NaN of one seed."""
    up = np.stack([p.up[:, 0] for p in each]).astype(float)
    return up.std(0, ddof=1) if len(up) > 1 else np.full(up.shape[1], np.nan)


def _frame(
    said: Prediction,
    up: np.ndarray,
    quantiles: np.ndarray,
    scored: Samples,
    market: Market,
    config: Config,
) -> pd.DataFrame:
    """One row a sample, at the first horizon of each target; NaN where no label counts."""
    t, targets, row = scored.targets, config.targets, scored.row

    def known(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
        return np.where(metrics.known(mask), values[:, 0], np.nan).astype(float)

    return pd.DataFrame(
        {
            "row": row,
            "symbol": np.array(market.symbols)[market.symbol[row]],
            "session": market.session[row].astype("datetime64[s]"),
            "target_day": scored.target_day.astype("datetime64[s]"),
            "close": market.adj_close[row],
            "up": said.up[:, 0],
            "up_calibrated": up,
            "rose": known(t.direction, t.direction_mask),
            "growth": growth(market, row, targets.direction[0], scored.target_day.max())[0] - 1,
            "return": known(t.returns, t.returns_mask),
            "log_volatility": said.log_volatility[:, 0],
            "log_volatility_came": known(t.log_volatility, t.volatility_mask),
            "low_raw": said.return_quantiles[:, 0, 0],
            "high_raw": said.return_quantiles[:, 0, -1],
            **{f"q{q:g}": quantiles[:, i] for i, q in enumerate(targets.quantiles)},
            **{f"weight.{m}": said.modality_weight[:, i] for i, m in enumerate(config.modalities)},
        }
    )


def _of_period(runs: dict[str, Ensemble], what: str, scored: Samples) -> list[str]:
    """What is scored, and which runs had seen it."""
    first, last = scored.target_day.min(), scored.target_day.max()
    return [
        f"{next(iter(runs))}: {what} {first} to {last}, 95 % intervals from a day-block bootstrap",
        *(
            f"IN SAMPLE: {name} was trained on days up to {run.info.trained_until} that are scored"
            for name, run in runs.items()
            if first <= np.datetime64(run.info.trained_until, "D")
        ),
    ]


def _of_ic(said: Prediction, scored: Samples, market: Market, config: Config) -> list[str]:
    """How sure the mean of the daily information coefficients is; nothing where there are none."""
    days, day = np.unique(scored.target_day, return_inverse=True)
    horizon = config.targets.direction[0]
    ahead, known = growth(market, scored.row, horizon, scored.target_day.max())
    up = said.up[:, 0].astype(float)
    daily = metrics.daily_correlation(up[known], np.log(ahead[known]), day[known], len(days))
    daily = daily[np.isfinite(daily)]
    if not len(daily):
        return []
    t = trials.newey_west_t(daily)
    return [f"Mean daily IC {daily.mean():+.3f} over {len(daily)} days, t {t:.1f} (Newey-West)"]


def _of_trials(before: list[Record], run: str, daily: dict[str, float]) -> str:
    """What is left of the Sharpe ratio after all the trials that the ledger knows of this split."""
    others = {r.run: r.daily for r in before if r.run != run and r.daily.keys() == daily.keys()}
    ours = np.array(list(daily.values()))
    count = len(others) + 1
    text = f"Trial {count} on this split, by the ledger"
    if not others:
        return text
    all_ = np.column_stack([ours, *(np.array(list(d.values())) for d in others.values())])
    sharpes = all_.mean(0) / np.maximum(all_.std(0, ddof=1), 1e-12)
    blocks = min(_BLOCKS, len(ours) // 2 * 2)
    return (
        f"{text}; at {COST} bps: deflated Sharpe {trials.deflated_sharpe(ours, sharpes):.2f} "
        "(the chance that its true Sharpe is above 0 after as many trials), probability of "
        f"backtest overfitting {trials.overfitting_probability(all_, blocks):.2f}"
    )
