"""Head "direction": whether the price rises, as the probabilities of classes."""

import dataclasses
from typing import TYPE_CHECKING, Any

from fusionjax.config import Config, EvaluateConfig
from fusionjax.config.checks import need
from fusionjax.config.key import key
from fusionjax.heads import direction_curves
from fusionjax.heads.base import Head, Scored, Scorer, rounded
from fusionjax.heads.curves import Calls, Curves
from fusionjax.registry import HEADS

if TYPE_CHECKING:
    import jax
    import numpy as np
    import pandas as pd

    from fusionjax.data.store import Market
    from fusionjax.heads.baseline import Baseline
    from fusionjax.heads.outside import Filled, Given
    from fusionjax.scores.calibration import Sequential
    from fusionjax.scores.intervals import ByDay, Score

# Returns are compared with the class thresholds at the six digits that StockNet published.
_RETURN_DIGITS = 6
# What exceeds these at five sessions or fewer counts as leakage until explained
# (docs/evaluation.md): accuracy above the better constant call.
_LEAKY_GAIN = 0.12
_LABEL_DAYS = 20  # over which the share of rising labels is a reference
_CALLS = (
    "always up",
    "momentum: as the last day",
    "reversal of the stock's last day",
    "reversal of the market's last day",
)


@HEADS.register("direction")
@dataclasses.dataclass(frozen=True)
class Direction(Head):
    """Classes of the simple return over the horizon; a value is the probability of up.

    The loss is the cross-entropy in nats. Labels are softened by the teacher's probabilities
    (Hinton et al., 2015), at its own temperature.
    """

    classes: tuple[str, ...] = key(("down", "up"), "their names, up the second")
    up: float = key(0.0, "class up if the simple return >= this ...")
    down: float = key(0.0, "... down if < this; between them a sample is not scored")

    dtype = "int32"
    title = "direction"
    shown = ("accuracy", "MCC", "IC", "log loss")
    compared = "MCC"
    listed = ("accuracy", "MCC", "IC", "log loss", "Sharpe at 10 bps")
    certain = frozenset(_CALLS)
    learner = "classes"
    loss_title = "log loss of direction"
    additive_title = "log odds of up"
    fold_loss = ("log_loss", "log loss")
    stackable = True
    simplest = "majority"

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.classes

    @property
    def width(self) -> int:
        return len(self.classes)

    def check(self, name: str, config: Config) -> None:
        super().check(name, config)
        need(self.down <= self.up, f"targets.{name}.down is above targets.{name}.up")

    def labels(
        self, market: "Market", rows: "np.ndarray", horizon: int, last: "np.datetime64"
    ) -> "tuple[np.ndarray, np.ndarray]":
        import numpy as np

        from fusionjax.data.samples import growth

        ratio, known = growth(market, rows, horizon, last)
        move = np.round(ratio - 1, _RETURN_DIGITS)
        return move >= self.up, known & ((move >= self.up) | (move < self.down))

    def decode(self, outputs: "jax.Array", log_scale: "jax.Array") -> "jax.Array":
        return outputs.reshape(*outputs.shape[:-1], len(self.horizons), len(self.classes))

    def correct(
        self, value: "jax.Array", outputs: "jax.Array", log_scale: "jax.Array"
    ) -> "jax.Array":
        import jax.numpy as jnp

        up = jnp.clip(value, 1e-6, 1 - 1e-6)
        return jnp.log(jnp.stack([1 - up, up], -1)) + self.decode(outputs, log_scale)

    def target(self, label: "jax.Array") -> "jax.Array":
        import jax
        import jax.numpy as jnp

        return jax.nn.one_hot(label, len(self.classes), dtype=jnp.float32)

    def soften(self, target: "jax.Array", teacher: "jax.Array", share: "jax.Array") -> "jax.Array":
        import jax

        return (1 - share) * target + share * jax.nn.softmax(teacher)

    def loss(
        self, outcome: "jax.Array", target: "jax.Array", log_scale: "jax.Array"
    ) -> "jax.Array":
        import jax

        return -(target * jax.nn.log_softmax(outcome)).sum(-1)

    def prediction(self, outcome: Any) -> Any:
        import jax

        return jax.nn.softmax(outcome, axis=-1)[..., 1]

    def sample_loss(self, value: "np.ndarray", label: "np.ndarray") -> "np.ndarray":
        from fusionjax.scores import metrics

        return metrics.direction_loss(value.astype(float), label == 1)

    def fold_scores(self, value: "np.ndarray", label: "np.ndarray") -> dict[str, float]:
        import numpy as np

        from fusionjax.scores import metrics

        up, day = value.astype(float), np.zeros(len(label), int)
        scores = metrics.classification(label, np.stack([1 - up, up], 1), day, 1)
        return {
            "log_loss": metrics.point(scores["log loss"], 1),
            "mcc": metrics.point(scores["MCC"], 1),
        }

    def scorer(self, scored: Scored) -> Scorer:
        """Classification metrics, correlation with the following return, and portfolio metrics."""
        import numpy as np

        from fusionjax.data.samples import growth
        from fusionjax.heads.trading import Trading
        from fusionjax.scores import metrics

        s, day, days = scored, scored.day, len(scored.days)
        trading = Trading(s.market, s.row, s.target_day, self.horizons[0])
        traded = s.config.evaluate.portfolio_share, s.config.evaluate.borrow_rate
        ahead, matured = growth(s.market, s.row, self.horizons[0], s.target_day.max())

        def scores(up: "np.ndarray", keep: "np.ndarray", soft: bool) -> "dict[str, Score]":
            k, m = keep & s.known, keep & matured
            score = metrics.classification if soft else metrics.called
            p = np.stack([1 - up, up], 1)
            return {
                **score(s.label[k], p[k], day[k], days),
                **metrics.ranking(up[m], np.log(ahead[m]), day[m], days),
                **trading.metrics(up, keep, *traded),
            }

        return scores

    def unfiltered(self, scored: Scored) -> Scored | None:
        """Up if the return is above 0, between the thresholds too; None if nothing is between."""
        import numpy as np

        from fusionjax.data.samples import growth

        if self.down == self.up:
            return None
        s = scored
        ratio, known = growth(s.market, s.row, self.horizons[0], s.target_day.max())
        up = (np.round(ratio - 1, _RETURN_DIGITS) > 0).astype(self.dtype)
        return dataclasses.replace(s, label=up, known=known)

    def rules(
        self, train: Scored, last: "np.datetime64", rows: "np.ndarray"
    ) -> "dict[str, np.ndarray]":
        """Constant or last-day rules."""
        import numpy as np

        market, config = train.market, train.config
        stock_return = market.channels[rows, market.columns(("ret",))[0]]
        market_return = market.market_return(config.evaluate.market_channel)[rows]
        up_calls = np.ones(len(rows), bool), stock_return >= 0, stock_return < 0, market_return < 0
        return {name: x.astype(float) for name, x in zip(_CALLS, up_calls, strict=True)}

    def baselines(self) -> "tuple[Baseline, ...]":
        """The share of rising labels, of all days and by the weekday."""
        from fusionjax.heads.historical_baselines import Majority, WeekdayShare

        return Majority(), WeekdayShare()

    def filled(self, given: "Given") -> "Filled | None":
        """The probability given, or read off the quantiles of returns; else the side of a point."""
        from fusionjax.heads.outside import Filled, rising

        value, calls = rising(given, self.up, self.down)
        return None if value is None else Filled(self, value, calls)

    def calibration(self) -> "Sequential":
        """The probability of up is scaled by prequential temperatures."""
        from fusionjax.scores.calibration import Temperature

        return Temperature()

    def kept(self, value: "np.ndarray", scored: Scored) -> "np.ndarray":
        import numpy as np

        from fusionjax.scores.calibration import log_odds

        return np.stack([log_odds(value), scored.observed], 1)

    def corrected(self, value: Any, issued: Any, scales: dict[str, Any]) -> Any:
        from fusionjax.scores.calibration import tempered

        return tempered(value, issued)

    def columns(
        self, value: "np.ndarray", calibrated: "np.ndarray | None", each: "np.ndarray", s: Scored
    ) -> "dict[str, np.ndarray]":
        import numpy as np

        from fusionjax.data.samples import growth

        assert calibrated is not None
        count = len(each)
        spread = each.astype(float).std(0, ddof=1) if count > 1 else np.full(len(value), np.nan)
        return {
            "up": value,
            "up_calibrated": calibrated,
            "up_spread": spread,  # standard deviation over seeds; NaN of one
            "rose": s.observed,
            "growth": growth(s.market, s.row, self.horizons[0], s.target_day.max())[0] - 1,
        }

    def record(
        self, value: "np.ndarray", calibrated: "np.ndarray | None", config: Config
    ) -> dict[str, Any]:
        """``call``, at the first horizon, abstains where the likelier class has less than
        ``evaluate.abstain_below``."""
        assert calibrated is not None
        first, *others = rounded(calibrated)
        confident = max(first, 1 - first) >= config.evaluate.abstain_below
        return {
            "direction": {
                f"{h}d": dict(zip(self.classes, rounded((1 - p, p)), strict=True))
                for h, p in zip(self.horizons, value.tolist(), strict=True)
            },
            "calibrated": {
                "up": first,
                **{f"up_{h}d": p for h, p in zip(self.horizons[1:], others, strict=True)},
            },
            "call": self.classes[int(first > 0.5)] if confident else "abstain",
        }

    def recorded(self, record: dict[str, Any], at: int) -> Any:
        return record.get("calibrated", {}).get(f"up_{self.horizons[at]}d" if at else "up")

    def headline(self, value: "np.ndarray", scored: Scored) -> list[str]:
        """The mean daily information coefficient with its interval, if a day has one."""
        import numpy as np

        from fusionjax.data.samples import growth
        from fusionjax.scores import intervals, metrics

        s = scored
        ahead, known = growth(s.market, s.row, self.horizons[0], s.target_day.max())
        daily = metrics.daily_correlation(
            value[known], np.log(ahead[known]), s.day[known], len(s.days)
        )
        daily = daily[np.isfinite(daily)]
        unsold = self._unsold(value, scored)
        if not len(daily):
            return unsold
        mean, horizon = daily.mean(), self.horizons[0]
        of_days = intervals.Estimate.of(float(mean), daily - mean, horizon, metrics.lasting("IC"))
        text = f"Mean daily IC {mean:+.3f} over {len(daily)} days"
        if np.isnan(of_days.p_value):
            needed = intervals.least_days(horizon, metrics.lasting("IC"))
            bare = f"{text}: {intervals.NOT_ENOUGH} for an interval (about {needed} needed)"
            return [bare, *unsold]
        low, high = of_days.interval()
        return [f"{text} [{low:+.3f}, {high:+.3f}], p {of_days.p_value:.2f}", *unsold]

    def _unsold(self, value: "np.ndarray", s: Scored) -> list[str]:
        """Says that positions could not be sold, if any."""
        from fusionjax.heads.trading import Trading

        count = Trading(s.market, s.row, s.target_day, self.horizons[0]).calls(value).unsold
        if not count:
            return []
        return [
            f"Of the simulated portfolio {count} positions had no bar on the last day: they count "
            "at their last close, as the data have no return of a delisting"
        ]

    def alarms(self, value: "np.ndarray", reference: Any, scored: Scored) -> list[str]:
        """Accuracy against the better constant call, and the correlation with what followed."""
        import numpy as np

        from fusionjax.data.samples import growth
        from fusionjax.scores import suspicion

        s, horizon, k, lines = scored, self.horizons[0], scored.known, []
        share = float(s.label[k].mean())
        base, bound = max(share, 1 - share), suspicion.widened(_LEAKY_GAIN, horizon)
        right = (value[k] > 0.5) == (s.label[k] == 1)
        accuracy = suspicion.hits(right, base, s.day[k], horizon, bound)
        if accuracy is not None:
            lines.append(f"accuracy {accuracy:.1%}, more than {bound:.0%} above {base:.1%}")
        ahead, matured = growth(s.market, s.row, horizon, s.target_day.max())
        bound = suspicion.widened(suspicion.IC, horizon)
        ic = suspicion.correlation(
            value[matured], np.log(ahead[matured]), s.day[matured], horizon, bound
        )
        return lines + ([] if ic is None else [f"IC {ic:+.3f}, beyond ±{bound:.2f}"])

    def daily_return(self, value: "np.ndarray", scored: Scored) -> dict[str, float]:
        from fusionjax.heads.trading import Trading
        from fusionjax.scores.portfolio import COST

        s = scored
        trading = Trading(s.market, s.row, s.target_day, self.horizons[0])
        net = trading.calls(value).net(COST, s.config.evaluate.borrow_rate)
        return dict(zip(s.days.astype(str).tolist(), net.round(8).tolist(), strict=True))

    def curves(
        self, rows: "pd.DataFrame", market: "Market", settings: EvaluateConfig
    ) -> list[Curves]:
        """Capital after costs, reliability, error by share answered, and log loss over time."""
        from fusionjax.heads.trading import capital

        of_calls = capital(rows, market, settings, self.horizons[0])
        known = rows[rows["rose"].notna()]
        rose = known["rose"].to_numpy()
        if not direction_curves.are_probabilities(rows):
            return [of_calls]
        return [
            of_calls,
            *direction_curves.calibration(known, rose),
            direction_curves.log_loss(known, rose),
        ]

    def calls(self, rows: "pd.DataFrame") -> Calls:
        return direction_curves.calls(rows, self.classes)

    def anomalies(self, rows: "pd.DataFrame", by_day: "ByDay") -> list[str]:
        import numpy as np
        import pandas as pd

        lines = []
        up, rose = rows["up"].to_numpy(float), rows["rose"].to_numpy(float)
        known = np.isfinite(rose)
        if rows["up_spread"].notna().all() and up.std() < rows["up_spread"].mean():
            lines.append(
                f"seeds differ by {rows['up_spread'].mean():.3f} in the probability of a sample, "
                f"samples by {up.std():.3f}: forecasts of single samples are noise. Look: fewer "
                "parameters or fewer steps; more seeds"
            )
        called = float((up[known] > 0.5).mean())
        rising = pd.Series(rose[known]).groupby(by_day.day[known]).mean()
        reference = rising.rolling(min(_LABEL_DAYS, len(rising))).mean().dropna()
        if not reference.min() <= called <= reference.max():
            lines.append(
                f"{called:.0%} of the calls are up, though no {_LABEL_DAYS} days had fewer than "
                f"{reference.min():.0%} or more than {reference.max():.0%} rising: it "
                "repeats the majority of training. Look: label balance in the audit, the threshold "
                "of a call"
            )
        if not direction_curves.are_probabilities(rows):
            return lines
        confidence = np.maximum(up, 1 - up)
        gap, low, _ = by_day.mean(confidence - ((up > 0.5) == (rose > 0.5)), known)
        if low > 0:
            lines.append(
                f"its confidence exceeds its accuracy by {100 * gap:.1f} points: overconfident. "
                "Look: up_calibrated, train.ema_decay, fewer steps"
            )
        return lines

    def watched(self, market: "Market", rows: "np.ndarray") -> "dict[str, np.ndarray]":
        import numpy as np

        horizon = self.horizons[0]
        past_row = np.maximum(rows - horizon, market.first_row[rows])
        move = market.adj_close[rows] / market.adj_close[past_row] - 1
        known = rows - horizon >= market.first_row[rows]
        signals = {"share up": move >= self.up, "size of moves": np.log(np.abs(move) + 1e-4)}
        return {f"label: {k}": np.where(known, x.astype(float), np.nan) for k, x in signals.items()}
