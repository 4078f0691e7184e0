"""Regressions of views: what a study's fusion starts from, as a run's does from experts.

Of classes (``view_tasks.Classes``) a logistic regression reads each view and one all of them, and
those of one view are put together; what each says is sharpened or flattened as far as rows show
that its fit has not seen. Of volatility (``view_tasks.Volatility``) ridges do, beside the trailing
volatility and the mean, for each horizon. ``fusionjax.experts.stack`` weighs them.
"""

import dataclasses
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int64
from threadpoolctl import threadpool_limits

from fusionjax.config import Config
from fusionjax.distill import weights
from fusionjax.errors import InputError
from fusionjax.experts import stack
from fusionjax.types import Batch
from studies.data.views import Views
from studies.fusion.view_tasks import MEAN, PRODUCT, Label, Model, Task, Values, task_of

_HELD_OUT = 0.2  # of the rows that choose a penalty, the latest


@dataclasses.dataclass(frozen=True)
class ViewExperts:
    """One seed's experts.

    Attributes:
      task: what they forecast.
      subset: the views they read.
      fit: of each row, the number of the fit that forecasts it; -1 if there is none.
      learned: of each fit, by view and those of all views together.
      power: of ``names``; how far its forecasts are sharpened.
      weight: of ``names``, by each of ``task.groups``.
    """

    task: Task
    subset: tuple[str, ...]
    fit: Int64[np.ndarray, "S"]
    learned: list[dict[str, Model]]
    power: Float[np.ndarray, "X"]
    weight: Float[np.ndarray, "G X"]

    @property
    def names(self) -> tuple[str, ...]:
        """The experts, in the order of their weights."""
        return (*self.task.whole, *self.subset)

    def each(self, batch: Batch, rows: Int64[np.ndarray, "S"]) -> Float[np.ndarray, "S X K"]:
        """Every expert's forecasts; NaN where a view is missing, or without a fit."""
        values = np.full((len(rows), len(self.names), self.task.outputs), np.nan)
        for k, models in enumerate(self.learned):
            at = np.flatnonzero(self.fit[rows] == k)
            values[at] = _of_fit(
                self.task, models, _Rows.of(self.task, batch, self.subset, rows[at])
            )
        return self.task.sharpened(values, self.power[:, None])

    def __call__(self, batch: Batch, rows: Int64[np.ndarray, "S"]) -> Values:
        """What they forecast together; NaN in rows without a fit."""
        whole = len(self.task.whole)
        groups = zip(self.task.groups(self.each(batch, rows)), self.weight, strict=True)
        return np.concatenate(
            [stack.combined(v, w, int(w[:whole].argmax())) for v, w in groups], -1
        )


def learned(
    config: Config,
    views: Views,
    subset: tuple[str, ...],
    parts: tuple[Int64[np.ndarray, "_"], Int64[np.ndarray, "_"]],
) -> ViewExperts:
    """Fits the experts of a subset, and weighs them on the meta set.

    No row is forecast by a fit that has seen its label. Rows before the meta set are cut into
    ``distill.expert_fits`` parts, in their order: of views with a time each part is forecast from
    the labels that were known before it, else from all other parts. The meta set is cut into parts
    as large, each forecast from the labels that were known before it; what is not for training is
    forecast by a fit to all of training.

    Args:
      config: of the study.
      views: of one seed.
      subset: the views that experts read.
      parts: rows before the meta set, and the meta set.

    Raises:
      InputError: ``distill.experts`` names others.
    """
    task = task_of(views)
    if config.distill.experts != task.experts:
        raise InputError(
            f"config.distill.experts is {config.distill.experts}; expected () or {task.experts} "
            f"in a study of {task.head}"
        )
    inner, meta = parts
    learn = _Learner(task, views, subset)
    with threadpool_limits(1):  # small systems: threads would only wait for each other
        penalties = learn.penalties(inner)
    fit = np.full(len(views.time), -1)
    models: list[dict[str, Model]] = []

    def add(train: np.ndarray, rows: np.ndarray) -> None:
        if len(train):
            fit[rows] = len(models)
            with threadpool_limits(1):
                models.append(learn.fit(train, penalties))

    train, fits = views.split["train"], config.distill.expert_fits
    for part in np.array_split(inner, fits):
        others = np.setdiff1d(inner, part)
        add(_known(views, others, part) if views.dated else others, part)
    # Within the meta set too: what began to be seen there would else be weighed as never seen.
    for part in np.array_split(meta, max(1, round(fits * len(meta) / max(len(inner), 1)))):
        add(_known(views, train, part), part)
    add(train, np.setdiff1d(np.arange(len(views.time)), train))
    label, ones = task.label(views), np.ones(len(task.whole) + len(subset))
    experts = ViewExperts(task, subset, fit, models, ones, ones[None])
    power = _powers(task, experts.each(views.batch, inner), label[inner])
    experts = dataclasses.replace(experts, power=power)
    values = task.groups(experts.each(views.batch, meta))
    weigh = _Weigher(task, views.time[meta], weights.horizon(config))
    weight = [weigh(v, y) for v, y in zip(values, task.groups(label[meta]), strict=True)]
    return dataclasses.replace(experts, weight=np.stack(weight))


def _known(views: Views, rows: np.ndarray, part: np.ndarray) -> np.ndarray:
    """Those rows whose labels were known when a part began."""
    return rows[views.known[rows] <= views.time[part[0]]] if len(part) else rows[:0]


def alone(views: Views, subset: tuple[str, ...], rows: Int64[np.ndarray, "S"]) -> dict[str, Values]:
    """What the regressions of classes by one view, fitted to all training rows, forecast
    together."""
    task = task_of(views)
    learn, train = _Learner(task, views, subset), views.split["train"]
    models = learn.fit(train, learn.penalties(train))
    values = _of_fit(task, models, _Rows.of(task, views.batch, subset, rows))
    return {MEAN: values[:, 0], PRODUCT: values[:, 1]}


@dataclasses.dataclass(frozen=True)
class _Weigher:
    """Weighs experts on the meta set, from the best of those that forecast all of it."""

    task: Task
    day: Int64[np.ndarray, "S"]
    horizon: int

    def __call__(self, values: Float[np.ndarray, "S X _"], label: Label) -> np.ndarray:
        def loss(value: np.ndarray) -> Float[np.ndarray, "S"]:
            return self.task.loss(value, label)

        able = np.flatnonzero(np.isfinite(values).all((0, 2)))
        first = min(able.tolist(), key=lambda i: loss(values[:, i]).mean())
        return stack.weigh(values, loss, self.day, self.horizon, first)


def _powers(task: Task, values: Float[np.ndarray, "S X K"], label: Label) -> np.ndarray:
    """By expert, how far it is to be sharpened, so that the rows it forecasts have the least loss;
    1 if there are none."""
    powers = np.ones(values.shape[1])
    for i in range(values.shape[1]):
        rows = np.isfinite(values[:, i]).all(-1)
        shown, y = values[rows, i], label[rows]
        losses = {a: task.loss(task.sharpened(shown, a), y).mean() for a in task.powers if len(y)}
        powers[i] = min(losses, key=lambda a: losses[a], default=1.0)
    return powers


class _Rows(NamedTuple):
    """Inputs of some rows.

    Attributes:
      one: by view, zero where missing.
      together: by name, what ``task.together`` makes of them.
      present: of each view.
    """

    one: dict[str, Float[np.ndarray, "S _"]]
    together: dict[str, Float[np.ndarray, "S _"]]
    present: Bool[np.ndarray, "S V"]

    @staticmethod
    def of(task: Task, batch: Batch, subset: tuple[str, ...], rows: np.ndarray) -> "_Rows":
        """Of the views of a subset."""
        present = np.stack([np.asarray(batch.present[name])[rows] for name in subset], 1)
        one = {
            name: np.where(present[:, [i]], np.asarray(batch.inputs[name].x)[rows], 0).astype(float)
            for i, name in enumerate(subset)
        }
        trailing = np.asarray(batch.log_scale)[rows, None].astype(float)
        return _Rows(one, task.together(one, trailing), present)


def _of_fit(task: Task, models: dict[str, Model], rows: _Rows) -> Float[np.ndarray, "S X K"]:
    """What the regressions of one fit say: the whole experts first, then one view's each."""
    whole = {name: models[name](x) for name, x in rows.together.items()}
    one = np.stack([models[name](x) for name, x in rows.one.items()], 1)
    shown = np.where(rows.present[..., None], one, np.nan)
    return np.concatenate([np.stack(task.all_of(whole, one, rows.present), 1), shown], 1)


class _Learner:
    """Fits the regressions of a subset to rows."""

    def __init__(self, task: Task, views: Views, subset: tuple[str, ...]) -> None:
        self._task, self._views, self._subset = task, views, subset
        self._label = task.label(views)

    def _xy(self, rows: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Features and labels by view, where it is present, and of all together."""
        read, y = _Rows.of(self._task, self._views.batch, self._subset, rows), self._label[rows]
        of_views = {
            name: (x[read.present[:, i]], y[read.present[:, i]])
            for i, (name, x) in enumerate(read.one.items())
        }
        return {**of_views, **{name: (x, y) for name, x in read.together.items()}}

    def penalties(self, rows: np.ndarray) -> dict[str, float]:
        """The inverse penalty of each regression by the latest of some rows."""
        early, late = np.split(rows, [round(len(rows) * (1 - _HELD_OUT))])
        best, later, task = {}, self._xy(late), self._task
        for name, (x, y) in self._xy(early).items():
            after, label = later[name]
            losses = {
                c: task.loss(task.fit(name, x, y, c)(after), label).mean()
                for c in task.inverse_penalties
                if len(label) and len(y)
            }
            best[name] = min(losses, key=lambda c: losses[c], default=task.inverse_penalties[0])
        return best

    def fit(self, rows: np.ndarray, penalties: dict[str, float]) -> dict[str, Model]:
        return {k: self._task.fit(k, x, y, penalties[k]) for k, (x, y) in self._xy(rows).items()}
