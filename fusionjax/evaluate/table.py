"""One table: the model beside its floors, every number with its interval."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from rich.table import Table

from fusionjax.config import Config
from fusionjax.data.samples import Samples
from fusionjax.data.store import Market
from fusionjax.evaluate import baselines, bootstrap, metrics
from fusionjax.evaluate.inference import Ensemble, Prediction, mean
from fusionjax.evaluate.selection import rolling_folds

# Accuracy on daily direction above this is a leak until proven otherwise (EVALUATION).
LEAK_ALARM = 0.65


@dataclasses.dataclass(frozen=True)
class Row:
    """One forecaster's scores on one target: point values, intervals, seed spread, comparison."""

    name: str
    values: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    seed_std: dict[str, float]  # empty for a single run
    verdict: str  # the model against this row; empty for the model itself


@dataclasses.dataclass(frozen=True)
class Scores:
    """The rows of both targets, with what was scored."""

    run: str
    split: str
    first: str
    last: str
    subset: bool
    in_sample: bool
    samples: int
    direction: list[Row]
    volatility: list[Row]

    def save(self, folder: Path) -> None:
        """Writes ``scores_<split>.json`` and the table as Markdown."""
        name = f"scores_{self.split}{'_subset' if self.subset else ''}"
        (folder / f"{name}.json").write_text(json.dumps(dataclasses.asdict(self), indent=2))
        (folder / f"{name}.md").write_text(markdown(self))


@dataclasses.dataclass(frozen=True)
class _Task:
    """One target of the table: which samples count, how they add up, what is shown and compared."""

    keep: np.ndarray
    label: np.ndarray
    said: Callable[[Prediction], np.ndarray]
    add: Callable[[np.ndarray, np.ndarray], np.ndarray]
    columns: dict[str, bootstrap.Metric]
    compared: str  # the column that decides better or worse
    higher_is_better: bool


def _tasks(scored: Samples) -> dict[str, _Task]:
    t = scored.targets
    return {
        "direction": _Task(
            metrics.known(t.direction_mask),
            t.direction[:, 0],
            lambda p: p.up[:, 0],
            metrics.direction_sums,
            {"accuracy": metrics.accuracy, "MCC": metrics.mcc, "log loss": metrics.log_loss},
            "MCC",
            True,
        ),
        "volatility": _Task(
            metrics.known(t.volatility_mask),
            t.log_volatility[:, 0],
            lambda p: p.log_volatility[:, 0],
            metrics.volatility_sums,
            {"MSE": metrics.mean_squared_error},
            "MSE",
            False,
        ),
    }


_TITLE = {
    "direction": "{h}-session direction, {n} samples: model against floor by paired MCC",
    "volatility": "{h}-session volatility, MSE of its log: model against floor, paired",
}


def score_run(
    ensemble: Ensemble,
    others: dict[str, Ensemble],
    market: Market,
    config: Config,
    train: Samples,
    scored: Samples,
    name: str,
    subset: bool,
) -> Scores:
    """Scores a run, other runs and every floor on the same samples and the same resampled days.

    Args:
      ensemble: the run in question; its seeds are averaged, their spread is reported.
      others: more runs to show, by name, e.g. a stale parent.
      market: the data.
      config: of the run.
      train: what the run learned from: the floors learn from the same.
      scored: the samples to score.
      name: of the run.
      subset: score only the published sub-protocol.
    """
    if subset:
        scored = scored.take(scored.subset)
    each = ensemble.predict_each(scored.row)
    runs = {name: each, **{k: e.predict_each(scored.row) for k, e in others.items()}}
    folds = rolling_folds(market, config)
    floors = baselines.Floors(ensemble.windows, train, folds, scored.row)
    rules = baselines.direction_rules(market, config, train, scored.row)
    direction = {**rules, **floors.direction()}
    volatility = {**baselines.volatility_rules(market, config, scored.row), **floors.volatility()}
    certain = frozenset(rules) - {"majority"}
    tasks = _tasks(scored)
    first, last = scored.target_day.min(), scored.target_day.max()
    return Scores(
        name,
        config.evaluate.split,
        str(first),
        str(last),
        subset,
        bool(first <= np.datetime64(ensemble.info.trained_until)),
        len(scored),
        _rows(tasks["direction"], runs, direction, certain, scored, config),
        _rows(tasks["volatility"], runs, volatility, frozenset(), scored, config),
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
    e = config.evaluate
    compare = task.columns[task.compared]

    def sums(forecast: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        added = task.add(task.label[task.keep], forecast[task.keep])
        days = metrics.by_day(added, scored.target_day[task.keep])
        return days.sum(0), bootstrap.resampled_sums(days, e.block_sessions, e.bootstrap_samples)

    # Each row's own forecast last; a run of several seeds has them before their mean.
    forecasts = {
        name: [task.said(p) for p in each] + [task.said(mean(each))] for name, each in runs.items()
    } | {name: [floor] for name, floor in floors.items()}
    rows: list[Row] = []
    ours: np.ndarray | None = None
    for name, each in forecasts.items():
        total, drawn = sums(each[-1])
        seeds = [sums(f)[0] for f in each[:-1]]
        shown = {k: m for k, m in task.columns.items() if k != "log loss" or name not in certain}
        spread = {} if len(seeds) < 2 else {k: _spread(m, seeds) for k, m in shown.items()}
        rows.append(
            Row(
                name,
                {k: float(m(total)) for k, m in shown.items()},
                {k: bootstrap.interval(m, drawn) for k, m in shown.items()},
                spread,
                ""
                if ours is None
                else bootstrap.verdict(compare, ours, drawn, task.higher_is_better),
            )
        )
        ours = drawn if ours is None else ours
    return rows


def _spread(metric: bootstrap.Metric, seeds: list[np.ndarray]) -> float:
    return float(np.std([float(metric(s)) for s in seeds], ddof=1))


def tables(scores: Scores, config: Config) -> list[Table]:
    """For the screen."""
    made = []
    for target, rows, horizon in (
        ("direction", scores.direction, config.targets.direction[0]),
        ("volatility", scores.volatility, config.targets.volatility[0]),
    ):
        table = Table(
            title=_TITLE[target].format(h=horizon, n=f"{scores.samples:,}"),
            title_justify="left",
            title_style="bold",
        )
        columns = list(rows[0].values)
        for column in ("", *columns, "model is"):
            table.add_column(column, justify="left" if column in ("", "model is") else "right")
        for row in rows:
            table.add_row(
                row.name,
                *(_cell(row, c) for c in columns),
                row.verdict,
                style="bold" if row is rows[0] else None,
            )
        made.append(table)
    return made


def headline(scores: Scores) -> list[str]:
    """What a reader must know before the table: split, dates, alarms."""
    lines = [
        f"{scores.run}: {scores.split} {scores.first} to {scores.last}; 95 % intervals from a "
        "day-block bootstrap; ± is the standard deviation over seeds"
    ]
    if scores.in_sample:
        lines.append("IN SAMPLE: the run was trained on days that are scored here")
    if scores.direction[0].values["accuracy"] > LEAK_ALARM:
        lines.append(
            f"LEAK ALARM: accuracy above {LEAK_ALARM:.0%} on daily direction; look for "
            "what knows the future before believing it"
        )
    return lines


def markdown(scores: Scores) -> str:
    """For files."""
    text = "\n".join(headline(scores)) + "\n"
    for title, rows in (("direction", scores.direction), ("volatility", scores.volatility)):
        columns = list(rows[0].values)
        text += f"\n| {title} | {' | '.join(columns)} | model is |\n"
        text += "|---" * (len(columns) + 2) + "|\n"
        for row in rows:
            cells = " | ".join(_cell(row, c) for c in columns)
            text += f"| {row.name} | {cells} | {row.verdict} |\n"
    return text


def _cell(row: Row, column: str) -> str:
    if column not in row.values:
        return "–"
    low, high = row.intervals[column]
    spread = f" ±{row.seed_std[column]:.3f}" if row.seed_std else ""
    return f"{row.values[column]:.3f}{spread} [{low:.3f}, {high:.3f}]"
