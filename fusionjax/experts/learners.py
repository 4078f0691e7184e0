"""Baselines that learn from a model's inputs: linear models and boosted trees.

Their libraries are imported where one is fitted: training and forecasting do without. What is
learned is coefficients and LightGBM's own text format, which ``forest`` evaluates.
"""

import abc
import dataclasses
from typing import Any

import numpy as np

from fusionjax.data.store import Market
from fusionjax.errors import InputError
from fusionjax.experts.features import Features, Inputs
from fusionjax.experts.forest import Forest
from fusionjax.heads.base import Head, Scored
from fusionjax.heads.baseline import Baseline, Learned
from fusionjax.scores import metrics

# Each has as many candidates as the model's own grid.
_PENALTIES = tuple(10.0**k for k in np.arange(-5, 3).tolist())
_ROUNDS = (50, 200)
_TREES = tuple((leaves, rate) for leaves in (4, 15) for rate in (0.02, 0.1))
_KNOWN = 0.5
_YOUNG_SESSIONS = 750  # three years; 500 to 1,000 are alike on S&P 500's 2015-16 (docs/fusion.md)
_FEW_TREES = ((15, 0.05, 100),)  # an expert is fitted again and again


def learners(head: Head, inputs: Inputs) -> tuple[Baseline, ...]:
    """The baselines of a head's ``learner``.

    Args:
      head: of one horizon.
      inputs: that they read.
    """
    if not head.learner:
        return ()
    classes = head.learner == "classes"
    linear = "logistic regression" if classes else "ridge"
    trees = tuple((*tree, rounds) for tree in _TREES for rounds in _ROUNDS)
    return (
        Linear(linear, _PENALTIES, features=inputs.pooled, classes=classes),
        Trees("LightGBM", trees, features=inputs.pooled, classes=classes),
        Linear(
            f"{linear} with HAR",
            _PENALTIES,
            features=inputs.multi_scale,
            classes=classes,
            least_known=_KNOWN,
        ),
        Trees("LightGBM with HAR", _FEW_TREES, features=inputs.series, classes=classes),
    )


@dataclasses.dataclass(frozen=True)
class _Learner(Baseline):
    """A value is the probability of class 1 if labels are ``classes``, else the label itself."""

    features: Features = dataclasses.field(kw_only=True)
    classes: bool = dataclasses.field(kw_only=True)

    def loss(self, value: np.ndarray, label: np.ndarray) -> np.ndarray:
        """The log loss of classes, the squared error of numbers."""
        if not self.classes:
            return super().loss(value, label)
        return metrics.direction_loss(value, label == 1)

    def prepare(self, rows: np.ndarray) -> None:
        self.features(rows)

    def inputs(self, rows: np.ndarray) -> str:
        return self.features.key(rows)

    def _xy(self, train: Scored) -> tuple[np.ndarray, np.ndarray]:
        """Features and labels; the samples without a label are left out."""
        return self.features(train.row[train.known]), train.label[train.known]

    def _constant(self, y: np.ndarray) -> Learned | None:
        """Labels of one class teach a share short of certainty (Laplace's rule), and no more."""
        if not self.classes or len(np.unique(y)) > 1:
            return None
        return {"constant": np.array(((y == 1).sum() + 1) / (len(y) + 2))}

    def forecast(self, learned: Learned, market: Market, rows: np.ndarray) -> np.ndarray:
        if "constant" in learned:
            return np.full(len(rows), learned["constant"])
        x = self.features(rows)
        if x.shape[1] != len(learned["fill"]):
            raise InputError(
                f"the run's expert {self.name!r} has learned from {len(learned['fill'])} features, "
                f"expected {x.shape[1]} as this version of fusionjax makes them: train it anew, or "
                "use the version that made it"
            )
        # Means of columns that training never lacked, or of all: what it did not see missing.
        x = np.where(np.isnan(x) & np.isfinite(learned["fill"]), learned["fill"], x)
        return self._value(learned, x)

    @abc.abstractmethod
    def _value(self, learned: Learned, x: np.ndarray) -> np.ndarray:
        """Values of features whose missing ones are filled in."""


@dataclasses.dataclass(frozen=True)
class Linear(_Learner):
    """Logistic or ridge regression of standardised features; a setting is the penalty. Missing
    features are the column's mean.

    Columns that are known in a smaller share of the samples than ``least_known`` are young: with
    the others they would be extrapolated from few rows. A ridge learns from them what the others
    leave, where all are known, as if three years had said that it is nothing; logistic regression
    does not read them.
    """

    least_known: float = dataclasses.field(default=0.0, kw_only=True)

    def fit(self, train: Scored, last: np.datetime64, setting: float) -> Learned:
        from sklearn.linear_model import LogisticRegression, Ridge

        x, y = self._xy(train)
        if constant := self._constant(y):
            return constant
        young = np.isfinite(x).mean(0) < self.least_known
        model: Any = (
            LogisticRegression(C=1e-3 / setting, solver="newton-cholesky")
            if self.classes
            else Ridge(alpha=1e3 * setting)
        )
        old = np.where(young, 0.0, x)  # a constant has no slope
        imputer, scaler, model = (part for _, part in standardised(model).fit(old, y).steps)
        learned = {
            "fill": imputer.statistics_,
            "mean": scaler.mean_,
            "scale": scaler.scale_,
            "coefficients": np.ravel(model.coef_),
            "intercept": np.array(model.intercept_).reshape(()),
        }
        known = np.isfinite(x[:, young]).all(1)
        if not self.classes and young.any() and known.any():
            filled = np.where(np.isfinite(old), old, learned["fill"])
            left = (y - self._value(learned, filled))[known]
            days = len(np.unique(train.target_day[train.known][known]))
            _learn_young(learned, young, x[known][:, young], left, days)
        return learned

    def _value(self, learned: Learned, x: np.ndarray) -> np.ndarray:
        x = (x - learned["mean"]) / learned["scale"]
        z = x @ learned["coefficients"] + learned["intercept"]
        return 1 / (1 + np.exp(-z)) if self.classes else z


@dataclasses.dataclass(frozen=True)
class Trees(_Learner):
    """LightGBM; a setting is leaves, learning rate and rounds.

    Trees take a missing feature as they met it in training; one that they never met is the
    column's mean, as a missing value that is new would be sorted with zero.
    """

    @property
    def groups(self) -> tuple[tuple[Any, ...], ...]:
        """By leaves and rate: a model of few rounds is the beginning of one of many."""
        trees = dict.fromkeys(setting[:2] for setting in self.settings)
        return tuple(tuple(s for s in self.settings if s[:2] == t) for t in trees)

    def fit(self, train: Scored, last: np.datetime64, setting: tuple[int, float, int]) -> Learned:
        return self.fit_group(train, last, (setting,))[0]

    def fit_group(
        self, train: Scored, last: np.datetime64, group: tuple[Any, ...]
    ) -> list[Learned]:
        import lightgbm

        x, y = self._xy(train)
        if constant := self._constant(y):
            return [constant] * len(group)
        kind = lightgbm.LGBMClassifier if self.classes else lightgbm.LGBMRegressor
        (leaves, rate, _), rounds = group[0], [s[2] for s in group]
        settings = {"num_leaves": leaves, "learning_rate": rate, "n_estimators": max(rounds)}
        # One thread a fit: several are fitted at once, and sums do not depend on the cores.
        model = kind(**settings, random_state=0, verbose=-1, n_jobs=1).fit(x, y)
        fill = np.where(np.isnan(x).any(0), np.nan, x.mean(0))
        texts = [model.booster_.model_to_string(num_iteration=n) for n in rounds]
        return [{"fill": fill, "model": np.frombuffer(t.encode(), np.uint8)} for t in texts]

    def _value(self, learned: Learned, x: np.ndarray) -> np.ndarray:
        return Forest.read(learned["model"].tobytes().decode())(x)


def _learn_young(
    learned: Learned, young: np.ndarray, x: np.ndarray, left: np.ndarray, days: int
) -> None:
    """Gives young columns the coefficients by which they explain what the others leave: none where
    they are missing, as that is filled with their mean."""
    from sklearn.linear_model import Ridge

    mean, scale = x.mean(0), x.std(0)
    scale = np.where(scale > 0, scale, 1.0)
    model = Ridge(alpha=_YOUNG_SESSIONS * len(x) / days, fit_intercept=False)
    new = {"fill": mean, "mean": mean, "scale": scale}
    new["coefficients"] = model.fit((x - mean) / scale, left).coef_
    for name, values in new.items():
        learned[name][young] = values


def standardised(model: Any) -> Any:
    """The linear model after imputing column means and standardising."""
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(SimpleImputer(keep_empty_features=True), StandardScaler(), model)
