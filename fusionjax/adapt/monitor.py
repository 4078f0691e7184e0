"""Monitors a market and a run for drift, session by session."""

import dataclasses
import math
from typing import Any

import numpy as np
from jaxtyping import Float

from fusionjax.adapt import shift, signals
from fusionjax.adapt.drift import LEAST, Alarm, DriftDetectors
from fusionjax.adapt.signals import Predict, ReferenceProfile
from fusionjax.config import Config, DriftConfig
from fusionjax.data.pooled import pooled_features
from fusionjax.data.store import Market
from fusionjax.data.windows import Windows
from fusionjax.evaluate import losses
from fusionjax.train.run_info import RunInfo

_MIN_OUTPUT_SESSIONS = 60  # sessions after training: the reference of errors and weights
_ROBUST = 0.8  # least robustness of a channel that is reported as unmoved
_ROWS = 500  # on each side of the comparison of all inputs
_THRESHOLDS = "bootstrapped"  # of states written before they were, there is nothing to go on from
_SETTINGS = ("detector", "run_length", "reference_sessions")  # of drift.*: a change restarts it


@dataclasses.dataclass(frozen=True)
class DriftReport:
    """The drift found in some sessions.

    Attributes:
      alarms: detected changes.
      robustness: of each channel, recent sessions against the reference; from 1, unmoved, to 0.
      shifts: PSI and KS of each channel; None where it has no value.
      embedding: energy coefficient of all inputs together, how many stretches of the reference
        as long as the recent sessions lie nearer, and how many there are.
    """

    alarms: list[Alarm]
    robustness: dict[str, float]
    shifts: dict[str, dict[str, float | None]]
    embedding: tuple[float, int, int]

    @property
    def lines(self) -> list[str]:
        """In words."""
        robust = [k for k, v in self.robustness.items() if v >= _ROBUST]
        far = {k: self.shifts[k]["PSI"] for k, v in self.robustness.items() if v < math.exp(-1)}
        far = dict(sorted(far.items(), key=lambda item: -(item[1] or math.inf)))
        other = [f"{k} ({'no value' if x is None else f'PSI {x:.2f}'})" for k, x in far.items()]
        moved = f"distributed otherwise than in training: {', '.join(other)}" if other else ""
        some = [k for k in self.robustness if k not in robust and k not in far]
        little = f"somewhat otherwise: {', '.join(some)}" if some else ""
        unmoved = f"as in training: {', '.join(robust)}" if robust else "no channel as in training"
        distance, nearer, count = self.embedding
        together = (
            f"all inputs together: energy distance {distance:.3f}, farther than {nearer} of "
            f"{count} stretches of training as long"
        )
        return [a.words for a in self.alarms] + [
            "; ".join(filter(None, [moved, little, unmoved, together]))
        ]


@dataclasses.dataclass(frozen=True)
class _Reference:
    """What monitoring started from.

    Attributes:
      profiles: usual content of each modality.
      settings: the keys ``_SETTINGS`` of ``drift.*``.
      trained: the last day of the inputs' reference.
    """

    profiles: dict[str, ReferenceProfile]
    settings: dict[str, Any]
    trained: str


class DriftMonitor:
    """Compares inputs and labels with training, errors and fusion weights with the time after it.

    Errors on training rows do not predict later ones, so the first sixty sessions after training
    are the reference of errors; until then only inputs and labels are monitored. A fine-tuned run
    continues its parent's monitor; one trained from scratch has another reference and restarts.
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
        """A new monitor whose reference is the run's training period."""
        d, until = config.drift, info.trained_until
        known = signals.sessions(market, "0001-01-01", until)[-d.reference_sessions :]
        content = signals.content(market, config, info.scaler, known)
        fitted = {name: ReferenceProfile.of(x) for name, x in content.items()}
        profiles = {name: profile for name, (profile, _) in fitted.items()}
        distance = {f"content {name}": x for name, (_, x) in fitted.items()}
        varying = _varying(signals.inputs(market, config, known) | distance)
        factor = _length_factor(
            len(varying), len(losses.judged(config.targets)) + len(config.modalities)
        )
        detectors = DriftDetectors.from_reference(varying, d.detector, d.run_length * factor)
        return DriftMonitor(
            detectors, None, {}, _Reference(profiles, _settings(config.drift), until), until
        )

    @staticmethod
    def resumed(
        state: dict[str, Any] | None, market: Market, config: Config, info: RunInfo
    ) -> tuple["DriftMonitor", list[str]]:
        """The monitor that continues from ``state``; and why it restarts instead, if it does."""
        if state is None:
            return DriftMonitor.begin(market, config, info), []
        restarted = []
        if state["asked"] != _settings(config.drift):
            was, now = (
                ", ".join(f"{k} {settings.get(k, 'measured')}" for k in _settings(config.drift))
                for settings in (state["asked"], _settings(config.drift))
            )
            restarted = [f"monitoring restarts: it was begun with {was}, config.drift has {now}"]
        elif info.parent is None and info.trained_until != state["trained"]:
            restarted = [f"monitoring restarts: the run was trained until {info.trained_until}"]
        return (
            DriftMonitor.begin(market, config, info) if restarted else DriftMonitor.from_json(state)
        ), restarted

    def look(
        self, market: Market, config: Config, info: RunInfo, until: str, predict: Predict
    ) -> DriftReport:
        """Processes the sessions since the last call.

        Args:
          market: the data.
          config: ``drift.*`` applies.
          info: of the monitored run.
          until: the last session to process.
          predict: the run's forecasts for rows of the market.
        """
        days = signals.sessions(market, self.until, until)
        inputs = signals.inputs(market, config, days)
        for name, x in signals.content(market, config, info.scaler, days).items():
            inputs[f"content {name}"] = self._reference.profiles[name].distance(x)
        outputs = signals.outputs(market, config, days, predict)
        alarms: list[Alarm] = []
        for i, day in enumerate(days.astype(str).tolist()):
            values = {k: float(v[i]) for k, v in inputs.items() if k in self._inputs.series}
            alarms += self._inputs.update(values, day)
            late = {k: float(v[i]) for k, v in outputs.items()}
            alarms += self._add_outputs(late, day, config.drift)
        self.until = until
        trained = self._reference.trained
        return DriftReport(alarms, *_shifted(market, config, info, trained, until))

    def _add_outputs(self, values: dict[str, float], day: str, drift: DriftConfig) -> list[Alarm]:
        if self._outputs is not None:
            monitored = {k: v for k, v in values.items() if k in self._outputs.series}
            return self._outputs.update(monitored, day)
        for name, value in values.items():
            self._early.setdefault(name, []).append(value)
        known = {k: np.array(v) for k, v in self._early.items() if np.isfinite(v).any()}
        if known and min(np.isfinite(v).sum() for v in known.values()) >= _MIN_OUTPUT_SESSIONS:
            varying = _varying(known)
            length = drift.run_length * _length_factor(len(varying), len(self._inputs.series))
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
            "asked": self._reference.settings,
            "trained": self._reference.trained,
            "until": self.until,
        }

    @staticmethod
    def from_json(state: dict[str, Any]) -> "DriftMonitor":
        """The inverse of ``to_json``."""
        outputs = None if state["outputs"] is None else DriftDetectors.from_json(state["outputs"])
        early = {k: [np.nan if x is None else x for x in v] for k, v in state["early"].items()}
        profiles = {k: ReferenceProfile(**u) for k, u in state["usual"].items()}
        reference = _Reference(profiles, state["asked"], state["trained"])
        inputs = DriftDetectors.from_json(state["inputs"])
        return DriftMonitor(inputs, outputs, early, reference, state["until"])


def _settings(drift: DriftConfig) -> dict[str, Any]:
    return {name: getattr(drift, name) for name in _SETTINGS} | {"thresholds": _THRESHOLDS}


def _length_factor(own: int, others: int) -> float:
    """Bonferroni factor of the run length: splits the false alarms over all monitored series."""
    return (own + others) / own


def _varying(
    series: dict[str, Float[np.ndarray, "_days"]],
) -> dict[str, Float[np.ndarray, "_days"]]:
    """The series that have enough finite values and are not constant; NaN for all others."""
    finite = {k: np.where(np.isfinite(v), v, np.nan) for k, v in series.items()}
    return {
        k: v
        for k, v in finite.items()
        if np.isfinite(v).sum() >= LEAST and np.nanmax(v) > np.nanmin(v)
    }


def _shifted(
    market: Market, config: Config, info: RunInfo, trained: str, until: str
) -> tuple[dict[str, float], dict[str, dict[str, float | None]], tuple[float, int, int]]:
    """Each channel's robustness and shifts, and the shift of all inputs together."""
    d, names = config.drift, config.channel_names
    reference = signals.sessions(market, "0001-01-01", trained)[-d.reference_sessions :]
    recent = signals.sessions(market, "0001-01-01", until)[-d.recent_sessions :]
    old, new = (np.flatnonzero(np.isin(market.session, days)) for days in (reference, recent))
    columns = market.columns(names)
    sides = [market.channels[rows][:, columns].astype(float) for rows in (old, new)]
    by_measure = {k: v.round(4).tolist() for k, v in shift.shifts(*sides).items()}
    shifts = {
        name: {k: v[i] if np.isfinite(v[i]) else None for k, v in by_measure.items()}
        for i, name in enumerate(names)
    }
    windows = Windows(market, config, info.scaler)
    old, new = (_spaced(market, rows) for rows in (old, new))
    features = [np.nan_to_num(pooled_features(windows, rows)) for rows in (old, new)]
    scale = np.maximum(features[0].std(0), 1e-6)
    count = max(len(reference) // max(len(recent), 1), 1)
    place = np.searchsorted(reference, market.session[old])
    stretch = place * count // len(reference)
    return (
        dict(zip(names, shift.robustness(*sides).round(4).tolist(), strict=True)),
        shifts,
        shift.embedding_shift(features[0] / scale, features[1] / scale, stretch),
    )


def _spaced(market: Market, rows: np.ndarray) -> np.ndarray:
    """Rows that are evenly spaced over the sessions, ``_ROWS`` at most."""
    rows = rows[np.argsort(market.session[rows], kind="stable")]
    return rows[np.linspace(0, len(rows) - 1, min(len(rows), _ROWS)).astype(int)]
