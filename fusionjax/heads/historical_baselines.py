"""What was usual: by the weekday of the decision, and quantiles of returns scaled by volatility.

All stocks are pooled. A weekday's own mean is trusted as n / (n + setting), n being its days in
training: the stocks of one day count once.
"""

import dataclasses
import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float64, Int64

from fusionjax.data.samples import realised_log_volatility
from fusionjax.data.store import Market
from fusionjax.heads.baseline import Baseline, Learned
from fusionjax.heads.volatility_baselines import DECAYS, ewma_log_volatility
from fusionjax.scores import metrics

if TYPE_CHECKING:
    from fusionjax.heads.base import Scored

_STRENGTHS = (0.0, 10.0, 30.0, 100.0, 300.0, 1e3, 3e3, 1e4)  # days


def weekday(market: Market, rows: Int64[np.ndarray, "S"]) -> Int64[np.ndarray, "S"]:
    """Weekday of each decision's session, 0 for Monday: known then, as the next session may be."""
    return (market.session[rows].astype("datetime64[D]").astype(np.int64) + 3) % 7


def _trust(train: "Scored", strength: float) -> Float64[np.ndarray, "7"]:
    """How far each weekday's own statistic counts; 0 for one without a sample."""
    sessions = np.unique(train.market.session[train.row[train.known]])
    days = np.bincount((sessions.astype("datetime64[D]").astype(np.int64) + 3) % 7, minlength=7)
    return days / np.maximum(days + strength, 1)


def _means(x: np.ndarray, group: np.ndarray, groups: int, otherwise: float) -> np.ndarray:
    """The mean of each group; ``otherwise`` for an empty one."""
    count = np.bincount(group, minlength=groups)
    total = np.bincount(group, x, minlength=groups)
    return np.where(count > 0, total / np.maximum(count, 1), otherwise)


@dataclasses.dataclass(frozen=True)
class Majority(Baseline):
    """Head "direction": the share of rising labels."""

    name: str = "majority"

    def fit(self, train: "Scored", last: np.datetime64, setting: Any) -> Learned:
        return {"share": np.array((train.label[train.known] == 1).mean())}

    def forecast(self, learned: Learned, market: Market, rows: np.ndarray) -> np.ndarray:
        return np.full(len(rows), learned["share"])

    def loss(self, value: np.ndarray, label: np.ndarray) -> np.ndarray:
        """The log loss."""
        return metrics.direction_loss(value, label == 1)


@dataclasses.dataclass(frozen=True)
class WeekdayShare(Baseline):
    """Head "direction": the share of rising labels of the weekday (French, 1980)."""

    name: str = "seasonal: by weekday"
    settings: tuple[float, ...] = _STRENGTHS

    def fit(self, train: "Scored", last: np.datetime64, setting: float) -> Learned:
        k, trust = train.known, _trust(train, setting)
        rose = (train.label[k] == 1).astype(float)
        own = _means(rose, weekday(train.market, train.row[k]), 7, 0.0)
        return {"share": trust * own + (1 - trust) * rose.mean()}

    def forecast(self, learned: Learned, market: Market, rows: np.ndarray) -> np.ndarray:
        return learned["share"][weekday(market, rows)]

    def loss(self, value: np.ndarray, label: np.ndarray) -> np.ndarray:
        """The log loss."""
        return metrics.direction_loss(value, label == 1)


@dataclasses.dataclass(frozen=True)
class WeekdayLevel(Baseline):
    """Head "volatility": each stock's mean in training, plus what the weekday adds to all."""

    name: str = "seasonal: by weekday"
    settings: tuple[float, ...] = _STRENGTHS

    def fit(self, train: "Scored", last: np.datetime64, setting: float) -> Learned:
        k, market = train.known, train.market
        y, symbol = train.label[k].astype(float), market.symbol[train.row[k]]
        level = _means(y, symbol, len(market.symbols), y.mean())
        added = _means(y - level[symbol], weekday(market, train.row[k]), 7, 0.0)
        return {"level": level, "added": _trust(train, setting) * added}

    def forecast(self, learned: Learned, market: Market, rows: np.ndarray) -> np.ndarray:
        return learned["level"][market.symbol[rows]] + learned["added"][weekday(market, rows)]


@dataclasses.dataclass(frozen=True)
class _Quantiles(Baseline):
    """Head "returns": quantiles of standardised training returns, times the current volatility."""

    levels: tuple[float, ...] = ()

    def loss(self, value: np.ndarray, label: np.ndarray) -> np.ndarray:
        """The mean pinball loss."""
        error, q = label[:, None] - value, np.array(self.levels)
        return np.maximum(q * error, (q - 1) * error).mean(1)


@dataclasses.dataclass(frozen=True)
class WeekdayQuantiles(_Quantiles):
    """By the weekday; the volatility is of the last 20 sessions."""

    name: str = "seasonal: by weekday, scaled by volatility"
    settings: tuple[float, ...] = _STRENGTHS

    def fit(self, train: "Scored", last: np.datetime64, setting: float) -> Learned:
        k, trust = train.known, _trust(train, setting)[:, None]
        unit = train.label[k] / _last_20(train.market, train.row[k])
        day = weekday(train.market, train.row[k])
        every = np.quantile(unit, self.levels)
        own = [np.quantile(unit[day == d], self.levels) if d in day else every for d in range(7)]
        return {"quantiles": trust * np.stack(own) + (1 - trust) * every}

    def forecast(self, learned: Learned, market: Market, rows: np.ndarray) -> np.ndarray:
        return _last_20(market, rows)[:, None] * learned["quantiles"][weekday(market, rows)]


@dataclasses.dataclass(frozen=True)
class ScaledQuantiles(_Quantiles):
    """By a volatility that others forecast."""

    name: str = "historical quantiles, scaled by the experts"
    features: Callable[[np.ndarray], np.ndarray] = dataclasses.field(kw_only=True)  # log volatility

    def prepare(self, rows: np.ndarray) -> None:
        self.features(rows)

    def inputs(self, rows: np.ndarray) -> str:
        return hashlib.sha256(self.features(np.unique(rows)).tobytes()).hexdigest()

    def fit(self, train: "Scored", last: np.datetime64, setting: Any) -> Learned:
        k = train.known
        unit = train.label[k] / np.exp(self.features(train.row[k]))
        return {"quantiles": np.nanquantile(unit, self.levels)}

    def forecast(self, learned: Learned, market: Market, rows: np.ndarray) -> np.ndarray:
        return np.exp(self.features(rows))[:, None] * learned["quantiles"]


@dataclasses.dataclass(frozen=True)
class EWMAQuantiles(_Quantiles):
    """The volatility is exponentially weighted (Hull & White, 1998); a setting is the weight of
    yesterday's variance."""

    name: str = "historical quantiles, scaled by EWMA"
    settings: tuple[float, ...] = DECAYS

    def fit(self, train: "Scored", last: np.datetime64, setting: float) -> Learned:
        k = train.known
        unit = train.label[k] / np.exp(ewma_log_volatility(train.market, train.row[k], setting))
        return {"decay": np.array(setting), "quantiles": np.quantile(unit, self.levels)}

    def forecast(self, learned: Learned, market: Market, rows: np.ndarray) -> np.ndarray:
        volatility = np.exp(ewma_log_volatility(market, rows, float(learned["decay"])))
        return volatility[:, None] * learned["quantiles"]


def _last_20(market: Market, rows: np.ndarray) -> np.ndarray:
    return np.exp(realised_log_volatility(market, rows, -20))
