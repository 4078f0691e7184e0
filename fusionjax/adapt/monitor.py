"""What is watched of a market and a run, session by session, and what an alarm says of it."""

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Float

from fusionjax.adapt import shift, signals
from fusionjax.adapt.drift import LEAST, Alarm, DriftDetectors
from fusionjax.adapt.signals import ReferenceProfile, Said
from fusionjax.config import Config, DriftConfig
from fusionjax.data.store import Market
from fusionjax.data.windows import Windows
from fusionjax.evaluate import losses
from fusionjax.evaluate.features import pooled_features
from fusionjax.train.run_info import RunInfo

_SETTLING = 60  # sessions after training that are the reference of errors and weights
_ROBUST = 0.8  # of the score of a feature that counts as robust
_ROWS = 500  # a side that are compared with all their inputs
_ASKED = ("detector", "run_length", "reference_sessions")  # of drift.*: other ones, another watch


@dataclasses.dataclass(frozen=True)
class DriftReport:
    """What a look at some sessions found.

    Attributes:
      alarms: series that left their level.
      robustness: of each channel, 1 unmoved to 0, the recent sessions against the reference.
      shifts: of each channel, by PSI and KS: how far it has moved; None where it has no value.
      embedding: energy coefficient of all inputs together, and its p-value as if rows were alone.
    """

    alarms: list[Alarm]
    robustness: dict[str, float]
    shifts: dict[str, dict[str, float | None]]
    embedding: tuple[float, float]

    @property
    def lines(self) -> list[str]:
        """In words."""
        robust = [k for k, v in self.robustness.items() if v >= _ROBUST]
        kept = f"unmoved: {', '.join(robust)}" if robust else "no channel is unmoved"
        distance, chance = self.embedding
        together = f"all inputs together: energy distance {distance:.3f} (p {chance:.3f})"
        return [a.words for a in self.alarms] + [f"{kept}; {together}"] * bool(self.alarms)


@dataclasses.dataclass(frozen=True)
class _Reference:
    """What the watch was begun with.

    Attributes:
      usual: content of each modality.
      asked: ``drift.*``.
      trained: the last day of the reference of inputs.
    """

    profiles: dict[str, ReferenceProfile]
    asked: dict[str, Any]
    trained: str


class DriftMonitor:
    """Watches inputs and labels against training, errors and fusion weights against the time after.

    A model's errors on its own training rows say nothing of those to come, so that the first sixty
    sessions after training are their reference; until then only inputs and labels are watched. A
    fine-tuned run goes on with its parent's watch; one trained from scratch knows other data as
    usual, and begins anew.
    """

    def __init__(
        self,
        inputs: DriftDetectors,
        outputs: DriftDetectors | None,
        early: dict,
        reference: _Reference,
        until: str,
    ) -> None:
        self._inputs, self._outputs, self._early = inputs, outputs, early
        self._reference, self.until = reference, until

    @staticmethod
    def begin(market: Market, config: Config, info: RunInfo) -> "DriftMonitor":
        """A monitor that has seen a run's training period."""
        d, until = config.drift, info.trained_until
        known = signals.sessions(market, "0001-01-01", until)[-d.reference_sessions :]
        content = signals.content(market, config, info.scaler, known)
        found = {name: ReferenceProfile.of(x) for name, x in content.items()}
        profiles = {name: u for name, (u, _) in found.items()}
        distance = {f"content {name}": far for name, (_, far) in found.items()}
        varying = _varying(signals.inputs(market, config, known) | distance)
        share = _share(len(varying), len(losses.judged(config)) + len(config.modalities))
        watch = DriftDetectors.from_reference(varying, d.detector, d.run_length * share)
        return DriftMonitor(
            watch, None, {}, _Reference(profiles, _asked(config.drift), until), until
        )

    @staticmethod
    def resumed(
        state: dict[str, Any] | None, market: Market, config: Config, info: RunInfo
    ) -> tuple["DriftMonitor", list[str]]:
        """The monitor of a run that a state is for; and in words why it begins anew, if it does."""
        if state is None:
            return DriftMonitor.begin(market, config, info), []
        anew = []
        if state["asked"] != _asked(config.drift):
            was, now = (
                ", ".join(f"{k} {v}" for k, v in asked.items())
                for asked in (state["asked"], _asked(config.drift))
            )
            anew = [f"the watch begins anew: it was begun with {was}, now config.drift has {now}"]
        elif info.parent is None and info.trained_until != state["trained"]:
            anew = [f"the watch begins anew: what serves was trained until {info.trained_until}"]
        return (
            DriftMonitor.begin(market, config, info) if anew else DriftMonitor.from_json(state)
        ), anew

    def look(
        self, market: Market, config: Config, info: RunInfo, until: str, said: Said
    ) -> DriftReport:
        """Takes the sessions since the last look.

        Args:
          market: the data.
          config: ``drift.*`` governs.
          info: of the run that is watched.
          until: the last session to take.
          said: what the run that served forecasts for rows.
        """
        days = signals.sessions(market, self.until, until)
        inputs = signals.inputs(market, config, days)
        for name, x in signals.content(market, config, info.scaler, days).items():
            inputs[f"content {name}"] = self._reference.profiles[name].distance(x)
        outputs = signals.outputs(market, config, days, said)
        alarms: list[Alarm] = []
        for i, day in enumerate(days.astype(str).tolist()):
            now = {k: float(v[i]) for k, v in inputs.items() if k in self._inputs.series}
            alarms += self._inputs.update(now, day)
            alarms += self._see({k: float(v[i]) for k, v in outputs.items()}, day, config.drift)
        self.until = until
        trained = self._reference.trained
        return DriftReport(alarms, *_shifted(market, config, info, trained, until))

    def _see(self, values: dict[str, float], day: str, drift: DriftConfig) -> list[Alarm]:
        if self._outputs is not None:
            watched = {k: v for k, v in values.items() if k in self._outputs.series}
            return self._outputs.update(watched, day)
        for name, value in values.items():
            self._early.setdefault(name, []).append(value)
        seen = {k: np.array(v) for k, v in self._early.items() if np.isfinite(v).any()}
        if seen and min(np.isfinite(v).sum() for v in seen.values()) >= _SETTLING:
            varying = _varying(seen)
            length = drift.run_length * _share(len(varying), len(self._inputs.series))
            self._outputs = DriftDetectors.from_reference(varying, drift.detector, length)
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
            "usual": {k: dataclasses.asdict(u) for k, u in self._reference.profiles.items()},
            "asked": self._reference.asked,
            "trained": self._reference.trained,
            "until": self.until,
        }

    @staticmethod
    def from_json(state: dict[str, Any]) -> "DriftMonitor":
        """The monitor that ``to_json`` was asked of."""
        outputs = None if state["outputs"] is None else DriftDetectors.from_json(state["outputs"])
        early = {k: [np.nan if x is None else x for x in v] for k, v in state["early"].items()}
        profiles = {k: ReferenceProfile(**u) for k, u in state["usual"].items()}
        reference = _Reference(profiles, state["asked"], state["trained"])
        inputs = DriftDetectors.from_json(state["inputs"])
        return DriftMonitor(inputs, outputs, early, reference, state["until"])


def _asked(drift: DriftConfig) -> dict[str, Any]:
    return {name: getattr(drift, name) for name in _ASKED}


def _share(own: int, others: int) -> float:
    """What a watch must run longer, for all series together to alarm as seldom as asked."""
    return (own + others) / own


def _varying(
    found: dict[str, Float[np.ndarray, "_days"]],
) -> dict[str, Float[np.ndarray, "_days"]]:
    """The series that have a level to leave: known often enough, and not always the same."""
    known = {k: v[np.isfinite(v)] for k, v in found.items()}
    return {k: v for k, v in known.items() if len(v) >= LEAST and v.max() > v.min()}


def _shifted(
    market: Market, config: Config, info: RunInfo, trained: str, until: str
) -> tuple[dict[str, float], dict[str, dict[str, float | None]], tuple[float, float]]:
    """Each channel's robustness and shifts, and how far all inputs together have moved."""
    d, names = config.drift, signals.channels(config)
    then = signals.sessions(market, "0001-01-01", trained)[-d.reference_sessions :]
    now = signals.sessions(market, "0001-01-01", until)[-d.recent_sessions :]
    old, new = (np.flatnonzero(np.isin(market.session, days)) for days in (then, now))
    columns = market.columns(tuple(names))
    sides = [market.channels[rows][:, columns].astype(float) for rows in (old, new)]
    found = {k: v.round(4).tolist() for k, v in shift.shifts(*sides).items()}
    shifts = {
        name: {k: v[i] if np.isfinite(v[i]) else None for k, v in found.items()}
        for i, name in enumerate(names)
    }
    windows = Windows(market, config, info.scaler)
    spaced = (rows[np.linspace(0, len(rows) - 1, _ROWS).astype(int)] for rows in (old, new))
    seen = [np.nan_to_num(pooled_features(windows, rows)) for rows in spaced]
    scale = np.maximum(seen[0].std(0), 1e-6)
    return (
        dict(zip(names, shift.robustness(*sides).round(4).tolist(), strict=True)),
        shifts,
        shift.embedding_shift(seen[0] / scale, seen[1] / scale, 0),
    )
