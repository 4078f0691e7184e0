"""The floors: one-line rules, linear models, boosted trees; tuned on the model's own folds.

Their libraries are imported where a floor is fitted: training and forecasting need features alone.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float, Int64

from fusionjax.config import Config
from fusionjax.data.pipeline import evaluation_batches
from fusionjax.data.samples import Samples, realised_log_volatility
from fusionjax.data.store import Market
from fusionjax.data.windows import Windows
from fusionjax.evaluate.metrics import known

Fold = tuple[Samples, Samples]
_BATCH = 1024
_YEAR = 250  # returns that a GARCH needs
# As many candidates for each as the model's own grid has.
_PENALTIES = tuple(10.0**k for k in np.arange(-5, 3).tolist())
_TREES = tuple(
    {"num_leaves": leaves, "n_estimators": rounds, "learning_rate": rate}
    for leaves in (4, 15)
    for rounds in (50, 200)
    for rate in (0.02, 0.1)
)


def pooled_features(windows: Windows, rows: Int64[np.ndarray, "S"]) -> Float[np.ndarray, "S F"]:
    """A flat view of what the model sees, as each modality sums it up. Missing values are NaN."""
    return np.concatenate([*pooled_by_modality(windows, rows).values()], axis=1)


def pooled_by_modality(
    windows: Windows, rows: Int64[np.ndarray, "S"]
) -> dict[str, Float[np.ndarray, "S _F"]]:
    """``pooled_features``, each modality's by its name."""
    parts = [
        {
            name: m.pooled(batch.inputs[name], batch.present[name]).astype(np.float64)
            for name, m in windows.config.modalities.items()
        }
        for batch in evaluation_batches(rows, windows, _BATCH)
    ]
    return {name: np.concatenate([p[name] for p in parts])[: len(rows)] for name in parts[0]}


def direction_rules(
    market: Market, config: Config, train: Samples, rows: np.ndarray
) -> dict[str, Float[np.ndarray, "S"]]:
    """Probability of up by each one-line rule; a rule is certain, so only its calls are scored."""
    own = market.channels[rows, market.columns(("ret",))[0]]
    whole = market.channels[rows, market.columns((config.evaluate.market_channel,))[0]]
    share = train.targets.direction[known(train.targets.direction_mask), 0].mean()
    return {
        "majority": np.full(len(rows), share),
        "always up": np.ones(len(rows)),
        "momentum: as the last day": (own >= 0).astype(float),
        "reversal of the stock's last day": (own < 0).astype(float),
        "reversal of the market's last day": (whole < 0).astype(float),
    }


def volatility_rules(
    market: Market, config: Config, last: np.datetime64, rows: np.ndarray
) -> dict[str, Float[np.ndarray, "S"]]:
    """Log volatility: as the last h, or 20, sessions were, or by GARCH(1, 1) (Bollerslev, 1986).

    A GARCH is fitted to each symbol's returns up to the day ``last`` and then only filtered; its
    logs are shifted by their mean error until then, as it forecasts a mean of squares. A symbol
    with less than a year of returns keeps its last 20 sessions.
    """
    from arch import arch_model

    h = config.targets.volatility[0]
    historical = realised_log_volatility(market, rows, -20)
    garch = historical.copy()
    for symbol in np.unique(market.symbol[rows]):
        own, asked = np.flatnonzero(market.symbol == symbol), market.symbol[rows] == symbol
        returns = 100 * np.diff(np.log(market.adj_close[own]))
        seen = int((market.session[own[1:]] <= last).sum())
        if seen < _YEAR:
            continue
        model = arch_model(returns, mean="Zero", rescale=False)
        fitted = model.fit(last_obs=seen, disp="off", show_warning=False)
        ahead = fitted.forecast(horizon=h, start=0).variance.to_numpy().mean(1)
        said = 0.5 * np.log(np.maximum(ahead, 1e-8)) - np.log(100)
        past = np.arange(seen - h)  # of the returns; what came after them was known by ``last``
        error = realised_log_volatility(market, own[past + 1], h) - said[past]
        garch[asked] = said[rows[asked] - own[0] - 1] + error.mean()
    return {
        f"persistence: last {h} sessions": realised_log_volatility(market, rows, -h),
        "historical: last 20 sessions": historical,
        "GARCH(1, 1)": garch,
    }


def return_rules(
    market: Market, config: Config, train: Samples, rows: np.ndarray
) -> dict[str, Float[np.ndarray, "S Q"]]:
    """Quantiles of the log return: those of training, as they were or in units of volatility."""
    levels = config.targets.quantiles
    keep = known(train.targets.returns_mask)
    past = train.targets.returns[keep, 0].astype(float)
    scale, now = (np.exp(realised_log_volatility(market, r, -20)) for r in (train.row[keep], rows))
    return {
        "historical quantiles": np.tile(np.quantile(past, levels), (len(rows), 1)),
        "historical quantiles, scaled by volatility": now[:, None]
        * np.quantile(past / scale, levels),
    }


class Floors:
    """Fitted floors for one training set: features are pooled once and shared by all of them."""

    def __init__(
        self, windows: Windows, train: Samples, folds: list[Fold], rows: Int64[np.ndarray, "S"]
    ) -> None:
        self._train, self._folds, self._rows = train, folds, rows
        self._all = np.union1d(train.row, rows)
        self._features = pooled_features(windows, self._all)

    def direction(self) -> dict[str, Float[np.ndarray, "S"]]:
        """Probability of up at ``rows``, tuned by log loss on the folds."""
        import lightgbm
        from sklearn.linear_model import LogisticRegression

        def logistic(penalty: float) -> Any:
            return _linear(LogisticRegression(C=1e-3 / penalty, solver="newton-cholesky"))

        def trees(settings: dict) -> Any:
            return lightgbm.LGBMClassifier(**settings, random_state=0, verbose=-1, n_jobs=1)

        def labels(s: Samples) -> tuple[np.ndarray, np.ndarray]:
            return known(s.targets.direction_mask), s.targets.direction[:, 0]

        def up(model: Any, x: np.ndarray) -> np.ndarray:
            return model.predict_proba(x)[:, 1]

        def loss(p: np.ndarray, y: np.ndarray) -> float:
            return float(-np.log(np.clip(np.where(y == 1, p, 1 - p), 1e-7, 1)).mean())

        return {
            "logistic regression": self._tuned(logistic, _PENALTIES, labels, up, loss),
            "LightGBM": self._tuned(trees, _TREES, labels, up, loss),
        }

    def volatility(self) -> dict[str, Float[np.ndarray, "S"]]:
        """Log volatility at ``rows``, tuned by squared error on the folds."""
        import lightgbm
        from sklearn.linear_model import Ridge

        def ridge(penalty: float) -> Any:
            return _linear(Ridge(alpha=1e3 * penalty))

        def trees(settings: dict) -> Any:
            return lightgbm.LGBMRegressor(**settings, random_state=0, verbose=-1, n_jobs=1)

        def labels(s: Samples) -> tuple[np.ndarray, np.ndarray]:
            return known(s.targets.volatility_mask), s.targets.log_volatility[:, 0]

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
        """Fits every setting on every fold, keeps the best mean, refits on the training set."""

        def features(rows: np.ndarray) -> np.ndarray:
            at = np.searchsorted(self._all, rows)
            assert (self._all[at] == rows).all(), "a fold outside the training set"
            return self._features[at]

        def table(samples: Samples) -> tuple[np.ndarray, np.ndarray]:
            keep, y = labels(samples)
            return features(samples.row[keep]), y[keep]

        tables = [(table(before), table(after)) for before, after in self._folds]

        def score(setting: Any) -> float:
            return float(
                np.mean(
                    [
                        loss(forecast(make(setting).fit(*before), after[0]), after[1])
                        for before, after in tables
                    ]
                )
            )

        model = make(min(grid, key=score)).fit(*table(self._train))
        return forecast(model, features(self._rows))


def _linear(model: Any) -> Any:
    """A linear model needs a number where trees take NaN: the column's mean, on a common scale."""
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(SimpleImputer(keep_empty_features=True), StandardScaler(), model)
