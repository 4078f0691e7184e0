"""Logistic regressions of views: what a study's fusion starts from, as a run's does from experts.

One reads each view, one all of them, with zeros (the training mean) where a view is missing; and
those of one view are put together, as the mean of their probabilities and of their logarithms. What
each says is sharpened or flattened as far as rows show that its fit has not seen.
``fusionjax.experts.stack`` weighs them.
"""

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, Int64
from scipy.special import softmax
from threadpoolctl import threadpool_limits

from fusionjax.config import Config
from fusionjax.distill import weights
from fusionjax.errors import InputError
from fusionjax.experts import stack
from fusionjax.types import Batch
from studies.data.views import Views
from studies.names import VIEW_EXPERTS

MEAN, PRODUCT, JOINT, _ = VIEW_EXPERTS
_WHOLE = 3  # experts that forecast every row
_INVERSE_PENALTIES = tuple(10.0**k for k in range(-3, 2))
_HELD_OUT = 0.2  # of the rows that choose a penalty, the latest
_POWERS = tuple(2.0 ** (k / 4) for k in range(-8, 13))  # of probabilities
_UNKNOWN = 1e-3  # probability that is shared by all classes: a fit may not have met each

Values = Float[np.ndarray, "S C"]


@dataclasses.dataclass(frozen=True)
class Logistic:
    """A fitted regression; the classes are those that it met."""

    coefficients: Float[np.ndarray, "F K"]
    intercept: Float[np.ndarray, "K"]
    classes: Int64[np.ndarray, "K"]

    @staticmethod
    def fit(x: Float[np.ndarray, "S F"], label: Int[np.ndarray, "S"], c: float) -> "Logistic":
        """Fits with a squared penalty of ``1 / c``; labels of one class give that class, and none
        give all alike."""
        from sklearn.linear_model import LogisticRegression

        classes = np.unique(label)
        if len(classes) < 2:
            none = np.zeros((x.shape[1], len(classes)))
            return Logistic(none, np.zeros(len(classes)), classes)
        model: Any = LogisticRegression(C=c, tol=1e-3, max_iter=2000).fit(x, label)
        if len(classes) == 2:
            zero = np.zeros((x.shape[1], 1))
            both = np.concatenate([zero, model.coef_.T], 1)
            return Logistic(both, np.append(0.0, model.intercept_), classes)
        return Logistic(model.coef_.T, model.intercept_, classes)

    def __call__(self, x: Float[np.ndarray, "S F"], classes: int) -> Values:
        """Probabilities of all classes."""
        if not len(self.classes):
            return np.full((len(x), classes), 1 / classes)
        p = np.full((len(x), classes), _UNKNOWN / classes)
        p[:, self.classes] += (1 - _UNKNOWN) * softmax(x @ self.coefficients + self.intercept, 1)
        return p


@dataclasses.dataclass(frozen=True)
class ViewExperts:
    """One seed's experts.

    Attributes:
      subset: the views they read.
      classes: their number.
      fit: of each row, the number of the fit that forecasts it; -1 if there is none.
      learned: of each fit, by view and ``JOINT``.
      power: of ``names``; what its probabilities are raised to.
      weight: of ``names``.
    """

    subset: tuple[str, ...]
    classes: int
    fit: Int64[np.ndarray, "S"]
    learned: list[dict[str, Logistic]]
    power: Float[np.ndarray, "X"]
    weight: Float[np.ndarray, "X"]

    @property
    def names(self) -> tuple[str, ...]:
        """The experts, in the order of their weights."""
        return (MEAN, PRODUCT, JOINT, *self.subset)

    def each(self, batch: Batch, rows: Int64[np.ndarray, "S"]) -> Float[np.ndarray, "S X C"]:
        """Every expert's probabilities; NaN where a view is missing, or without a fit."""
        values = np.full((len(rows), len(self.names), self.classes), np.nan)
        for k, models in enumerate(self.learned):
            at = np.flatnonzero(self.fit[rows] == k)
            values[at] = _of_fit(models, *_inputs(batch, self.subset, rows[at]), self.classes)
        raised = values ** self.power[:, None]
        return raised / raised.sum(-1, keepdims=True)

    def __call__(self, batch: Batch, rows: Int64[np.ndarray, "S"]) -> Values:
        """What they forecast together; NaN in rows without a fit."""
        spare = int(self.weight[:_WHOLE].argmax())
        return stack.combined(self.each(batch, rows), self.weight, spare)


def learned(
    config: Config,
    views: Views,
    subset: tuple[str, ...],
    parts: tuple[Int64[np.ndarray, "_"], Int64[np.ndarray, "_"]],
) -> ViewExperts:
    """Fits the experts of a subset, and weighs them on the meta set.

    No row is forecast by a fit that has seen its label. Rows before the meta set are cut into
    ``distill.expert_fits`` parts, in their order: of views with a time each part is forecast from
    the labels that were known before it, else from all other parts. The meta set is forecast by a
    fit to all before it, what is not for training by one to all of training.

    Args:
      config: of the study.
      views: of one seed.
      subset: the views that experts read.
      parts: rows before the meta set, and the meta set.

    Raises:
      InputError: ``distill.experts`` names others, or labels are not classes.
    """
    if config.distill.experts != VIEW_EXPERTS or not views.batch.targets.mask["direction"].any():
        raise InputError(
            f"config.distill.experts is {config.distill.experts}; expected () in a study of "
            f"volatility, and () or {VIEW_EXPERTS} in one of classes"
        )
    inner, meta = parts
    label = views.batch.targets.label["direction"][:, 0].astype(np.int64)
    learn = _Learner(views, subset, label)
    with threadpool_limits(1):  # small systems: threads would only wait for each other
        penalties = learn.penalties(inner)
    fit = np.full(len(views.time), -1)
    models: list[dict[str, Logistic]] = []

    def add(train: np.ndarray, rows: np.ndarray) -> None:
        if len(train):
            fit[rows] = len(models)
            with threadpool_limits(1):
                models.append(learn.fit(train, penalties))

    for part in np.array_split(inner, config.distill.expert_fits):
        others = np.setdiff1d(inner, part)
        if views.dated and len(part):
            others = others[views.known[others] <= views.time[part[0]]]
        add(others, part)
    add(inner, meta)
    train = views.split["train"]
    add(train, np.setdiff1d(np.arange(len(views.time)), train))
    ones = np.ones(_WHOLE + len(subset))
    experts = ViewExperts(subset, len(views.classes), fit, models, ones, ones)
    power = _powers(experts.each(views.batch, inner), label[inner])
    experts = dataclasses.replace(experts, power=power)
    values, of_meta = experts.each(views.batch, meta), label[meta]

    def of(value: Values) -> Float[np.ndarray, "S"]:
        return loss(value, of_meta)

    first = min(range(_WHOLE), key=lambda i: of(values[:, i]).mean())
    weight = stack.weigh(values, of, views.time[meta], weights.horizon(config), first)
    return dataclasses.replace(experts, weight=weight)


def alone(views: Views, subset: tuple[str, ...], rows: Int64[np.ndarray, "S"]) -> dict[str, Values]:
    """What the regressions of one view, fitted to all training rows, forecast together."""
    label = views.batch.targets.label["direction"][:, 0].astype(np.int64)
    learn, train = _Learner(views, subset, label), views.split["train"]
    models, count = learn.fit(train, learn.penalties(train)), len(views.classes)
    values = _of_fit(models, *_inputs(views.batch, subset, rows), count)
    return {MEAN: values[:, 0], PRODUCT: values[:, 1]}


def loss(value: Values, label: Int[np.ndarray, "S"]) -> Float[np.ndarray, "S"]:
    """The log loss of each row."""
    return -np.log(value[np.arange(len(label)), label])


def _powers(
    values: Float[np.ndarray, "S X C"], label: Int[np.ndarray, "S"]
) -> Float[np.ndarray, "X"]:
    """By expert, what its probabilities are raised to, so that the rows it forecasts have the
    least loss; 1 if there are none."""
    powers = np.ones(values.shape[1])
    for i in range(values.shape[1]):
        rows = np.isfinite(values[:, i]).all(-1)
        log_p, y = np.log(values[rows, i]), label[rows]
        losses = {a: loss(softmax(a * log_p, -1), y).mean() for a in _POWERS if len(y)}
        powers[i] = min(losses, key=lambda a: losses[a], default=1.0)
    return powers


def _of_fit(
    models: dict[str, Logistic],
    x: dict[str, Float[np.ndarray, "S _"]],
    present: Bool[np.ndarray, "S V"],
    classes: int,
) -> Float[np.ndarray, "S X C"]:
    """What the regressions of one fit say: the whole experts first, then one view's each."""
    joint = models[JOINT](_joined(x), classes)
    one = np.stack([models[name](x[name], classes) for name in x], 1)
    shown, count = present[..., None], np.maximum(present.sum(1), 1)[:, None]
    mean = np.where(shown, one, 0).sum(1) / count
    product = np.exp(np.where(shown, np.log(one), 0).sum(1) / count)
    none = ~present.any(1, keepdims=True)
    whole = (np.where(none, joint, mean), np.where(none, joint, product), joint)
    return np.concatenate([np.stack(whole, 1), np.where(shown, one, np.nan)], 1)


class _Learner:
    """Fits the regressions of a subset to rows."""

    def __init__(self, views: Views, subset: tuple[str, ...], label: Int[np.ndarray, "S"]) -> None:
        self._views, self._subset, self._label = views, subset, label

    def _xy(self, rows: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Features and labels by view, where it is present, and of all together."""
        x, present = _inputs(self._views.batch, self._subset, rows)
        y = self._label[rows]
        of_views = {
            name: (x[name][present[:, i]], y[present[:, i]]) for i, name in enumerate(self._subset)
        }
        return {**of_views, JOINT: (_joined(x), y)}

    def penalties(self, rows: np.ndarray) -> dict[str, float]:
        """The inverse penalty of each regression by the latest of some rows."""
        early, late = np.split(rows, [round(len(rows) * (1 - _HELD_OUT))])
        best, later = {}, self._xy(late)
        for name, (x, y) in self._xy(early).items():
            after, label = later[name]
            losses = {
                c: loss(Logistic.fit(x, y, c)(after, len(self._views.classes)), label).mean()
                for c in _INVERSE_PENALTIES
                if len(label) and len(y)
            }
            best[name] = min(losses, key=lambda c: losses[c], default=_INVERSE_PENALTIES[0])
        return best

    def fit(self, rows: np.ndarray, penalties: dict[str, float]) -> dict[str, Logistic]:
        return {k: Logistic.fit(x, y, penalties[k]) for k, (x, y) in self._xy(rows).items()}


def _inputs(
    batch: Batch, subset: tuple[str, ...], rows: np.ndarray
) -> tuple[dict[str, Float[np.ndarray, "S _"]], Bool[np.ndarray, "S V"]]:
    """Some rows of the views of a subset, zero where missing, and where they are present."""
    present = np.stack([np.asarray(batch.present[name])[rows] for name in subset], 1)
    x = {
        name: np.where(present[:, [i]], np.asarray(batch.inputs[name].x)[rows], 0.0).astype(float)
        for i, name in enumerate(subset)
    }
    return x, present


def _joined(x: dict[str, np.ndarray]) -> Float[np.ndarray, "S F"]:
    return np.concatenate([*x.values()], 1)
