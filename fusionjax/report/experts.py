"""The run's page: how much each expert counts and changes, and how much the network corrects."""

from pathlib import Path

import numpy as np
import pandas as pd
from markupsafe import Markup

from fusionjax.data.windows import Windows
from fusionjax.experts import stack
from fusionjax.experts.stacked import Experts, Stack
from fusionjax.experts.walk_forward import Task
from fusionjax.report import page
from fusionjax.scores.intervals import LEVEL, ByDay
from fusionjax.train import events


def weights(seeds: list[Path], rows: pd.DataFrame, windows: Windows) -> list[Markup]:
    """A table for each head and horizon; empty without experts.

    Args:
      seeds: folders of the trainings.
      rows: the outcomes.
      windows: of the run's inputs.
    """
    config = windows.config
    experts = Experts.read(seeds[0]) if seeds and config.stacked_heads else None
    if experts is None:
        return []
    stacked = Stack.over(windows, experts)
    judged = [_gains(folder) for folder in seeds]
    parts = []
    for (name, at), weight in experts.weight.items():
        gains = np.array([g[name][at] for g in judged if name in g])
        sessions = config.targets[name].horizons[at]
        text = f"{name}, {sessions} session{'' if sessions == 1 else 's'}"
        table = _table(stacked, (name, at), rows)
        parts += [Markup("<h3>{}</h3>").format(text), page.table(table, len(table))]
        said = _network(gains, len(weight))
        if said:
            parts.append(Markup("<p>{}</p>").format(said))
    return parts


def _network(gains: np.ndarray, count: int) -> str:
    """How much of the network's correction counts, over seeds; empty where nobody has judged."""
    if not len(gains):
        return ""
    them = "this one, the only expert with any weight," if count == 1 else "them"
    low, high = f"{gains.min():.0%}", f"{gains.max():.0%}"
    if low == high:
        return f"The network corrects {them} by {low} of what it would."
    mean = f"{gains.mean():.0%}"
    return f"The network corrects {them} by {mean} of what it would, {low} to {high} by seed."


def _table(stacked: Stack, task: Task, rows: pd.DataFrame) -> pd.DataFrame:
    """A row for each expert: its weight, its own loss on the scored samples, and by how much the
    loss of all together rises without it."""
    weight = stacked.experts.weight[task]
    frame = pd.DataFrame(
        {"weight": [f"{w:.2f}" for w in weight.values()]}, index=pd.Index([*weight], name="expert")
    )
    market = stacked.available.windows.market
    head = stacked.available.windows.config.targets[task[0]].one(task[1])
    row, days = rows["row"].to_numpy(np.int64), rows["target_day"].to_numpy()
    label, known = head.labels(market, row, head.horizons[0], days.max().astype("datetime64[D]"))
    each = [stacked.experts.forecast(stacked.available, task, k, row[known]) for k in weight]
    values = np.stack(each, 1)
    if not known.any() or not np.isfinite(values).all():  # a file of forecasts may lack rows
        return frame
    loss = stacked.available.one(task, frame.index[0]).loss
    shares = np.array([*weight.values()])
    every_day, day = np.unique(days[known], return_inverse=True)
    by_day = ByDay(day, len(every_day), head.horizons[0], LEVEL)
    whole = loss(stack.combined(values, shares, 0), label[known])
    frame["its own loss"] = [
        f"{loss(values[:, i], label[known]).mean():.4g}" for i in range(len(shares))
    ]
    if len(shares) > 1:
        frame["loss of the others less that of all"] = [
            _rise(
                loss(stack.combined(values, _without(shares, i), 0), label[known]) - whole, by_day
            )
            for i in range(len(shares))
        ]
    return frame


def _without(shares: np.ndarray, i: int) -> np.ndarray:
    """The weights of the others, which sum to 1."""
    others = np.where(np.arange(len(shares)) == i, 0.0, shares)
    return others / others.sum()


def _rise(values: np.ndarray, by_day: ByDay) -> str:
    """A mean difference with its interval, if the days suffice for one."""
    mean, low, high = by_day.mean(values, np.ones(len(values), bool))
    return f"{mean:+.4f}" + (f" [{low:+.4f}, {high:+.4f}]" if np.isfinite(low) else "")


def _gains(folder: Path) -> dict[str, list[float]]:
    """By head and horizon; empty of a training from before they were judged."""
    judged = [e["gains"] for e in events.read(folder) if e["code"] == "T7"]
    return judged[-1] if judged else {}
