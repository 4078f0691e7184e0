"""One table a target: the model beside its floors, every number with its interval."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from rich.table import Table

from fusionjax import files
from fusionjax.config import Config
from fusionjax.data.samples import Samples, between
from fusionjax.data.store import Market
from fusionjax.errors import InputError
from fusionjax.evaluate import baselines, bootstrap, metrics
from fusionjax.evaluate.inference import Ensemble, Prediction, mean
from fusionjax.evaluate.selection import rolling_folds

# Accuracy on daily direction above this is a leak until proven otherwise (EVALUATION).
LEAK_ALARM = 0.65
# With fewer blocks than this, resampling them says nothing.
_MIN_BLOCKS = 4


@dataclasses.dataclass(frozen=True)
class Row:
    """One forecaster's scores on one target."""

    name: str
    values: dict[str, float]
    spread: dict[str, tuple[float, float]]  # 95 % interval, or (mean - std, mean + std) over seeds
    over_seeds: bool  # what ``spread`` is
    verdict: str  # the model against this row


@dataclasses.dataclass(frozen=True)
class TargetTable:
    """All rows of one target."""

    target: str
    horizon: int
    samples: int  # scored; the protocol's middle and immature labels are left out
    compared: str  # the column that decides better or worse
    rows: list[Row]


@dataclasses.dataclass(frozen=True)
class Scores:
    """The tables of a run, with what a reader must know before them."""

    name: str  # of the files
    headline: list[str]
    tables: list[TargetTable]

    def save(self, folder: Path) -> None:
        """Writes the scores as JSON and as Markdown."""
        files.write_text(folder / f"{self.name}.json", json.dumps(dataclasses.asdict(self)))
        files.write_text(folder / f"{self.name}.md", markdown(self))


@dataclasses.dataclass(frozen=True)
class _Task:
    """One target: which samples count, how they add up, what is shown and compared."""

    horizon: int
    keep: np.ndarray
    label: np.ndarray
    said: Callable[[Prediction], np.ndarray]
    add: Callable[[np.ndarray, np.ndarray], np.ndarray]
    columns: dict[str, bootstrap.Metric]
    compared: str
    higher_is_better: bool


def _tasks(scored: Samples, config: Config) -> dict[str, _Task]:
    t, horizons = scored.targets, config.targets
    return {
        "direction": _Task(
            horizons.direction[0],
            metrics.known(t.direction_mask),
            t.direction[:, 0],
            lambda p: p.up[:, 0],
            metrics.direction_sums,
            {"accuracy": metrics.accuracy, "MCC": metrics.mcc, "log loss": metrics.log_loss},
            "MCC",
            True,
        ),
        "volatility": _Task(
            horizons.volatility[0],
            metrics.known(t.volatility_mask),
            t.log_volatility[:, 0],
            lambda p: p.log_volatility[:, 0],
            metrics.volatility_sums,
            {"MSE": metrics.mean_squared_error},
            "MSE",
            False,
        ),
    }


def score_runs(
    runs: dict[str, Ensemble], market: Market, config: Config, scored: Samples, subset: bool
) -> Scores:
    """Scores runs and every floor on the same samples and the same resampled days.

    Args:
      runs: by name; the first is the one the verdicts are about. Its seeds are averaged into one
        forecast, and their spread is shown too. The floors learn from what it learned from.
      market: the data.
      config: of the first run.
      scored: the samples to score.
      subset: score only the published sub-protocol.

    Raises:
      InputError: no label to score, or too few days for an interval.
    """
    if subset:
        scored = scored.take(scored.subset)
    tasks = _tasks(scored, config)
    for task in tasks.values():
        _require_days(task, scored, config)
    info = next(iter(runs.values())).info
    period = np.datetime64(info.trained_from, "D"), np.datetime64(info.trained_until, "D")
    train = between(market, config, *period)
    floors = baselines.Floors(
        next(iter(runs.values())).windows,
        train,
        rolling_folds(market, config, *period),
        scored.row,
    )
    rules = baselines.direction_rules(market, config, train, scored.row)
    said_by = {
        "direction": rules | floors.direction(),
        "volatility": baselines.volatility_rules(market, config, scored.row) | floors.volatility(),
    }
    said = {name: run.predict_each(scored.row) for name, run in runs.items()}
    tables = [
        TargetTable(
            target,
            task.horizon,
            int(task.keep.sum()),
            task.compared,
            _rows(task, said, said_by[target], frozenset(rules) - {"majority"}, scored, config),
        )
        for target, task in tasks.items()
    ]
    split = config.evaluate.split
    first, last = scored.target_day.min(), scored.target_day.max()
    headline = [
        f"{next(iter(runs))}: {split}{' (sub-protocol)' if subset else ''} {first} to {last}, "
        "95 % intervals from a day-block bootstrap"
    ]
    headline += [
        f"IN SAMPLE: {name} was trained on days up to {run.info.trained_until} that are scored here"
        for name, run in runs.items()
        if first <= np.datetime64(run.info.trained_until, "D")
    ]
    headline += leak_alarms(tables)
    return Scores(f"scores_{split}{'_subset' if subset else ''}", headline, tables)


def leak_alarms(tables: list[TargetTable]) -> list[str]:
    """What to say of scores that are too good to be true of the first row."""
    return [
        f"LEAK ALARM: accuracy above {LEAK_ALARM:.0%} on daily direction; find what knows the "
        "future before believing it"
        for t in tables
        if t.target == "direction" and t.horizon == 1
        if t.rows[0].values["accuracy"] > LEAK_ALARM
    ]


def _block(task: _Task, config: Config) -> int:
    """Days resampled together: at least the horizon, within which labels overlap."""
    return max(config.evaluate.block_sessions, task.horizon)


def _require_days(task: _Task, scored: Samples, config: Config) -> None:
    days, block = len(np.unique(scored.target_day[task.keep])), _block(task, config)
    if days < _MIN_BLOCKS * block:
        raise InputError(
            f"config.data.splits.{config.evaluate.split}: {days} days with a known "
            f"{task.horizon}-session label; intervals from blocks of {block} need at least "
            f"{_MIN_BLOCKS * block}. Score a longer split or set evaluate.block_sessions"
        )


def _rows(
    task: _Task,
    runs: dict[str, list[Prediction]],
    floors: dict[str, np.ndarray],
    certain: frozenset[str],
    scored: Samples,
    config: Config,
) -> list[Row]:
    """Model rows, then floor rows. ``certain`` floors give no probability to score."""
    day, block = scored.target_day[task.keep], _block(task, config)

    def day_sums(forecast: np.ndarray) -> np.ndarray:
        return metrics.by_day(task.add(task.label[task.keep], forecast[task.keep]), day)

    def draw(forecast: np.ndarray) -> np.ndarray:
        count = config.evaluate.bootstrap_samples
        return bootstrap.resampled_sums(day_sums(forecast), block, count)

    compare = task.columns[task.compared]
    together = {name: task.said(mean(each)) for name, each in runs.items()} | floors
    ours = draw(next(iter(together.values())))
    rows: list[Row] = []
    for name, forecast in together.items():
        total, drawn = day_sums(forecast).sum(0), draw(forecast)
        shown = {k: m for k, m in task.columns.items() if k != "log loss" or name not in certain}
        seeds = len(runs.get(name, ()))
        rows.append(
            Row(
                f"{name} ({seeds} seeds averaged)" if seeds > 1 else name,
                {k: float(m(total)) for k, m in shown.items()},
                {k: bootstrap.interval(m, drawn) for k, m in shown.items()},
                False,
                bootstrap.verdict(compare, ours, drawn, task.higher_is_better) if rows else "",
            )
        )
        if seeds > 1:
            sums = [day_sums(task.said(p)).sum(0) for p in runs[name]]
            rows.append(_single_seeds(sums, shown))
    return rows


def _single_seeds(sums: list[np.ndarray], shown: dict[str, bootstrap.Metric]) -> Row:
    """What one seed alone scores: mean and standard deviation over seeds."""
    each = {k: [float(m(s)) for s in sums] for k, m in shown.items()}
    means = {k: float(np.mean(v)) for k, v in each.items()}
    stds = {k: float(np.std(v, ddof=1)) for k, v in each.items()}
    spread = {k: (means[k] - stds[k], means[k] + stds[k]) for k in means}
    return Row("  one seed alone: mean ± std", means, spread, True, "")


def _cells(table: TargetTable, row: Row) -> list[str]:
    cells = []
    for column in table.rows[0].values:
        if column not in row.values:
            cells.append("–")
            continue
        low, high = row.spread[column]
        value = f"{row.values[column]:.3f}"
        cells.append(
            f"{value} ±{(high - low) / 2:.3f}"
            if row.over_seeds
            else f"{value} [{low:.3f}, {high:.3f}]"
        )
    return [row.name, *cells, row.verdict]


def _columns(table: TargetTable) -> list[str]:
    return ["", *table.rows[0].values, f"model is (paired {table.compared})"]


def _title(table: TargetTable) -> str:
    what = "direction" if table.target == "direction" else "volatility, squared error of its log"
    sessions = "next session's" if table.horizon == 1 else f"next {table.horizon} sessions'"
    return f"{sessions} {what}: {table.samples:,} samples"


def for_screen(scores: Scores) -> list[Table]:
    """The tables for a terminal."""
    made = []
    for target in scores.tables:
        table = Table(title=_title(target), title_justify="left", title_style="bold")
        for i, column in enumerate(_columns(target)):
            table.add_column(
                column, justify="right" if 0 < i <= len(target.rows[0].values) else "left"
            )
        for i, row in enumerate(target.rows):
            table.add_row(*_cells(target, row), style="bold" if i == 0 else None)
        made.append(table)
    return made


def markdown(scores: Scores) -> str:
    """The tables for a file."""
    text = "\n".join(scores.headline) + "\n"
    for target in scores.tables:
        columns = _columns(target)
        text += f"\n{_title(target)}\n\n| {' | '.join(columns)} |\n{'|---' * len(columns)}|\n"
        text += "".join(f"| {' | '.join(_cells(target, row))} |\n" for row in target.rows)
    return text
