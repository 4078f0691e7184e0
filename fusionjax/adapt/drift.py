"""Change detection in daily series, with one detector each.

A series is standardised and whitened by its reference (``whitening``); how sensitive its detector
is follows from what the reference does when nothing changes (``cusum.limits``).
"""

import copy
import dataclasses
import math
from typing import Any

import numpy as np
from jaxtyping import Float
from river import drift
from river.base import DriftDetector
from scipy import signal

from fusionjax import streams
from fusionjax.adapt import cusum
from fusionjax.adapt.whitening import Whitening
from fusionjax.errors import InputError

ANCHOR = 250  # most sessions at the reference level that a new detector is given
LEAST = 20  # values that a reference needs


def _start(detector: str, parameter: float, anchor: int) -> DriftDetector:
    """A detector that was given ``anchor`` standard normal values as the reference level."""
    new: DriftDetector
    match detector:
        case "PageHinkley":
            # Without forgetting (alpha=1) this is Page's two-sided CUSUM. With forgetting the sum
            # rises from its minimum although nothing changes, which raises false alarms.
            new = drift.PageHinkley(
                min_instances=1, delta=cusum.SLACK, threshold=parameter, alpha=1.0
            )
        case "ADWIN":
            new = drift.ADWIN(delta=parameter, clock=1)  # looks every session, not every 32
        case "KSWIN":
            new = drift.KSWIN(alpha=parameter, seed=0)
        case _:
            raise InputError(f"detector {detector!r}: expected one of {', '.join(_MEASURED)}")
    for x in cusum.anchors(anchor).tolist():
        new.update(x)
    return new


def measured_run_length(detector: str, parameter: float, count: int, seed: int) -> float:
    """Mean sessions to the first alarm when nothing changes: iid N(0, 1), simulated.

    Args:
      detector: ``PageHinkley``, ``ADWIN`` or ``KSWIN`` of river.
      parameter: its threshold, delta or alpha.
      count: of streams; the standard error is about 1/√count of the result.
      seed: of the streams.
    """
    rng, total = streams.generator(seed, "streams without a change"), 0
    for _ in range(count):
        running, alarm = _start(detector, parameter, ANCHOR), False
        while not alarm:
            for x in rng.standard_normal(512).tolist():
                running.update(x)
                total += 1
                if alarm := running.drift_detected:
                    break
    return total / count


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
    """The parameter for one false alarm in ``run_length`` independent values on average.

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
            f"a false alarm every {run_length:,.0f} sessions (run length times series watched, "
            f"more where they come in spells): {detector} reaches {low:,.0f} to {high:,.0f}; ask "
            f"for another run length, watch fewer series or use PageHinkley"
        )
    return float(np.exp(np.interp(math.log(run_length), sessions, parameter)))


def _parameters(
    innovations: dict[str, list[float]], anchor: dict[str, int], detector: str, run_length: float
) -> list[float]:
    """Each series' parameter, so that the first false alarm of any comes as asked.

    Page-Hinkley's limits are bootstrapped from the reference. Another detector has the parameter
    that is as rarely crossed by independent values as the series' limit is.
    """
    sensitivity(detector, run_length * len(anchor))  # refuses names and lengths before the work
    limit, told = cusum.limits(
        np.array([*innovations.values()]).T, np.array([*anchor.values()]), run_length
    )
    parameter, sessions = np.array(_MEASURED["PageHinkley"]).T
    sessions = np.log(sessions)
    slope = (sessions[-1] - sessions[0]) / (parameter[-1] - parameter[0])  # e-folds a unit
    limit = limit + math.log(run_length / told) / slope
    if detector == "PageHinkley":
        return limit.tolist()
    rare = np.exp(np.interp(limit, parameter, sessions))
    least = _MEASURED[detector][0][1]
    return [sensitivity(detector, max(x, least)) for x in rare.tolist()]


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
    """A series' reference, and its values since the detector started."""

    mean: float
    std: float
    anchor: int  # reference sessions behind the mean, at most ANCHOR
    whitening: Whitening
    parameter: float = math.nan  # of the detector
    sessions: list[str] = dataclasses.field(default_factory=list)
    kept: list[float] = dataclasses.field(default_factory=list)  # standardised
    white: list[float] = dataclasses.field(default_factory=list)  # their innovations

    @staticmethod
    def of(name: str, x: Float[np.ndarray, "_n"], series: int) -> tuple["_Series", list[float]]:
        """One of ``series`` with this reference, and the innovations of the reference."""
        known = x[~np.isnan(x)].astype(float)
        if len(known) < LEAST or np.isinf(known).any() or known.min() == known.max():
            raise InputError(
                f"reference of {name!r}: {len(known)} values, expected at least {LEAST} finite "
                f"ones that vary; take a longer reference or leave the series out"
            )
        mean, std = float(known.mean()), float(known.std())
        z = (known - mean) / std
        one = _Series(mean, std, min(len(known), ANCHOR), Whitening.of(z, series))
        innovations = np.full(len(x), np.nan)
        innovations[~np.isnan(x)] = one.whitening.after(z.tolist())
        return one, innovations.tolist()

    def add(self, x: float, session: str) -> float:
        """Keeps a value; returns its innovation."""
        self.sessions.append(session)
        self.kept.append((x - self.mean) / self.std)
        self.white += self.whitening.after(self.kept[-1:])
        return self.white[-1]

    def _change(self) -> int:
        """The likeliest first session of a new level."""
        e, count = np.array(self.white), len(self.white)
        step = self.whitening.step(count)  # the innovations of a new level, from its first session
        always = self.whitening.gain  # those of a level that was ever so
        left = np.arange(count)[::-1]  # sessions after each
        both, own = always * step.cumsum()[left], (step**2).cumsum()[left]
        seen = signal.correlate(e, step)[count - 1 :]
        ever = always**2 * (self.anchor + count)
        seen = seen - both * always * e.sum() / ever
        return int(np.argmax(seen**2 / (own - both**2 / ever)))

    def restart(self, name: str) -> Alarm:
        """Reports the change; the level since then is the new reference.

        The change point maximises the likelihood of one normal mean before and one after (Hinkley,
        1970), as the innovations show it, the reference counting as ``anchor`` sessions at 0.
        """
        z = np.array(self.kept)
        after = np.arange(len(z), 0, -1)
        before = self.anchor + len(z) - after
        at = self._change()
        level = float(z[at:].mean())
        size = level - float(z[:at].sum() / before[at])
        alarm = Alarm(name, self.sessions[-1], self.sessions[at], size)
        self.mean += level * self.std
        self.anchor = min(int(after[at]), ANCHOR)
        self.whitening.before = None
        self.whitening.after((z[at:] - level).tolist())
        self.sessions, self.kept, self.white = [], [], []
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
        self._detectors = {k: self._start(s) for k, s in self.series.items()}

    @staticmethod
    def from_reference(
        reference: dict[str, Float[np.ndarray, "_sessions"]],
        detector: str = "PageHinkley",
        run_length: float = 1000.0,
    ) -> "DriftDetectors":
        """Standardises and whitens by the reference, and bootstraps it for the sensitivity.

        Args:
          reference: the daily values of each series that define its level, of the same sessions;
            NaN where missing.
          detector: ``PageHinkley``, ``ADWIN`` or ``KSWIN``.
          run_length: mean sessions to the first false alarm of any series.

        Raises:
          InputError: for a series that has under 20 values or does not vary, series of unequal
            length, or a run length that the detector cannot reach.
        """
        if not reference:
            raise InputError("no series to watch: give the reference values of at least one")
        lengths = {k: len(x) for k, x in reference.items()}
        if len({*lengths.values()}) > 1:
            raise InputError(
                f"references of {lengths} sessions: expected the same sessions of each series; "
                f"give NaN where one was not observed"
            )
        found = {k: _Series.of(k, x, len(reference)) for k, x in reference.items()}
        series = {k: one for k, (one, _) in found.items()}
        innovations = {k: white for k, (_, white) in found.items()}
        known = {k: one.anchor for k, one in series.items()}
        parameters = _parameters(innovations, known, detector, run_length)
        for one, parameter in zip(series.values(), parameters, strict=True):
            one.parameter = parameter
        return DriftDetectors(detector, run_length, series)

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
        series = {
            k: _Series(**s | {"whitening": Whitening(**s["whitening"])})
            for k, s in copy.deepcopy(state["series"]).items()
        }
        return DriftDetectors(state["detector"], state["run_length"], series)

    def _start(self, series: _Series) -> DriftDetector:
        detector = _start(self.detector, series.parameter, series.anchor)
        for x in series.white:
            detector.update(x)
        return detector

    def _update_one(self, name: str, x: float, session: str) -> Alarm | None:
        series, detector = self.series[name], self._detectors[name]
        detector.update(series.add(x, session))
        if not detector.drift_detected:
            return None
        alarm = series.restart(name)
        self._detectors[name] = self._start(series)
        return alarm
