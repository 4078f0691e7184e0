"""What is watched of a market and a run, as a number a session."""

import dataclasses
from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float, Int64, Shaped

from fusionjax.config import Config
from fusionjax.data import samples
from fusionjax.data.store import Market
from fusionjax.data.windows import Scaler, Windows
from fusionjax.evaluate import losses
from fusionjax.evaluate.features import pooled_by_modality
from fusionjax.evaluate.inference import Prediction

_STOCKS = 32  # a session, whose content is looked at
_CUT = 5.0  # standard deviations: one odd feature of many is no other content
_STILL = 1e-6  # of a feature's mean: below is rounding

Said = Callable[[Int64[np.ndarray, "S"]], Prediction]


def sessions(market: Market, after: str, until: str) -> Shaped[np.ndarray, "days"]:
    """Those after one day and up to another."""
    days = np.unique(market.session)
    return days[(days > np.datetime64(after, "D")) & (days <= np.datetime64(until, "D"))]


def channels(config: Config) -> list[str]:
    """Of all modalities that show some, each once."""
    return list(dict.fromkeys(c for m in config.modalities.values() for c in m.channel_names))


def inputs(
    market: Market, config: Config, days: Shaped[np.ndarray, "days"]
) -> dict[str, Float[np.ndarray, "days"]]:
    """Means over the stocks of each session: what modalities name, labels that became known."""
    rows = np.flatnonzero(np.isin(market.session, days))
    at = np.searchsorted(days, market.session[rows])

    def mean(values: np.ndarray, known: Bool[np.ndarray, "R"]) -> np.ndarray:
        return _daily(np.where(known, values, np.nan), at, len(days))

    found = {
        name: mean(x, np.isfinite(x))
        for m in config.modalities.values()
        for name, x in m.daily(market, rows).items()
    }
    for head in config.targets.values():
        found |= {k: mean(x, np.isfinite(x)) for k, x in head.watched(market, rows).items()}
    return found


@dataclasses.dataclass(frozen=True)
class ReferenceProfile:
    """A modality's content over the sessions of a reference: of each pooled feature, the mean and
    standard deviation of the sessions' means; 0 where it does not vary, which is then left out."""

    mean: list[float]
    std: list[float]

    @staticmethod
    def of(x: Float[np.ndarray, "days F"]) -> tuple["ReferenceProfile", Float[np.ndarray, "days"]]:
        """What is usual, and how far from it each session of the reference itself was.

        Each is measured against the others, as a later session is against all: it would look
        nearer to a mean that it is part of.
        """
        seen = np.isfinite(x).sum(0)
        count = np.maximum(seen, 3)
        mean = np.nan_to_num(np.nansum(x, 0) / count)
        off = x - mean
        squares = np.nansum(off**2, 0)
        std = np.sqrt(squares / (count - 1))
        std[(seen < 3) | (std < _STILL * np.maximum(np.abs(mean), 1))] = 0
        own = off * count / (count - 1)
        others = np.sqrt(np.maximum(squares - off * own, 0) / (count - 2))
        far = _distance(own, np.where(std > 0, np.maximum(others, _STILL * std), 0))
        return ReferenceProfile(mean.tolist(), std.tolist()), far

    def distance(self, x: Float[np.ndarray, "days F"]) -> Float[np.ndarray, "days"]:
        """How far later sessions are from it; NaN where one has no content."""
        return _distance(x - np.array(self.mean), np.array(self.std))


def _distance(
    off: Float[np.ndarray, "days F"], std: Float[np.ndarray, "*days F"]
) -> Float[np.ndarray, "days"]:
    """Of features that are so far off, in their standard deviations, the cube root of the mean
    square: near normal (Wilson & Hilferty, 1931), as the detectors expect."""
    z = off / np.where(std > 0, std, np.nan)
    seen = np.isfinite(z).sum(1)
    total = np.nansum(np.minimum(z**2, _CUT**2), 1)
    return np.where(seen > 0, np.cbrt(total / np.maximum(seen, 1)), np.nan)


def content(
    market: Market, config: Config, scaler: Scaler, days: Shaped[np.ndarray, "days"]
) -> dict[str, Float[np.ndarray, "days _F"]]:
    """Each modality's pooled features of each session itself, mean over some of its stocks.

    Look-backs are one session long, or each day would mostly hold what the day before held; and no
    channel is turned down, or an update that does so would look like other content.
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
    market: Market, config: Config, days: Shaped[np.ndarray, "days"], said: Said
) -> dict[str, Float[np.ndarray, "days"]]:
    """Errors by the session that their label became known, weights by the session of the call."""
    ends = {h.loss_title: h.horizons[0] for h in losses.judged(config).values()}
    names = [*(f"error: {k}" for k in ends), *(f"weight {m}" for m in config.modalities)]
    found = {name: np.full(len(days), np.nan) for name in names}
    if not len(days):
        return found
    every = np.unique(market.session)
    first = every[max(int(np.searchsorted(every, days[0])) - max(ends.values()), 0)]
    asked = samples.between(market, config, first + 1, days[-1])
    called = np.flatnonzero(np.isin(market.session, days))
    called = called[called - market.first_row[called] >= config.data.min_history]
    rows = np.union1d(asked.row, called)
    if not len(rows):
        return found
    forecast = said(rows)
    lost = losses.sample_losses(forecast.take(np.isin(rows, asked.row)), asked, config)
    for name, loss in lost.items():
        end = market.session[np.minimum(asked.row + ends[name], market.last_row[asked.row])]
        found[f"error: {name}"] = _of_days(loss, end, days)
    for i, name in enumerate(config.modalities):
        weight = forecast.modality_weight[:, i].astype(float)
        found[f"weight {name}"] = _of_days(weight, market.session[rows], days)
    return found


def _of_days(values: np.ndarray, day: np.ndarray, days: np.ndarray) -> np.ndarray:
    keep = np.isin(day, days)
    return _daily(values[keep], np.searchsorted(days, day[keep]), len(days))


def _daily(values: np.ndarray, at: np.ndarray, count: int) -> Float[np.ndarray, "days"]:
    """The mean of what is finite at each of ``count`` places; NaN where nothing is."""
    keep = np.isfinite(values)
    seen = np.bincount(at[keep], minlength=count)
    total = np.bincount(at[keep], values[keep], count)
    return np.where(seen > 0, total / np.maximum(seen, 1), np.nan)
