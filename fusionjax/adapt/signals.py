"""The monitored signals of a market and a run: one number each a session."""

import dataclasses
from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float, Int64, Shaped

from fusionjax.config import Config
from fusionjax.data import samples
from fusionjax.data.pooled import pooled_by_modality
from fusionjax.data.store import Market
from fusionjax.data.windows import Scaler, Windows
from fusionjax.evaluate import losses
from fusionjax.evaluate.inference import Prediction

_STOCKS = 32  # most stocks a session in the content signals
_CUT = 5.0  # standard deviations at which a feature is clipped: one outlier is no new content
_MIN_STD = 1e-6  # relative to a feature's mean: less is rounding

Predict = Callable[[Int64[np.ndarray, "S"]], Prediction]


def sessions(market: Market, after: str, until: str) -> Shaped[np.ndarray, "days"]:
    """The sessions after ``after`` and up to ``until``."""
    days = np.unique(market.session)
    return days[(days > np.datetime64(after, "D")) & (days <= np.datetime64(until, "D"))]


def inputs(
    market: Market, config: Config, days: Shaped[np.ndarray, "days"]
) -> dict[str, Float[np.ndarray, "days"]]:
    """Each session's means over stocks: the modalities' daily values, the labels known by then."""
    rows = np.flatnonzero(np.isin(market.session, days))
    at = np.searchsorted(days, market.session[rows])

    def mean(values: np.ndarray, known: Bool[np.ndarray, "R"]) -> np.ndarray:
        return _daily(np.where(known, values, np.nan), at, len(days))

    series = {
        name: mean(x, np.isfinite(x))
        for m in config.modalities.values()
        for name, x in m.daily(market, rows).items()
    }
    for head in config.targets.values():
        series |= {k: mean(x, np.isfinite(x)) for k, x in head.watched(market, rows).items()}
    return series


@dataclasses.dataclass(frozen=True)
class ReferenceProfile:
    """A modality's usual content: mean and standard deviation over sessions of each pooled feature.
    A standard deviation of 0 marks a constant feature, which is left out."""

    mean: list[float]
    std: list[float]

    @staticmethod
    def of(x: Float[np.ndarray, "days F"]) -> tuple["ReferenceProfile", Float[np.ndarray, "days"]]:
        """The profile of some sessions, and the distance of each of them from it.

        Each is compared with the profile of the others, as it would be too near to its own.
        """
        known = np.isfinite(x).sum(0)
        count = np.maximum(known, 3)
        mean = np.nan_to_num(np.nansum(x, 0) / count)
        off = x - mean
        squares = np.nansum(off**2, 0)
        std = np.sqrt(squares / (count - 1))
        std[(known < 3) | (std < _MIN_STD * np.maximum(np.abs(mean), 1))] = 0
        own = off * count / (count - 1)
        others = np.sqrt(np.maximum(squares - off * own, 0) / (count - 2))
        distance = _distance(own, np.where(std > 0, np.maximum(others, _MIN_STD * std), 0))
        return ReferenceProfile(mean.tolist(), std.tolist()), distance

    def distance(self, x: Float[np.ndarray, "days F"]) -> Float[np.ndarray, "days"]:
        """The distance of later sessions from the profile; NaN where one has no content."""
        return _distance(x - np.array(self.mean), np.array(self.std))


def _distance(
    off: Float[np.ndarray, "days F"], std: Float[np.ndarray, "*days F"]
) -> Float[np.ndarray, "days"]:
    """The cube root of the mean squared deviation of all features, each in its standard deviations:
    nearly normal (Wilson & Hilferty, 1931), as the detectors expect."""
    z = off / np.where(std > 0, std, np.nan)
    known = np.isfinite(z).sum(1)
    total = np.nansum(np.minimum(z**2, _CUT**2), 1)
    return np.where(known > 0, np.cbrt(total / np.maximum(known, 1)), np.nan)


def content(
    market: Market, config: Config, scaler: Scaler, days: Shaped[np.ndarray, "days"]
) -> dict[str, Float[np.ndarray, "days _F"]]:
    """Each modality's pooled features of each session, mean over some of its stocks.

    Look-backs are one session long, as longer ones would make neighbouring days alike. Channels are
    not scaled by their trust, as an update that changes it would look like new content.
    """
    modalities = {name: m.of_one_session() for name, m in config.modalities.items()}
    config = dataclasses.replace(config, modalities=modalities)
    windows = Windows(market, config, dataclasses.replace(scaler, trust={}))
    of_days = (np.flatnonzero(market.session == day) for day in days)
    picked = [rows[np.linspace(0, len(rows) - 1, _STOCKS).astype(int)] for rows in of_days]
    if not picked:
        return {}
    rows = np.concatenate([np.unique(p) for p in picked])
    at = np.searchsorted(days, market.session[rows])
    return {
        name: np.stack([_daily(x[:, i], at, len(days)) for i in range(x.shape[1])], 1)
        for name, x in pooled_by_modality(windows, rows).items()
    }


def outputs(
    market: Market, config: Config, days: Shaped[np.ndarray, "days"], predict: Predict
) -> dict[str, Float[np.ndarray, "days"]]:
    """Losses by the session in which their label became known, weights by that of the forecast."""
    horizons = {h.loss_title: h.horizons[0] for h in losses.judged(config.targets).values()}
    names = [*(f"error: {k}" for k in horizons), *(f"weight {m}" for m in config.modalities)]
    series = {name: np.full(len(days), np.nan) for name in names}
    if not len(days):
        return series
    labelled = samples.between(market, config, market.session.min(), days[-1])
    ends = {
        name: market.session[samples.known_at(market, labelled.row, horizon)[0]]
        for name, horizon in horizons.items()
    }
    # Where a symbol misses bars, forecasts of long ago may only now be known.
    since = np.any([end >= days[0] for end in ends.values()], axis=0)
    labelled, ends = labelled.take(since), {name: end[since] for name, end in ends.items()}
    asked = np.isin(market.session, days) & market.forecast_rows(config.data.min_history)
    called = np.flatnonzero(asked)
    rows = np.union1d(labelled.row, called)
    if not len(rows):
        return series
    forecast = predict(rows)
    matured = forecast.take(np.isin(rows, labelled.row))
    for name, loss in losses.sample_losses(matured, labelled, config.targets).items():
        series[f"error: {name}"] = _of_days(loss, ends[name], days)
    for i, name in enumerate(config.modalities):
        weight = forecast.modality_weight[:, i].astype(float)
        series[f"weight {name}"] = _of_days(weight, market.session[rows], days)
    return series


def _of_days(values: np.ndarray, day: np.ndarray, days: np.ndarray) -> np.ndarray:
    keep = np.isin(day, days)
    return _daily(values[keep], np.searchsorted(days, day[keep]), len(days))


def _daily(values: np.ndarray, at: np.ndarray, count: int) -> Float[np.ndarray, "days"]:
    """The mean of the finite values at each of ``count`` positions; NaN where there is none."""
    keep = np.isfinite(values)
    known = np.bincount(at[keep], minlength=count)
    total = np.bincount(at[keep], values[keep], count)
    return np.where(known > 0, total / np.maximum(known, 1), np.nan)
