"""What is watched of a market and a run, session by session, and what an alarm says of it."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int64, Shaped

from fusionjax.adapt import shift
from fusionjax.adapt.drift import Alarm, Watch
from fusionjax.config import Config, NumericConfig
from fusionjax.data import samples
from fusionjax.data.store import Market
from fusionjax.data.windows import Windows
from fusionjax.evaluate import ablation
from fusionjax.evaluate.baselines import pooled_features
from fusionjax.evaluate.inference import Prediction
from fusionjax.train.checkpoint import RunInfo

_SETTLING = 60  # sessions after training that are the reference of errors and weights
_ROBUST = 0.8  # of the score of a feature that counts as robust
_ROWS = 500  # a side that are compared with all their inputs

Said = Callable[[Int64[np.ndarray, "S"]], Prediction]


@dataclasses.dataclass(frozen=True)
class Report:
    """What a look at some sessions found.

    Attributes:
      alarms: series that left their level.
      robustness: of each channel, 1 unmoved to 0, the recent sessions against the reference.
      embedding: energy coefficient of all inputs together, and its p-value as if rows were alone.
    """

    alarms: list[Alarm]
    robustness: dict[str, float]
    embedding: tuple[float, float]

    @property
    def lines(self) -> list[str]:
        """In words."""
        robust = [k for k, v in self.robustness.items() if v >= _ROBUST]
        kept = f"unmoved: {', '.join(robust)}" if robust else "no channel is unmoved"
        distance, chance = self.embedding
        together = f"all inputs together: energy distance {distance:.3f} (p {chance:.3f})"
        return [a.words for a in self.alarms] + [f"{kept}; {together}"] * bool(self.alarms)


class Monitor:
    """Watches inputs and labels against training, errors and fusion weights against the time after.

    A model's errors on its own training rows say nothing of those to come, so that the first sixty
    sessions after training are their reference; until then only inputs and labels are watched.
    """

    def __init__(
        self, inputs: Watch, outputs: Watch | None, early: dict, until: str, trained: str, run: str
    ) -> None:
        self._inputs, self._outputs, self._early, self.until = inputs, outputs, early, until
        self._trained = trained  # the last day of the reference of inputs
        self._run = run  # whose errors and weights are watched

    @staticmethod
    def begin(market: Market, config: Config, info: RunInfo) -> "Monitor":
        """A monitor that has seen a run's training period."""
        known = _sessions(market, "0001-01-01", info.trained_until)
        reference = _inputs(market, config, known[-config.drift.reference_sessions :])
        # What never varies has no level to leave.
        varying = {k: v for k, v in reference.items() if np.nanmax(v) > np.nanmin(v)}
        share = _share(len(varying), len(ablation.LOSSES) + len(config.modalities))
        d = config.drift
        watch = Watch.from_reference(varying, d.detector, d.run_length * share)
        return Monitor(watch, None, {}, info.trained_until, info.trained_until, "")

    def look(
        self, market: Market, config: Config, info: RunInfo, run: str, until: str, said: Said
    ) -> Report:
        """Takes the sessions since the last look.

        Args:
          market: the data.
          config: ``drift.*`` governs.
          info: of the run that is watched.
          run: its folder; another than before has errors and weights of its own.
          until: the last session to take.
          said: what the run that served forecasts for rows.
        """
        if run != self._run:
            self._run, self._outputs, self._early = run, None, {}
        days = _sessions(market, self.until, until)
        inputs, outputs = _inputs(market, config, days), _outputs(market, config, days, said)
        alarms: list[Alarm] = []
        for i, day in enumerate(days.astype(str).tolist()):
            now = {k: float(v[i]) for k, v in inputs.items() if k in self._inputs.series}
            alarms += self._inputs.update(now, day)
            alarms += self._see({k: float(v[i]) for k, v in outputs.items()}, day, config)
        self.until = until
        return Report(alarms, *_shifted(market, config, info, self._trained, until))

    def _see(self, values: dict[str, float], day: str, config: Config) -> list[Alarm]:
        if self._outputs is not None:
            watched = {k: v for k, v in values.items() if k in self._outputs.series}
            return self._outputs.update(watched, day)
        for name, value in values.items():
            self._early.setdefault(name, []).append(value)
        seen = {k: np.array(v) for k, v in self._early.items() if np.isfinite(v).any()}
        if seen and min(np.isfinite(v).sum() for v in seen.values()) >= _SETTLING:
            varying = {k: v for k, v in seen.items() if np.nanstd(v) > 0}
            d, share = config.drift, _share(len(varying), len(self._inputs.series))
            self._outputs = Watch.from_reference(varying, d.detector, d.run_length * share)
            self._early = {}
        return []

    def to_json(self) -> dict[str, Any]:
        """The whole state, in JSON's types; NaN as null."""
        clean = {k: [x if np.isfinite(x) else None for x in v] for k, v in self._early.items()}
        outputs = None if self._outputs is None else self._outputs.to_json()
        return {
            "inputs": self._inputs.to_json(),
            "outputs": outputs,
            "early": clean,
            "until": self.until,
            "trained": self._trained,
            "run": self._run,
        }

    @staticmethod
    def from_json(state: dict[str, Any]) -> "Monitor":
        """The monitor that ``to_json`` was asked of."""
        outputs = None if state["outputs"] is None else Watch.from_json(state["outputs"])
        early = {k: [np.nan if x is None else x for x in v] for k, v in state["early"].items()}
        inputs = Watch.from_json(state["inputs"])
        return Monitor(inputs, outputs, early, state["until"], state["trained"], state["run"])


def _share(own: int, others: int) -> float:
    """What a watch must run longer, for all series together to alarm as seldom as asked."""
    return (own + others) / own


def _sessions(market: Market, after: str, until: str) -> Shaped[np.ndarray, "days"]:
    days = np.unique(market.session)
    return days[(days > np.datetime64(after, "D")) & (days <= np.datetime64(until, "D"))]


def _channels(config: Config) -> list[str]:
    numeric = [m for m in config.modalities.values() if isinstance(m, NumericConfig)]
    return list(dict.fromkeys(c for m in numeric for c in m.channels))


def _inputs(
    market: Market, config: Config, days: Shaped[np.ndarray, "days"]
) -> dict[str, Float[np.ndarray, "days"]]:
    """Means over the stocks of each session: channels, texts, labels that became known."""
    rows = np.flatnonzero(np.isin(market.session, days))
    at = np.searchsorted(days, market.session[rows])

    def mean(values: np.ndarray, known: Bool[np.ndarray, "R"]) -> np.ndarray:
        total = np.bincount(at[known], values[known], len(days))
        count = np.bincount(at[known], minlength=len(days))
        return np.where(count > 0, total / np.maximum(count, 1), np.nan)

    found = {}
    for name in _channels(config):
        x = market.channels[rows, market.columns((name,))[0]].astype(float)
        found[f"input {name}"] = mean(x, np.isfinite(x))
    if market.texts is not None and "text" in {m.kind for m in config.modalities.values()}:
        texts = np.bincount(market.texts.bar, minlength=len(market.session))[rows]
        found["input texts a stock"] = mean(np.log1p(texts), np.ones(len(rows), bool))
    horizon = config.targets.direction[0]
    past = np.maximum(rows - horizon, market.first_row[rows])
    move = market.adj_close[rows] / market.adj_close[past] - 1
    known = rows - horizon >= market.first_row[rows]
    found["label: share up"] = mean((move >= config.targets.up).astype(float), known)
    found["label: size of moves"] = mean(np.log(np.abs(move) + 1e-4), known)
    return found


def _outputs(
    market: Market, config: Config, days: Shaped[np.ndarray, "days"], said: Said
) -> dict[str, Float[np.ndarray, "days"]]:
    """Errors by the session that their label became known, weights by the session of the call."""
    names = [*(f"error: {k}" for k in ablation.LOSSES), *(f"weight {m}" for m in config.modalities)]
    found = {name: np.full(len(days), np.nan) for name in names}
    if not len(days):
        return found
    longest = max(config.targets.direction[0], config.targets.volatility[0])
    every = np.unique(market.session)
    first = every[max(int(np.searchsorted(every, days[0])) - longest, 0)]
    asked = samples.between(market, config, first + 1, days[-1])
    called = np.flatnonzero(np.isin(market.session, days))
    called = called[called - market.first_row[called] >= config.data.min_history]
    rows = np.union1d(asked.row, called)
    if not len(rows):
        return found
    forecast = said(rows)
    lost = ablation.losses(forecast.take(np.isin(rows, asked.row)), asked)
    ends = (config.targets.direction[0], config.targets.volatility[0])
    for (name, loss), horizon in zip(lost.items(), ends, strict=True):
        end = market.session[np.minimum(asked.row + horizon, market.last_row[asked.row])]
        found[f"error: {name}"] = _daily(loss, end, days)
    for i, name in enumerate(config.modalities):
        weight = forecast.modality_weight[:, i].astype(float)
        found[f"weight {name}"] = _daily(weight, market.session[rows], days)
    return found


def _daily(values: np.ndarray, day: np.ndarray, days: np.ndarray) -> np.ndarray:
    keep = np.isfinite(values) & np.isin(day, days)
    at = np.searchsorted(days, day[keep])
    count = np.bincount(at, minlength=len(days))
    total = np.bincount(at, values[keep], len(days))
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _shifted(
    market: Market, config: Config, info: RunInfo, trained: str, until: str
) -> tuple[dict[str, float], tuple[float, float]]:
    """Each channel's robustness, and how far all inputs together have moved."""
    d, names = config.drift, _channels(config)
    then = _sessions(market, "0001-01-01", trained)[-d.reference_sessions :]
    now = _sessions(market, "0001-01-01", until)[-d.recent_sessions :]
    old, new = (np.flatnonzero(np.isin(market.session, days)) for days in (then, now))
    columns = market.columns(tuple(names))
    scores = shift.robustness(
        market.channels[old][:, columns].astype(float),
        market.channels[new][:, columns].astype(float),
    )
    windows = Windows(market, config, info.scaler)
    spaced = (rows[np.linspace(0, len(rows) - 1, _ROWS).astype(int)] for rows in (old, new))
    seen = [np.nan_to_num(pooled_features(windows, rows)) for rows in spaced]
    scale = np.maximum(seen[0].std(0), 1e-6)
    return (
        dict(zip(names, scores.round(4).tolist(), strict=True)),
        shift.embedding_shift(seen[0] / scale, seen[1] / scale, 0),
    )
