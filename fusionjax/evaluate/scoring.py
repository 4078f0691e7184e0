"""A run scored beside its floors: every metric with its interval, whole and by part of the period.

A table a target: direction, returns and volatility, each at its first horizon.
"""

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import Bool, Float, Int64, Shaped

from fusionjax.config import Config
from fusionjax.data.samples import Samples, between, growth
from fusionjax.data.store import Market
from fusionjax.errors import InputError
from fusionjax.evaluate import baselines, bootstrap, metrics, portfolio
from fusionjax.evaluate.bootstrap import Draws, Score
from fusionjax.evaluate.inference import Ensemble, Prediction
from fusionjax.evaluate.selection import folds

# Better than this on a daily horizon is a leak until proven otherwise (EVALUATION).
_LEAKY_ACCURACY, _LEAKY_IC, _LEAKY_SESSIONS = 0.65, 0.10, 5
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
class Row:
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
    rows: list[Row]
    detectable: dict[str, float]  # the least effect these days can tell from none
    parts: list[Part]


@dataclasses.dataclass(frozen=True)
class Task:
    """One target: which samples count and how a forecast of it is scored."""

    target: str
    horizon: int
    keep: Bool[np.ndarray, "S"]
    shown: tuple[str, ...]
    compared: str
    said: Callable[[Prediction], np.ndarray]
    # (forecast of all samples, samples to count, whether it holds probabilities) -> scores
    scores: Callable[[np.ndarray, np.ndarray, bool], dict[str, Score]]


def tasks(scored: Samples, market: Market, config: Config) -> dict[str, Task]:
    """The targets of a config on given samples, in the order of their tables."""
    t, horizons = scored.targets, config.targets
    dates, day = np.unique(scored.target_day, return_inverse=True)
    days = len(dates)
    ahead, matured = growth(market, scored.row, horizons.direction[0], scored.target_day.max())
    direction_known = metrics.known(t.direction_mask)

    def direction(up: np.ndarray, keep: np.ndarray, sure: bool) -> dict[str, Score]:
        k, m = keep & direction_known, keep & matured
        score = metrics.classification if sure else metrics.called
        p = np.stack([1 - up, up], 1)
        return {
            **score(t.direction[k, 0], p[k], day[k], days),
            **metrics.ranking(up[m], np.log(ahead[m]), day[m], days),
            **portfolio.metrics(book(up, scored.row, scored.target_day, market, config, keep)),
        }

    def returns(q: np.ndarray, keep: np.ndarray, sure: bool) -> dict[str, Score]:
        k = keep & metrics.known(t.returns_mask)
        y = t.returns[k, 0].astype(float)
        return metrics.distribution(y, q[k], horizons.quantiles, day[k], days)

    def volatility(log_volatility: np.ndarray, keep: np.ndarray, sure: bool) -> dict[str, Score]:
        k = keep & metrics.known(t.volatility_mask)
        y = t.log_volatility[k, 0].astype(float)
        return metrics.regression(y, log_volatility[k], day[k], days)

    return {
        "direction": Task(
            "direction",
            horizons.direction[0],
            direction_known,
            ("accuracy", "MCC", "IC", "log loss"),
            "MCC",
            lambda p: p.up[:, 0].astype(float),
            direction,
        ),
        "returns": Task(
            "returns",
            horizons.returns[0],
            metrics.known(t.returns_mask),
            ("pinball", "CRPS", "PIT distance", "coverage"),
            "pinball",
            lambda p: p.return_quantiles[:, 0].astype(float),
            returns,
        ),
        "volatility": Task(
            "volatility",
            horizons.volatility[0],
            metrics.known(t.volatility_mask),
            ("MSE", "MAE"),
            "MSE",
            lambda p: p.log_volatility[:, 0].astype(float),
            volatility,
        ),
    }


def book(
    up: Float[np.ndarray, "S"],
    row: Int64[np.ndarray, "S"],
    target_day: Shaped[np.ndarray, "S"],
    market: Market,
    config: Config,
    keep: Bool[np.ndarray, "S"] | None = None,
) -> portfolio.Book:
    """What the probabilities would have earned on the days of these samples."""
    days, day = np.unique(target_day, return_inverse=True)
    tomorrow = market.adj_close[row + 1] / market.adj_close[row] - 1
    at = np.arange(len(row)) if keep is None else np.flatnonzero(keep)
    symbol = market.symbol[row].astype(int)
    return portfolio.book(
        up[at], tomorrow[at], symbol[at], day[at], len(days), config.targets.direction[0]
    )


def score_runs(
    runs: dict[str, Ensemble],
    said: dict[str, list[Prediction]],
    calibrated: dict[str, np.ndarray],
    market: Market,
    config: Config,
    scored: Samples,
) -> list[TargetTable]:
    """Scores runs and every floor on the same samples and the same resampled days.

    Args:
      runs: by name; the first is the one the verdicts are about. Its seeds are averaged into one
        forecast, and their spread is shown too. The floors learn from what it learned from.
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
    learners = baselines.Floors(first.windows, train, folds(market, config, *period), scored.row)
    rules = baselines.direction_rules(market, config, train, scored.row)
    floors = {
        "direction": rules | learners.direction(),
        "returns": baselines.return_rules(market, config, train, scored.row),
        "volatility": baselines.volatility_rules(market, config, period[1], scored.row)
        | learners.volatility(),
    }
    certain = frozenset(rules) - {"majority"}
    return [
        table(
            task,
            {run: [task.said(p) for p in each] for run, each in said.items()},
            {
                **({f"{name}, calibrated": Floor(calibrated[t])} if t in calibrated else {}),
                **{rule: Floor(said_by, rule in certain) for rule, said_by in floors[t].items()},
            },
            scored,
            market,
            config,
        )
        for t, task in wanted.items()
    ]


def table(
    task: Task,
    runs: dict[str, list[np.ndarray]],
    floors: dict[str, Floor],
    scored: Samples,
    market: Market,
    config: Config,
) -> TargetTable:
    """Model rows, then floor rows."""
    days = len(np.unique(scored.target_day))
    draws = Draws.of_days(days, task.horizon, config)
    together = {name: np.mean(each, axis=0) for name, each in runs.items()}
    together |= {name: floor.forecast for name, floor in floors.items()}
    better_up = task.compared not in metrics.LOSSES
    rows: list[Row] = []
    detectable: dict[str, float] = {}
    ours = np.zeros(0)
    everyone = np.ones(len(scored), bool)
    for name, forecast in together.items():
        sure = name not in floors or not floors[name].certain
        scores = task.scores(forecast, everyone, sure)
        drawn = {k: s(draws) for k, s in scores.items()}
        if not rows:
            ours = drawn[task.compared]
            detectable = {k: bootstrap.minimum_detectable(d) for k, d in drawn.items()}
            verdict = ""
        else:
            verdict = bootstrap.verdict(ours, drawn[task.compared], better_up)
        seeds = len(runs.get(name, ()))
        rows.append(
            Row(
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
        task.horizon,
        int(task.keep.sum()),
        days,
        task.shown,
        task.compared,
        rows,
        detectable,
        list(_parts(task, next(iter(together.values())), draws, scored, market)),
    )


def leak_alarms(tables: list[TargetTable]) -> list[str]:
    """What to say of scores that are too good to be true of the first row."""
    alarms = []
    for t in tables:
        if t.target != "direction":
            continue
        accuracy, ic = (t.rows[0].values[k] for k in ("accuracy", "IC"))
        if t.horizon == 1 and accuracy > _LEAKY_ACCURACY:
            alarms.append(
                f"LEAK ALARM: accuracy {accuracy:.1%}, above {_LEAKY_ACCURACY:.0%}, on daily "
                "direction; find what knows the future before believing it"
            )
        low, high = t.rows[0].spread["IC"]
        # Few samples reach such a value by chance.
        if t.horizon <= _LEAKY_SESSIONS and abs(ic) > _LEAKY_IC and not low <= 0 <= high:
            alarms.append(
                f"LEAK ALARM: IC {ic:+.3f}, beyond ±{_LEAKY_IC:.2f}, at {t.horizon} session(s); "
                "find what knows the future before believing it"
            )
    return alarms


def _require_days(task: Task, scored: Samples, config: Config) -> None:
    days = len(np.unique(scored.target_day[task.keep]))
    block = bootstrap.block_days(task.horizon, config)
    if days < _MIN_BLOCKS * block:
        raise InputError(
            f"config.data.splits.{config.evaluate.split}: {days} days with a known "
            f"{task.horizon}-session label; intervals from blocks of {block} need at least "
            f"{_MIN_BLOCKS * block}. Score a longer split or set evaluate.block_sessions"
        )


def _points(scores: dict[str, Score], days: int) -> dict[str, float]:
    return {k: metrics.point(s, days) for k, s in scores.items()}


def _single_seeds(each: list[dict[str, float]]) -> Row:
    """What one seed alone scores: mean and standard deviation over seeds."""
    values = {k: np.array([e[k] for e in each]) for k in each[0]}
    means = {k: float(v.mean()) for k, v in values.items()}
    stds = {k: float(v.std(ddof=1)) for k, v in values.items()}
    spread = {k: (means[k] - stds[k], means[k] + stds[k]) for k in values}
    return Row("  one seed alone: mean ± std", means, spread, True, "")


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
                {k: metrics.point(scores[k], draws.at.shape[1]) for k in task.shown},
                {k: bootstrap.interval(scores[k](draws)) for k in task.shown},
            )


def _regime(scored: Samples, market: Market) -> np.ndarray:
    """A third of the days each, by the mean volatility of the stocks' last 20 sessions."""
    vol = market.channels[scored.row, market.columns(("vol20",))[0]]
    days, at = np.unique(scored.target_day, return_inverse=True)
    seen = np.isfinite(vol)
    level = np.bincount(at, np.where(seen, vol, 0)) / np.maximum(np.bincount(at, seen), 1)
    third = np.argsort(np.argsort(level, kind="stable"), kind="stable") * 3 // len(days)
    return np.array(_REGIMES)[third][at]
