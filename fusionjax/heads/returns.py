"""Head "returns": quantiles of the log return over the coming sessions."""

import dataclasses
from typing import TYPE_CHECKING, Any

from fusionjax.config import Config, EvaluateConfig
from fusionjax.config.checks import need
from fusionjax.config.key import key
from fusionjax.heads.base import Head, Scale, Scored, Scorer, rounded
from fusionjax.heads.curves import SMOOTH, Curves, dates, smoothed
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

_GAP = 0.693  # between two quantiles of an uninformed forecast, in volatilities
_LEAKY_GAIN = 0.15  # of the pinball loss of the reference; docs/evaluation.md


@HEADS.register("returns")
@dataclasses.dataclass(frozen=True)
class Returns(Head):
    """Quantiles of the log return over the horizon.

    Outputs are in units of the trailing volatility over the horizon; zeros decode to quantiles
    around zero. The loss is the pinball loss (Koenker & Bassett, 1978) in that unit, mean
    over quantiles. Labels are not softened: a teacher's quantiles are no sample of a return.
    """

    horizons: tuple[int, ...] = key((1, 5), "sessions ahead, one label and one forecast each")
    quantiles: tuple[float, ...] = key((0.05, 0.25, 0.5, 0.75, 0.95), "their levels")

    title = "log return, as quantiles"
    shown = ("pinball", "CRPS", "PIT distance", "coverage")
    compared = "pinball"
    additive_title = "log return, middle quantile"
    stackable = True

    @property
    def width(self) -> int:
        return len(self.quantiles)

    @property
    def value_shape(self) -> tuple[int, ...]:
        return (len(self.quantiles),)

    def check(self, name: str, config: Config) -> None:
        super().check(name, config)
        q = self.quantiles
        need(len(q) > 0, f"targets.{name}.quantiles is empty")
        need(
            list(q) == sorted(set(q)) and all(0 < x < 1 for x in q),
            f"targets.{name}.quantiles {q} must rise strictly inside (0, 1)",
        )

    def labels(
        self, market: "Market", rows: "np.ndarray", horizon: int, last: "np.datetime64"
    ) -> "tuple[np.ndarray, np.ndarray]":
        import numpy as np

        from fusionjax.data.samples import growth

        ratio, known = growth(market, rows, horizon, last)
        return np.log(ratio), known

    def decode(self, outputs: "jax.Array", log_scale: "jax.Array") -> "jax.Array":
        import jax.numpy as jnp

        count = len(self.quantiles)
        start = _GAP * (jnp.arange(count, dtype=jnp.float32) - (count - 1) / 2)
        start = jnp.expand_dims(start, range(log_scale.ndim + 1))
        return self.correct(start * self._unit(log_scale), outputs, log_scale)

    def correct(
        self, value: "jax.Array", outputs: "jax.Array", log_scale: "jax.Array"
    ) -> "jax.Array":
        change = outputs.reshape(*outputs.shape[:-1], len(self.horizons), len(self.quantiles))
        return _in_order(value + change * self._unit(log_scale))

    def _unit(self, log_scale: "jax.Array") -> "jax.Array":
        """The volatility over each horizon: [*rows, H, 1]."""
        import jax.numpy as jnp

        span = jnp.sqrt(jnp.asarray(self.horizons, jnp.float32))[:, None]
        span = jnp.expand_dims(span, range(log_scale.ndim))
        return span * jnp.exp(log_scale)[..., None, None]

    def loss(
        self, outcome: "jax.Array", target: "jax.Array", log_scale: "jax.Array"
    ) -> "jax.Array":
        import jax.numpy as jnp

        horizon = jnp.sqrt(jnp.asarray(self.horizons, jnp.float32))[None, :]
        unit = jnp.exp(log_scale)[:, None] * horizon
        error = (target[..., None] - outcome) / unit[..., None]
        q = jnp.asarray(self.quantiles, jnp.float32)[None, None, :]
        return jnp.maximum(q * error, (q - 1) * error).mean(-1)

    def scorer(self, scored: Scored) -> Scorer:
        from fusionjax.scores import metrics

        def scores(value: "np.ndarray", keep: "np.ndarray", soft: bool) -> "dict[str, Score]":
            k = keep & scored.known
            y, day, days = scored.label[k].astype(float), scored.day[k], len(scored.days)
            return metrics.distribution(y, value[k], self.quantiles, day, days)

        return scores

    def rules(
        self, train: Scored, last: "np.datetime64", rows: "np.ndarray"
    ) -> "dict[str, np.ndarray]":
        """The quantiles of training returns, raw or rescaled by the current volatility."""
        import numpy as np

        from fusionjax.data.samples import realised_log_volatility

        labels = train.label[train.known].astype(float)
        scale, current_scale = (
            np.exp(realised_log_volatility(train.market, r, -20))
            for r in (train.row[train.known], rows)
        )
        return {
            "historical quantiles": np.tile(np.quantile(labels, self.quantiles), (len(rows), 1)),
            "historical quantiles, scaled by volatility": current_scale[:, None]
            * np.quantile(labels / scale, self.quantiles),
        }

    def reference(self, train: Scored, scored: Scored) -> "np.ndarray":
        """The quantiles of training returns in units of the month's volatility."""
        last = scored.target_day.max()
        return self.rules(train, last, scored.row)["historical quantiles, scaled by volatility"]

    def alarms(self, value: "np.ndarray", reference: Any, scored: Scored) -> list[str]:
        """The gain in pinball loss, and the correlation of the middle quantile."""
        import numpy as np

        from fusionjax.scores import suspicion

        k, horizon, lines = scored.known, self.horizons[0], []
        y, day, tau = scored.label[k].astype(float), scored.day[k], np.array(self.quantiles)
        error = (y[:, None] - v[k] for v in (value, reference))
        ours, theirs = (np.maximum(tau * e, (tau - 1) * e).mean(1) for e in error)
        gain = suspicion.gain(ours, theirs, day, horizon, _LEAKY_GAIN)
        if gain is not None:
            lines.append(
                f"pinball {ours.mean():.5f}, {gain:.0%} below past quantiles scaled by volatility "
                f"({theirs.mean():.5f}); honest forecasts gain less than {_LEAKY_GAIN:.0%}"
            )
        bound = suspicion.widened(suspicion.IC, horizon)
        ic = suspicion.correlation(value[k][:, len(tau) // 2], y, day, horizon, bound)
        return lines + ([] if ic is None else [f"IC {ic:+.3f}, beyond ±{bound:.2f}"])

    def baselines(self) -> "tuple[Baseline, ...]":
        """Quantiles of returns by the weekday's or the EWMA's volatility."""
        from fusionjax.heads.historical_baselines import EWMAQuantiles, WeekdayQuantiles

        return WeekdayQuantiles(levels=self.quantiles), EWMAQuantiles(levels=self.quantiles)

    def scaled_experts(self, log_volatility: Scale) -> "tuple[Baseline, ...]":
        from fusionjax.heads.historical_baselines import ScaledQuantiles

        return (ScaledQuantiles(levels=self.quantiles, features=log_volatility),)

    def filled(self, given: "Given") -> "Filled | None":
        """At this head's levels if all are given, else at the given ones, if two or more."""
        import numpy as np

        from fusionjax.heads.outside import Filled

        quantiles = given.quantiles
        levels = self.quantiles if set(self.quantiles) <= set(quantiles) else tuple(quantiles)
        if len(levels) < 2:
            return None
        value = np.stack([quantiles[level] for level in levels], 1)
        return Filled(dataclasses.replace(self, quantiles=levels), value)

    def calibration(self) -> "Sequential":
        """The outermost quantiles by adaptive conformal inference, the others clipped to them.

        Before, they are stretched about their middle by the root of how volatile the last days were
        beside the last 20 sessions: half of what a jump of volatility asks for, as the forecast may
        know of it. ``studies/shock.py`` measures it.
        """
        from fusionjax.scores.calibration import AdaptiveConformal

        return AdaptiveConformal(self.quantiles[-1] - self.quantiles[0])

    def kept(self, value: "np.ndarray", scored: Scored) -> "np.ndarray":
        from fusionjax.scores.calibration import Intervals

        low, high, scale = _stretched(value, self.scales(scored.market, scored.row))
        return Intervals(low, high, scored.observed, scale).nonconformity[:, None]

    def scales(self, market: "Market", rows: "np.ndarray") -> "dict[str, np.ndarray]":
        """Log volatility of the last 20 sessions, and of the last days."""
        from fusionjax.data.samples import realised_log_volatility, recent_log_volatility

        usual = realised_log_volatility(market, rows, -20)
        return {"usual": usual, "recent": recent_log_volatility(market, rows)}

    def corrected(self, value: Any, issued: Any, scales: dict[str, Any]) -> Any:
        from fusionjax.scores.calibration import widened

        xp = value.__array_namespace__()
        low, high, scale = _stretched(value, scales)
        low, high = widened(low, high, issued * scale)
        inner = xp.clip(value[:, 1:-1], low[:, None], high[:, None])
        return xp.concat([low[:, None], inner, high[:, None]], axis=1)

    def columns(
        self, value: "np.ndarray", calibrated: "np.ndarray | None", each: "np.ndarray", s: Scored
    ) -> "dict[str, np.ndarray]":
        assert calibrated is not None
        return {
            "return": s.observed,
            "low_raw": value[:, 0],
            "high_raw": value[:, -1],
            **{f"q{q:g}": calibrated[:, i] for i, q in enumerate(self.quantiles)},
        }

    def record(
        self, value: "np.ndarray", calibrated: "np.ndarray | None", config: Config
    ) -> dict[str, Any]:
        assert calibrated is not None
        level = self.quantiles[-1] - self.quantiles[0]
        return {
            "calibrated": {
                f"interval_{h}d": dict(
                    zip(("level", "low", "high"), rounded((level, q[0], q[-1])), strict=True)
                )
                for h, q in zip(self.horizons, calibrated, strict=True)
            },
            "return_quantiles": {
                f"{h}d": dict(zip(map(str, self.quantiles), rounded(q), strict=True))
                for h, q in zip(self.horizons, value, strict=True)
            },
        }

    def recorded(self, record: dict[str, Any], at: int) -> Any:
        """Its quantiles, the outermost calibrated, the others between them."""
        horizon = f"{self.horizons[at]}d"
        quantiles = record.get("return_quantiles", {}).get(horizon)
        if quantiles is None:
            return None
        interval = record["calibrated"][f"interval_{horizon}"]
        low, high = interval["low"], interval["high"]
        inner = [min(max(quantiles[str(q)], low), high) for q in self.quantiles[1:-1]]
        return [low, *inner, high]

    def tracked(self, value: "np.ndarray", label: "np.ndarray") -> "dict[str, np.ndarray]":
        """The CRPS, and whether the outermost quantiles held the return."""
        from fusionjax.scores import metrics

        y, level = label.astype(float), self.quantiles[-1] - self.quantiles[0]
        inside = (y >= value[:, 0]) & (y <= value[:, -1])
        return {
            "CRPS": metrics.crps(y, value, self.quantiles),
            f"inside the {level:.0%} interval": inside.astype(float),
        }

    def curves(
        self, rows: "pd.DataFrame", market: "Market", settings: EvaluateConfig
    ) -> list[Curves]:
        """Share of returns inside their calibrated interval, over time."""
        import numpy as np

        q, held = self.quantiles, rows[rows["return"].notna()]
        inside = held["return"].between(held[f"q{q[0]:g}"], held[f"q{q[-1]:g}"])
        daily = smoothed(inside.groupby(held["target_day"]).mean())
        when, nominal = dates(daily.index), q[-1] - q[0]
        lines = {
            "inside": (when, daily.to_numpy()),
            "nominal": (when, np.full(len(when), nominal)),
        }
        title = f"Share inside the {100 * nominal:.0f} % interval, mean of {SMOOTH} days"
        return [Curves("Calibration", title, lines)]

    def band(self, rows: "pd.DataFrame") -> "tuple[np.ndarray, np.ndarray]":
        first, last = self.quantiles[0], self.quantiles[-1]
        return rows[f"q{first:g}"].to_numpy(float), rows[f"q{last:g}"].to_numpy(float)

    def anomalies(self, rows: "pd.DataFrame", by_day: "ByDay") -> list[str]:
        lines = []
        nominal, known = self.quantiles[-1] - self.quantiles[0], rows["return"].notna().to_numpy()
        for name, first, last in (
            ("", "low_raw", "high_raw"),
            ("calibrated ", f"q{self.quantiles[0]:g}", f"q{self.quantiles[-1]:g}"),
        ):
            inside = rows["return"].between(rows[first], rows[last]).to_numpy(float)
            covered, low, high = by_day.mean(inside, known)
            if not low <= nominal <= high:
                lines.append(
                    f"the {name}{nominal:.0%} interval covers {covered:.1%} [{low:.1%}, "
                    f"{high:.1%}]: too {'narrow' if covered < nominal else 'wide'}. Look: the "
                    "volatility regime, the calibration section of the report"
                )
        return lines


def _in_order(quantiles: "jax.Array") -> "jax.Array":
    """Quantiles that cross are exchanged (Chernozhukov, Fernandez-Val & Galichon, 2010).

    By odd-even transposition: XLA, as of jax 0.10.2, cannot split the gradient of its sort over 64
    devices.
    """
    import jax.numpy as jnp

    q = [quantiles[..., i] for i in range(quantiles.shape[-1])]
    for turn in range(len(q)):
        for i in range(turn % 2, len(q) - 1, 2):
            q[i], q[i + 1] = jnp.minimum(q[i], q[i + 1]), jnp.maximum(q[i], q[i + 1])
    return jnp.stack(q, -1)


def _stretched(value: Any, scales: dict[str, Any]) -> tuple[Any, Any, Any]:
    """The outermost quantiles as ``Returns.calibration`` stretches them, and their scale."""
    xp, usual, recent = value.__array_namespace__(), scales["usual"], scales["recent"]
    middle = (value[:, 0] + value[:, -1]) / 2
    half = (value[:, -1] - value[:, 0]) / 2 * xp.exp((recent - usual) / 2)
    return middle - half, middle + half, xp.exp((recent + usual) / 2)
