"""Change detection in daily series, with one detector each."""

import copy
import dataclasses
import math
from typing import Any

import numpy as np
from jaxtyping import Float
from river import drift
from river.base import DriftDetector
from scipy import stats

from fusionjax.errors import InputError

ANCHOR = 250  # most sessions at the reference level that a new detector is given
LEAST = 20  # values that a reference needs
_CUT = 3.0  # standard deviations
_PERSISTENT = 0.99  # lag-1 autocorrelation up to which a series is whitened


def _start(detector: str, parameter: float, anchor: int) -> DriftDetector:
    """A detector that was given ``anchor`` standard normal values as the reference level.

    Otherwise it would learn the level from the first values, and miss an early change. The values
    are normal quantiles in van der Corput's order, so that every stretch of them is balanced.
    """
    new: DriftDetector
    match detector:
        case "PageHinkley":
            # Without forgetting (alpha=1) this is Page's two-sided CUSUM. With forgetting the sum
            # rises from its minimum although nothing changes, which raises false alarms.
            new = drift.PageHinkley(min_instances=1, delta=0.25, threshold=parameter, alpha=1.0)
        case "ADWIN":
            new = drift.ADWIN(delta=parameter, clock=1)  # looks every session, not every 32
        case "KSWIN":
            new = drift.KSWIN(alpha=parameter, seed=0)
        case _:
            raise InputError(f"detector {detector!r}: expected one of {', '.join(_MEASURED)}")
    order = stats.qmc.Halton(1, scramble=False).random(anchor + 1)[1:, 0].argsort().argsort()
    for x in stats.norm.ppf((order + 0.5) / anchor).tolist():
        new.update(x)
    return new


def measured_run_length(detector: str, parameter: float, streams: int, seed: int) -> float:
    """Mean sessions to the first alarm when nothing changes: iid N(0, 1), simulated.

    Args:
      detector: ``PageHinkley``, ``ADWIN`` or ``KSWIN`` of river.
      parameter: its threshold, delta or alpha.
      streams: simulated; the standard error is about 1/√streams of the result.
      seed: of the streams.
    """
    rng, total = np.random.default_rng(seed), 0
    for _ in range(streams):
        running, alarm = _start(detector, parameter, ANCHOR), False
        while not alarm:
            for x in rng.standard_normal(512).tolist():
                running.update(x)
                total += 1
                if alarm := running.drift_detected:
                    break
    return total / streams


# Parameters and the run lengths that ``measured_run_length`` gave for them (seed 11; 250 to 2,000
# streams of PageHinkley, 100 to 1,000 of ADWIN, 60 to 200 of KSWIN, which is 500 times as slow).
# KSWIN's parameters are the p-values that its statistic, a multiple of 1/30, can have.
_MEASURED = {
    "PageHinkley": [
        *((5.0, 74.3), (6.0, 132.8), (7.0, 238.8), (8.0, 400.3), (9.0, 639.9), (10.0, 1_092.8)),
        *((11.0, 1_808.0), (12.0, 2_982.9), (14.0, 7_883.3), (16.0, 21_678.7), (18.0, 58_472.8)),
        *((20.0, 156_110.5), (22.0, 429_956.3)),
    ],
    "ADWIN": [
        *((1.0, 484.0), (0.7, 796.8), (0.5, 1_266.3), (0.35, 2_042.3), (0.2, 4_199.1)),
        *((0.1, 10_271.4), (0.05, 23_793.3), (0.02, 81_927.9), (0.01, 214_971.2)),
    ],
    "KSWIN": [
        *((0.07096, 66.4), (0.03461, 95.4), (0.01566, 185.6), (0.006555, 339.3)),
        *((0.002533, 777.3), (0.0009005, 1_653.6), (0.0002936, 5_019.9), (8.746e-05, 15_625.7)),
    ],
}


def sensitivity(detector: str, run_length: float) -> float:
    """The parameter for one false alarm in ``run_length`` sessions on average.

    Interpolates the logs of the measured constants. KSWIN's statistic has few values, so its false
    alarms can be up to three times rarer than asked.

    Raises:
      InputError: for another detector, or a run length outside the measured range.
    """
    if detector not in _MEASURED:
        raise InputError(f"detector {detector!r}: expected one of {', '.join(_MEASURED)}")
    parameter, sessions = np.log(np.array(_MEASURED[detector])).T
    if not sessions[0] <= math.log(run_length) <= sessions[-1]:
        low, high = np.exp(sessions[[0, -1]])
        raise InputError(
            f"a false alarm every {run_length:,.0f} sessions (run length times series watched): "
            f"{detector} reaches {low:,.0f} to {high:,.0f}; ask for another run length, "
            f"watch fewer series or use PageHinkley"
        )
    return float(np.exp(np.interp(math.log(run_length), sessions, parameter)))


@dataclasses.dataclass(frozen=True)
class Alarm:
    """A detected change of a series.

    Attributes:
      series: its name.
      session: of the alarm.
      since: the session at which the change most likely began.
      size: of the change, in standard deviations of the reference; negative is down.
    """

    series: str
    session: str
    since: str
    size: float

    @property
    def words(self) -> str:
        """What changed, by how much, since when, and when that was seen."""
        verb = "rose" if self.size > 0 else "fell"
        return (
            f"{self.series} {verb} by {abs(self.size):.1f} reference standard deviations: "
            f"since {self.since}, seen {self.session}"
        )


@dataclasses.dataclass
class _Series:
    """A series' reference, and its standardised values since the detector started."""

    mean: float
    std: float
    phi: float
    anchor: int  # reference sessions behind the mean, at most ANCHOR
    before: float | None = None  # standardised value before those in ``kept``
    sessions: list[str] = dataclasses.field(default_factory=list)
    kept: list[float] = dataclasses.field(default_factory=list)

    def whitened(self, start: int = 0) -> list[float]:
        """Residuals of AR(1); the very first value is its own residual.

        Clipped at three: a single outlier is no new level.
        """
        past, scale = [self.before, *self.kept], math.sqrt(1 - self.phi**2)
        residuals = (
            z if last is None else (z - self.phi * last) / scale
            for last, z in zip(past[start:-1], self.kept[start:], strict=True)
        )
        return [min(max(x, -_CUT), _CUT) for x in residuals]

    def restart(self, name: str) -> Alarm:
        """Reports the change; the level since then is the new reference.

        The change point maximises the likelihood of one normal mean before and one after (Hinkley,
        1970) of the whitened values, the reference counting as ``anchor`` sessions at 0.
        """
        z, white = np.array(self.kept), np.array(self.whitened())
        after = np.arange(len(z), 0, -1)
        before = self.anchor + len(z) - after
        tail = white[::-1].cumsum()[::-1]
        gap = tail / after - (tail[0] - tail) / before
        at = int(np.argmax(gap**2 * after * before))
        level = float(z[at:].mean())
        size = level - float(z[:at].sum() / before[at])
        alarm = Alarm(name, self.sessions[-1], self.sessions[at], size)
        self.mean += level * self.std
        self.anchor = min(int(after[at]), ANCHOR)
        self.before = self.kept[-1] - level
        self.sessions, self.kept = [], []
        return alarm


@dataclasses.dataclass
class DriftDetectors:
    """Daily series, each with a detector of its own; see ``from_reference``.

    Attributes:
      detector: ``PageHinkley``, ``ADWIN`` or ``KSWIN``.
      run_length: mean sessions to the first false alarm of any series.
      series: the values of each detector since its start, from which it can be rebuilt.
    """

    detector: str
    run_length: float
    series: dict[str, _Series]

    def __post_init__(self) -> None:
        self._parameter = sensitivity(self.detector, self.run_length * len(self.series))
        self._detectors = {k: self._start(s) for k, s in self.series.items()}

    @staticmethod
    def from_reference(
        reference: dict[str, Float[np.ndarray, "_sessions"]],
        detector: str = "PageHinkley",
        run_length: float = 1000.0,
    ) -> "DriftDetectors":
        """Standardises by the reference and whitens by its lag-1 autocorrelation.

        Args:
          reference: the daily values of each series that define its level; NaN where missing.
          detector: ``PageHinkley``, ``ADWIN`` or ``KSWIN``.
          run_length: mean sessions to the first false alarm of any series; each of n independent
            detectors gets n times as many.

        Raises:
          InputError: for a series that has under 20 values or does not vary, or a run length that
            the detector cannot reach.
        """
        if not reference:
            raise InputError("no series to watch: give the reference values of at least one")
        return DriftDetectors(
            detector, run_length, {k: _reference(k, x) for k, x in reference.items()}
        )

    def update(self, values: dict[str, float], session: str) -> list[Alarm]:
        """Processes a session's values; a missing series or NaN: none was observed.

        After an alarm a series restarts at its level since the change.

        Raises:
          InputError: for a series without reference, or an infinite value.
        """
        for name, x in values.items():
            if name not in self.series or math.isinf(x):
                raise InputError(
                    f"{name!r} = {x} at {session}: expected a finite value or NaN of one of the "
                    f"{len(self.series)} series watched; give the series a reference first"
                )
        observed = [name for name, x in values.items() if not math.isnan(x)]
        return [
            a for name in observed if (a := self._update_one(name, float(values[name]), session))
        ]

    def to_json(self) -> dict[str, Any]:
        """The whole state, in JSON's types."""
        return dataclasses.asdict(self)

    @staticmethod
    def from_json(state: dict[str, Any]) -> "DriftDetectors":
        """The inverse of ``to_json``: each detector is given its stored values again."""
        series = {k: _Series(**s) for k, s in copy.deepcopy(state["series"]).items()}
        return DriftDetectors(state["detector"], state["run_length"], series)

    def _start(self, series: _Series) -> DriftDetector:
        detector = _start(self.detector, self._parameter, series.anchor)
        for x in series.whitened():
            detector.update(x)
        return detector

    def _update_one(self, name: str, x: float, session: str) -> Alarm | None:
        series, detector = self.series[name], self._detectors[name]
        series.kept.append((x - series.mean) / series.std)
        series.sessions.append(session)
        detector.update(series.whitened(len(series.kept) - 1)[0])
        if not detector.drift_detected:
            return None
        alarm = series.restart(name)
        self._detectors[name] = self._start(series)
        return alarm


def _reference(name: str, x: np.ndarray) -> _Series:
    x = x[~np.isnan(x)].astype(float)
    if len(x) < LEAST or np.isinf(x).any() or x.min() == x.max():
        raise InputError(
            f"reference of {name!r}: {len(x)} values, expected at least {LEAST} finite ones that "
            f"vary; take a longer reference or leave the series out"
        )
    z = (x - x.mean()) / x.std()
    phi = float(np.clip((z[1:] * z[:-1]).mean(), -_PERSISTENT, _PERSISTENT))
    return _Series(float(x.mean()), float(x.std()), phi, min(len(x), ANCHOR))
