"""What the experts of views forecast: classes, by logistic regressions, or volatilities, by ridges.

``view_experts`` fits and weighs them; what differs between the two is here. Regressions have an
inverse penalty ``c``, and inputs are zero (the training mean) where a view is missing.
"""

import abc
import dataclasses
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Bool, Float, Int, Int64, Shaped
from scipy.special import softmax

from studies.data.views import Views
from studies.names import VIEW_EXPERTS, VOLATILITY_EXPERTS

MEAN, PRODUCT, JOINT, _ = VIEW_EXPERTS
RIDGE, PERSISTENCE, CONSTANT, _ = VOLATILITY_EXPERTS
_UNKNOWN = 1e-3  # probability that is shared by all classes: a fit may not have met each

Values = Float[np.ndarray, "S K"]  # of classes probabilities, of volatilities each horizon's
Label = Shaped[np.ndarray, "S *horizons"]


@dataclasses.dataclass(frozen=True)
class Task(abc.ABC):
    """What is forecast of each sample, and by which experts.

    Attributes:
      outputs: ``K``, the numbers that an expert forecasts of a sample.
      head: of the network, that forecasts the same.
      experts: as ``distill.experts`` lists them.
      whole: those that forecast every row.
      inverse_penalties: of which a regression has one.
      powers: of which ``sharpened`` has one.
    """

    outputs: int
    head: ClassVar[str]
    experts: ClassVar[tuple[str, ...]]
    whole: ClassVar[tuple[str, ...]]
    inverse_penalties: ClassVar[tuple[float, ...]]
    powers: ClassVar[tuple[float, ...]] = (1.0,)

    @abc.abstractmethod
    def label(self, views: Views) -> Label:
        """Of every sample."""

    @abc.abstractmethod
    def fit(self, name: str, x: Float[np.ndarray, "S F"], y: Label, c: float) -> "Model":
        """A regression of that name: of a view, or of ``together``."""

    @abc.abstractmethod
    def together(
        self, x: dict[str, Float[np.ndarray, "S _"]], trailing: Float[np.ndarray, "S 1"]
    ) -> dict[str, Float[np.ndarray, "S _"]]:
        """Inputs of the regressions that read no single view, from those of all views and the
        trailing log volatility."""

    @abc.abstractmethod
    def loss(self, values: Values, label: Label) -> Float[np.ndarray, "S"]:
        """Of each row, of one of ``groups``."""

    def all_of(
        self,
        whole: dict[str, Values],
        one: Float[np.ndarray, "S V K"],
        present: Bool[np.ndarray, "S V"],
    ) -> list[Values]:
        """The experts ``whole``, of what the regressions of ``together`` and of each view say."""
        return [whole[name] for name in self.whole]

    def groups(self, values: Shaped[np.ndarray, "*S"]) -> list[np.ndarray]:
        """Forecasts or labels in the parts that are weighed one by one."""
        return [values]

    def sharpened(self, values: Float[np.ndarray, "*S K"], power: Any) -> np.ndarray:
        """Forecasts that are surer, the higher the power is than 1."""
        return values

    def as_outcome(self, values: Values) -> np.ndarray:
        """Forecasts as the network's head gives them."""
        return values

    def as_values(self, outcome: Any) -> Values:
        """What the network's head gives, as experts forecast it."""
        return np.asarray(outcome).astype(float)


def task_of(views: Views) -> Task:
    """What the labels of views are."""
    if views.batch.targets.mask["direction"].any():
        return Classes(len(views.classes))
    return Volatility(views.batch.targets.label["volatility"].shape[1])


@dataclasses.dataclass(frozen=True)
class Logistic:
    """A fitted regression of some of the classes, those that it met."""

    coefficients: Float[np.ndarray, "F K"]
    intercept: Float[np.ndarray, "K"]
    met: Int64[np.ndarray, "K"]
    classes: int

    @staticmethod
    def fit(
        x: Float[np.ndarray, "S F"], label: Int[np.ndarray, "S"], c: float, classes: int
    ) -> "Logistic":
        """Fits with a squared penalty of ``1 / c``; labels of one class give that class, and none
        give all alike."""
        from sklearn.linear_model import LogisticRegression

        met = np.unique(label)
        if len(met) < 2:
            none = np.zeros((x.shape[1], len(met)))
            return Logistic(none, np.zeros(len(met)), met, classes)
        model: Any = LogisticRegression(C=c, tol=1e-3, max_iter=2000).fit(x, label)
        if len(met) == 2:
            zero = np.zeros((x.shape[1], 1))
            both = np.concatenate([zero, model.coef_.T], 1)
            return Logistic(both, np.append(0.0, model.intercept_), met, classes)
        return Logistic(model.coef_.T, model.intercept_, met, classes)

    def __call__(self, x: Float[np.ndarray, "S F"]) -> Values:
        """Probabilities of all classes."""
        if not len(self.met):
            return np.full((len(x), self.classes), 1 / self.classes)
        p = np.full((len(x), self.classes), _UNKNOWN / self.classes)
        p[:, self.met] += (1 - _UNKNOWN) * softmax(x @ self.coefficients + self.intercept, 1)
        return p


@dataclasses.dataclass(frozen=True)
class Linear:
    """A fitted regression of every horizon."""

    coefficients: Float[np.ndarray, "F H"]
    intercept: Float[np.ndarray, "H"]

    @staticmethod
    def ridge(x: Float[np.ndarray, "S F"], y: Float[np.ndarray, "S H"], c: float) -> "Linear":
        """Fits with a squared penalty of ``1 / c``; no rows give 0, the mean of all training."""
        from sklearn.linear_model import Ridge

        if not len(x):
            return Linear(np.zeros((x.shape[1], y.shape[1])), np.zeros(y.shape[1]))
        model: Any = Ridge(alpha=1 / c).fit(x, y)
        return Linear(np.atleast_2d(model.coef_).T, np.atleast_1d(model.intercept_))

    @staticmethod
    def level(x: Float[np.ndarray, "S 1"], y: Float[np.ndarray, "S H"]) -> "Linear":
        """``x`` as it is, but for its mean; no rows give it unmoved."""
        one = np.ones((1, y.shape[1]))
        return Linear(one, (y - x).mean(0) if len(x) else np.zeros(y.shape[1]))

    def __call__(self, x: Float[np.ndarray, "S F"]) -> Values:
        """Log volatility at each horizon."""
        return x @ self.coefficients + self.intercept


Model = Logistic | Linear


class Classes(Task):
    """A class a sample, by logistic regressions of each view and of all, and by the mean of the
    former's probabilities and of their logarithms."""

    head = "direction"
    experts = VIEW_EXPERTS
    whole = (MEAN, PRODUCT, JOINT)
    inverse_penalties = tuple(10.0**k for k in range(-3, 2))
    powers = tuple(2.0 ** (k / 4) for k in range(-8, 13))

    def label(self, views: Views) -> Int64[np.ndarray, "S"]:
        """The class of every sample."""
        return views.batch.targets.label["direction"][:, 0].astype(np.int64)

    def fit(self, name: str, x: Float[np.ndarray, "S F"], y: Label, c: float) -> Logistic:
        """A logistic regression, whatever it is of."""
        return Logistic.fit(x, y, c, self.outputs)

    def together(
        self, x: dict[str, Float[np.ndarray, "S _"]], trailing: Float[np.ndarray, "S 1"]
    ) -> dict[str, Float[np.ndarray, "S _"]]:
        """All views side by side."""
        return {JOINT: _joined(x)}

    def all_of(
        self,
        whole: dict[str, Values],
        one: Float[np.ndarray, "S V K"],
        present: Bool[np.ndarray, "S V"],
    ) -> list[Values]:
        """Mean, product and the regression of all views, which alone speaks where none is shown."""
        shown, count = present[..., None], np.maximum(present.sum(1), 1)[:, None]
        mean = np.where(shown, one, 0).sum(1) / count
        product = np.exp(np.where(shown, np.log(one), 0).sum(1) / count)
        none, joint = ~present.any(1, keepdims=True), whole[JOINT]
        return [np.where(none, joint, mean), np.where(none, joint, product), joint]

    def sharpened(self, values: Float[np.ndarray, "*S K"], power: Any) -> np.ndarray:
        """Probabilities raised to a power, in proportion."""
        raised = values**power
        return raised / raised.sum(-1, keepdims=True)

    def loss(self, values: Values, label: Int[np.ndarray, "S"]) -> Float[np.ndarray, "S"]:
        """The log loss."""
        return -np.log(values[np.arange(len(label)), label])

    def as_outcome(self, values: Values) -> Float[np.ndarray, "S 1 K"]:
        """Logarithms of probabilities, as logits of the one horizon."""
        return np.log(values)[:, None]

    def as_values(self, outcome: Any) -> Values:
        """Probabilities of logits."""
        return softmax(np.asarray(outcome)[:, 0].astype(float), -1)


class Volatility(Task):
    """Log volatility at each horizon, by ridges of each view and of all, the trailing one, and the
    mean."""

    head = "volatility"
    experts = VOLATILITY_EXPERTS
    whole = (RIDGE, PERSISTENCE, CONSTANT)
    inverse_penalties = tuple(10.0 ** (k / 2) for k in range(-10, 3))

    def label(self, views: Views) -> Float[np.ndarray, "S H"]:
        """The volatilities of every sample."""
        return views.batch.targets.label["volatility"].astype(float)

    def fit(self, name: str, x: Float[np.ndarray, "S F"], y: Label, c: float) -> Linear:
        """A ridge, or a level that has no penalty."""
        return Linear.level(x, y) if name in self.whole[1:] else Linear.ridge(x, y, c)

    def together(
        self, x: dict[str, Float[np.ndarray, "S _"]], trailing: Float[np.ndarray, "S 1"]
    ) -> dict[str, Float[np.ndarray, "S _"]]:
        """All views side by side, the trailing volatility, and nothing."""
        return {RIDGE: _joined(x), PERSISTENCE: trailing, CONSTANT: np.zeros_like(trailing)}

    def loss(self, values: Values, label: Float[np.ndarray, "S H"]) -> Float[np.ndarray, "S"]:
        """The squared error."""
        return ((values - label) ** 2).mean(-1)

    def groups(self, values: Shaped[np.ndarray, "*S"]) -> list[np.ndarray]:
        """Every horizon."""
        return np.split(values, self.outputs, -1)


def _joined(x: dict[str, np.ndarray]) -> Float[np.ndarray, "S F"]:
    return np.concatenate([*x.values()], 1)
