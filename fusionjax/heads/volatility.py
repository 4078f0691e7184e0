"""Head "volatility": the log of the realised volatility over the coming sessions."""

import dataclasses
from typing import TYPE_CHECKING, Any

from fusionjax.config import Config, EvaluateConfig
from fusionjax.config.key import key
from fusionjax.heads.base import Head, Scored, Scorer
from fusionjax.heads.curves import Curves, dates
from fusionjax.registry import HEADS

if TYPE_CHECKING:
    import jax
    import numpy as np
    import pandas as pd

    from fusionjax.data.store import Market
    from fusionjax.heads.baseline import Baseline
    from fusionjax.heads.outside import Filled, Given
    from fusionjax.scores.intervals import ByDay, Score

_SPANS = (1, 5, 20, 60)  # sessions of the reference's volatilities
_PAST = 20  # sessions whose volatility a page draws beside the forecast
# Of the squared error of the reference, at one session and at more: who knew the true volatility
# would gain up to .2 and, as a longer label is less noisy, .4 (docs/evaluation.md).
_LEAKY_GAIN, _LEAKY_GAIN_LONG = 0.25, 0.5


@HEADS.register("volatility")
@dataclasses.dataclass(frozen=True)
class Volatility(Head):
    """The log of the root mean square daily log return of the sessions of the horizon.

    Outputs are relative to the trailing log volatility, so zeros decode to it. The loss is the
    squared error.
    """

    horizons: tuple[int, ...] = key((5,), "sessions ahead, one label and one forecast each")

    title = "volatility, errors of its log"
    shown = ("MSE", "MAE")
    compared = "MSE"
    listed = ("MSE",)
    learner = "numbers"
    loss_title = "squared error of log volatility"
    additive_title = "log volatility a day"
    reads_levels = True
    fold_loss = ("volatility_mse", "volatility MSE")
    stackable = True
    is_scale = True

    @property
    def width(self) -> int:
        return 1

    def labels(
        self, market: "Market", rows: "np.ndarray", horizon: int, last: "np.datetime64"
    ) -> "tuple[np.ndarray, np.ndarray]":
        from fusionjax.data.samples import growth, realised_log_volatility

        _, known = growth(market, rows, horizon, last)
        return realised_log_volatility(market, rows, horizon), known

    def decode(self, outputs: "jax.Array", log_scale: "jax.Array") -> "jax.Array":
        return outputs + log_scale[..., None]

    def correct(
        self, value: "jax.Array", outputs: "jax.Array", log_scale: "jax.Array"
    ) -> "jax.Array":
        return value + outputs

    def soften(self, target: "jax.Array", teacher: "jax.Array", share: "jax.Array") -> "jax.Array":
        return (1 - share) * target + share * teacher

    def loss(
        self, outcome: "jax.Array", target: "jax.Array", log_scale: "jax.Array"
    ) -> "jax.Array":
        return (outcome - target) ** 2

    def sample_loss(self, value: "np.ndarray", label: "np.ndarray") -> "np.ndarray":
        return (value - label).astype(float) ** 2

    def fold_scores(self, value: "np.ndarray", label: "np.ndarray") -> dict[str, float]:
        return {"volatility_mse": float(((value - label) ** 2).mean())}

    def scorer(self, scored: Scored) -> Scorer:
        from fusionjax.scores import metrics

        def scores(value: "np.ndarray", keep: "np.ndarray", soft: bool) -> "dict[str, Score]":
            k = keep & scored.known
            y = scored.label[k].astype(float)
            return metrics.regression(y, value[k], scored.day[k], len(scored.days))

        return scores

    def rules(
        self, train: Scored, last: "np.datetime64", rows: "np.ndarray"
    ) -> "dict[str, np.ndarray]":
        """The volatility of the last h or 20 sessions."""
        from fusionjax.data.samples import realised_log_volatility

        market, h = train.market, self.horizons[0]
        return {
            f"persistence: last {h} sessions": realised_log_volatility(market, rows, -h),
            "historical: last 20 sessions": realised_log_volatility(market, rows, -20),
        }

    def reference(self, train: Scored, scored: Scored) -> "np.ndarray":
        """A regression on volatility over a day, week, month and quarter (Corsi, 2009), and last
        month's with the mean error of training: float [S, 2]."""
        import numpy as np

        from fusionjax.data.samples import realised_log_volatility

        def past(s: Scored, rows: "np.ndarray") -> "np.ndarray":
            spans = [realised_log_volatility(s.market, rows, -n) for n in _SPANS]
            return np.stack([np.ones(len(rows)), *spans], 1)

        x, y = past(train, train.row[train.known]), train.label[train.known].astype(float)
        # Towards last month's, where there is little to learn from.
        prior = np.array([0.0, 0, 0, 1, 0])
        pull = np.diag([1e-3, 1, 1, 1, 1])
        weight = np.linalg.solve(x.T @ x + pull, x.T @ y + pull @ prior)
        later = past(scored, scored.row)
        month = later[:, 3] + (y - x[:, 3]).mean()
        return np.stack([later @ weight, month], 1)

    def alarms(self, value: "np.ndarray", reference: Any, scored: Scored) -> list[str]:
        from fusionjax.scores import suspicion

        k, y = scored.known, scored.label[scored.known].astype(float)
        ours, both = (value[k] - y) ** 2, (reference[k] - y[:, None]) ** 2
        theirs = both[:, both.mean(0).argmin()]  # a regression may be of another regime
        bound = _LEAKY_GAIN if self.horizons[0] == 1 else _LEAKY_GAIN_LONG
        gain = suspicion.gain(ours, theirs, scored.day[k], self.horizons[0], bound)
        if gain is None:
            return []
        return [
            f"MSE {ours.mean():.3f}, {gain:.0%} below what past volatility says "
            f"({theirs.mean():.3f}); honest forecasts gain less than {bound:.0%}"
        ]

    def baselines(self) -> "tuple[Baseline, ...]":
        """HAR on returns and ranges, EWMA, GARCH, and the usual level of the weekday."""
        from fusionjax.heads.historical_baselines import WeekdayLevel
        from fusionjax.heads.volatility_baselines import EWMA, GARCH, HAR, RISK_METRICS

        return (
            HAR("HAR"),
            HAR("Log-HAR, Parkinson range", measures=("Parkinson",)),
            HAR("Log-HAR, Garman-Klass range", measures=("Garman-Klass",)),
            HAR("Log-HAR, Parkinson range and returns", measures=("Parkinson", "returns")),
            HAR("Log-HAR with the market", measures=("returns", "Parkinson"), with_market=True),
            EWMA("EWMA .94 (RiskMetrics)", (RISK_METRICS,)),
            EWMA("EWMA, tuned"),
            GARCH("GARCH(1, 1)", horizon=self.horizons[0]),
            WeekdayLevel(),
        )

    def filled(self, given: "Given") -> "Filled | None":
        from fusionjax.heads.outside import Filled

        return None if given.log_volatility is None else Filled(self, given.log_volatility)

    def columns(
        self, value: "np.ndarray", calibrated: "np.ndarray | None", each: "np.ndarray", s: Scored
    ) -> "dict[str, np.ndarray]":
        return {"log_volatility": value, "log_volatility_came": s.observed}

    def record(
        self, value: "np.ndarray", calibrated: "np.ndarray | None", config: Config
    ) -> dict[str, Any]:
        import numpy as np

        by_horizon = zip(self.horizons, value, strict=True)
        return {"daily_volatility": {f"{h}d": round(float(np.exp(v)), 6) for h, v in by_horizon}}

    def recorded(self, record: dict[str, Any], at: int) -> Any:
        import numpy as np

        value = record.get("daily_volatility", {}).get(f"{self.horizons[at]}d")
        return None if value is None else float(np.log(max(value, 1e-6)))  # six digits are kept

    def curves(
        self, rows: "pd.DataFrame", market: "Market", settings: EvaluateConfig
    ) -> list[Curves]:
        """The forecast beside what came and the simplest forecast, on average over stocks."""
        import numpy as np

        from fusionjax.data.samples import realised_log_volatility

        past = realised_log_volatility(market, rows["row"].to_numpy(), -_PAST)
        columns: dict[str, Any] = {
            "forecast": rows["log_volatility"],
            "came": rows["log_volatility_came"],
            f"of the last {_PAST} sessions": past,
        }
        daily = rows[["target_day"]].assign(**columns).groupby("target_day").mean()
        when = dates(daily.index)
        lines = {name: (when, np.exp(daily[name].to_numpy(float))) for name in columns}
        title = f"Volatility a day over the next {self.horizons[0]} sessions"
        return [Curves("Prices", title, lines)]

    def anomalies(self, rows: "pd.DataFrame", by_day: "ByDay") -> list[str]:
        import numpy as np

        observed = rows["log_volatility_came"]
        error, low, high = by_day.mean(
            rows["log_volatility"].to_numpy(float) - observed.to_numpy(float),
            observed.notna().to_numpy(),
        )
        if low <= 0 <= high:
            return []
        return [
            f"forecast volatility is {np.expm1(error):+.0%} off on average: it learned a "
            f"{'more' if error > 0 else 'less'} volatile market. Look: drift of vol20 in the "
            "audit; fine-tune on newer rows"
        ]
