"""Fitted baselines: linear models and boosted trees, tuned on the same folds as the model.

Their libraries are imported where a baseline is fitted: training and forecasting do without.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float, Int64

from fusionjax.data.samples import Samples
from fusionjax.data.windows import Windows
from fusionjax.evaluate.features import pooled_features
from fusionjax.heads.base import Head

FoldSamples = tuple[Samples, Samples]
# Each has as many candidates as the model's own grid.
_PENALTIES = tuple(10.0**k for k in np.arange(-5, 3).tolist())
_TREES = tuple(
    {"num_leaves": leaves, "n_estimators": rounds, "learning_rate": rate}
    for leaves in (4, 15)
    for rounds in (50, 200)
    for rate in (0.02, 0.1)
)


class Baselines:
    """Fitted baselines for one training set: features are pooled once and shared by all of them."""

    def __init__(
        self,
        windows: Windows,
        train: Samples,
        folds: list[FoldSamples],
        rows: Int64[np.ndarray, "S"],
    ) -> None:
        self._train, self._folds, self._rows = train, folds, rows
        self._all = np.union1d(train.row, rows)
        self._features = pooled_features(windows, self._all)

    def fitted(self, name: str, head: Head, at: int = 0) -> dict[str, Float[np.ndarray, "S"]]:
        """A head's values at ``rows`` and its horizon number ``at``, by the name of each baseline
        of ``head.learner``."""

        def labels(s: Samples) -> tuple[np.ndarray, np.ndarray]:
            return s.targets.mask[name][:, at], s.targets.label[name][:, at]

        if head.learner == "classes":
            return self._classifiers(labels)
        return self._regressions(labels) if head.learner == "numbers" else {}

    def _classifiers(self, labels: Callable) -> dict[str, Float[np.ndarray, "S"]]:
        """Probability of class 1, tuned by log loss on the folds."""
        import lightgbm
        from sklearn.linear_model import LogisticRegression

        def logistic(penalty: float) -> Any:
            return _linear(LogisticRegression(C=1e-3 / penalty, solver="newton-cholesky"))

        def trees(settings: dict) -> Any:
            return lightgbm.LGBMClassifier(**settings, random_state=0, verbose=-1, n_jobs=1)

        def up(model: Any, x: np.ndarray) -> np.ndarray:
            return model.predict_proba(x)[:, 1]

        def loss(p: np.ndarray, y: np.ndarray) -> float:
            return float(-np.log(np.clip(np.where(y == 1, p, 1 - p), 1e-7, 1)).mean())

        return {
            "logistic regression": self._tuned(logistic, _PENALTIES, labels, up, loss),
            "LightGBM": self._tuned(trees, _TREES, labels, up, loss),
        }

    def _regressions(self, labels: Callable) -> dict[str, Float[np.ndarray, "S"]]:
        """The label itself, tuned by squared error on the folds."""
        import lightgbm
        from sklearn.linear_model import Ridge

        def ridge(penalty: float) -> Any:
            return _linear(Ridge(alpha=1e3 * penalty))

        def trees(settings: dict) -> Any:
            return lightgbm.LGBMRegressor(**settings, random_state=0, verbose=-1, n_jobs=1)

        def forecast(model: Any, x: np.ndarray) -> np.ndarray:
            return model.predict(x)

        def loss(p: np.ndarray, y: np.ndarray) -> float:
            return float(np.mean((p - y) ** 2))

        return {
            "ridge": self._tuned(ridge, _PENALTIES, labels, forecast, loss),
            "LightGBM": self._tuned(trees, _TREES, labels, forecast, loss),
        }

    def _tuned(
        self,
        make: Callable,
        grid: tuple,
        labels: Callable,
        forecast: Callable,
        loss: Callable,
    ) -> np.ndarray:
        """Fits each setting on each fold, refits the best on all samples, forecasts ``rows``."""

        def features(rows: np.ndarray) -> np.ndarray:
            position = np.searchsorted(self._all, rows)
            assert (self._all[position] == rows).all(), "a fold outside the training set"
            return self._features[position]

        def xy(samples: Samples) -> tuple[np.ndarray, np.ndarray]:
            known, y = labels(samples)
            return features(samples.row[known]), y[known]

        fold_data = [(xy(before), xy(after)) for before, after in self._folds]

        def score(setting: Any) -> float:
            return float(
                np.mean(
                    [
                        loss(forecast(make(setting).fit(*before), after[0]), after[1])
                        for before, after in fold_data
                    ]
                )
            )

        model = make(min(grid, key=score)).fit(*xy(self._train))
        return forecast(model, features(self._rows))


def _linear(model: Any) -> Any:
    """The linear model after imputing column means (trees take NaN) and standardising."""
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(SimpleImputer(keep_empty_features=True), StandardScaler(), model)
