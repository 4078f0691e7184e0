"""Drift detectors on streams with and without a change: detection rate, delay, false alarms."""

import dataclasses
import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from scipy import signal

from fusionjax.adapt.drift import ANCHOR, DriftDetectors

_CHANGE = 300  # sessions before the change, and as many after
_REFERENCE, _LATER, _SOON = 500, 1000, 150  # sessions: before, watched, and of a change


@dataclasses.dataclass(frozen=True)
class Trial:
    """Results of a detector on synthetic streams of one kind.

    Attributes:
      kind: of change.
      detected: share of streams that alarmed after the change; with two series, in which the one
        that moved did and the other did not; without a change, a share of false alarms.
      delay: median sessions from the change to the first alarm of the streams detected.
      false_alarms: per 1,000 sessions before the change. More than the run length says: two in
        three are followed by a second that takes the level back.
    """

    kind: str
    detected: float
    delay: float
    false_alarms: float


def trials(detector: str, run_length: float, streams: int, seed: int) -> list[Trial]:
    """Measures detection and delay on streams with a known change.

    A reference of 250 sessions, 300 more like it, then 300 changed ones: by +1 σ at once, by a ramp
    of 100 sessions, by +1 σ and 0 in turns of 75, or not; or at once in one of two series.

    Args:
      detector: ``PageHinkley``, ``ADWIN`` or ``KSWIN``.
      run_length: target sessions between false alarms.
      streams: simulated of each kind.
      seed: of the streams.
    """
    rng, t = np.random.default_rng(seed), np.arange(_CHANGE)
    still, step = np.zeros(_CHANGE), np.ones(_CHANGE)
    kinds = {
        "abrupt": {"feature": step},
        "gradual": {"feature": np.minimum((t + 1) / 100, 1)},
        "recurring": {"feature": 1.0 - t // 75 % 2},
        "none": {"feature": still},
        "feature-only": {"feature": step, "label": still},
        "label-only": {"feature": still, "label": step},
    }
    return [_trial(k, moves, detector, run_length, streams, rng) for k, moves in kinds.items()]


def _trial(
    kind: str,
    moves: dict[str, np.ndarray],
    detector: str,
    run_length: float,
    streams: int,
    rng: np.random.Generator,
) -> Trial:
    changed = {k for k, move in moves.items() if move.any()} or set(moves)
    early, delays = 0, []
    for _ in range(streams):
        detectors = DriftDetectors.from_reference(
            {k: rng.standard_normal(ANCHOR) for k in moves}, detector, run_length
        )
        level = np.stack([np.append(np.zeros(_CHANGE), move) for move in moves.values()], 1)
        days = (rng.standard_normal(level.shape) + level).tolist()
        alarms = [
            (t, alarm.series)
            for t, day in enumerate(days)
            for alarm in detectors.update(dict(zip(moves, day, strict=True)), str(t))
        ]
        late = [(t, name) for t, name in alarms if t >= _CHANGE]
        early += len(alarms) - len(late)
        if {name for _, name in late} == changed:
            delays.append(late[0][0] - _CHANGE)
    delay = float(np.median(delays)) if delays else math.nan
    return Trial(kind, len(delays) / streams, delay, 1000 * early / (streams * _CHANGE))


World = Callable[[int, np.random.Generator], Float[np.ndarray, "days n"]]


def garch(days: int, count: int, rng: np.random.Generator) -> Float[np.ndarray, "days n"]:
    """Returns of stationary GARCH(1, 1), α .08, β .9, with Student's t of 5 degrees of freedom."""
    shocks = rng.standard_t(5, (days + 500, count)) * math.sqrt(3 / 5)
    r, variance, result = np.zeros(count), np.ones(count), []
    for shock in shocks:
        variance = 0.02 + 0.08 * r**2 + 0.9 * variance
        r = np.sqrt(variance) * shock
        result.append(r)
    return np.array(result[500:])


def autoregressive(
    days: int, count: int, phi: float, rng: np.random.Generator
) -> Float[np.ndarray, "days n"]:
    """AR(1) of standard deviation 1."""
    x = signal.lfilter([1], [1, -phi], rng.normal(size=(days + 300, count)), axis=0)[300:]
    return x * math.sqrt(1 - phi**2)


def _log_sizes(r: np.ndarray) -> np.ndarray:
    return np.log(np.abs(r) + 1e-4)


def _panel(days: int, rng: np.random.Generator) -> Float[np.ndarray, "days n"]:
    """Eight stocks with a common factor, their log sizes, and four persistent series."""
    r = 0.7 * garch(days, 1, rng) + 0.7 * garch(days, 8, rng)
    level = autoregressive(days, 1, 0.9, rng) + autoregressive(days, 4, 0.9, rng)
    return np.hstack([r, _log_sizes(r), level])


def _volatilities(days: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """Half a log-normal level of autocorrelation .97 and half noise."""
    level = autoregressive(days, count, 0.97, rng) + rng.normal(size=(days, count))
    return np.exp(0.28 * level)


STATIONARY: dict[str, World] = {
    "independent": lambda days, rng: rng.normal(size=(days, 1)),
    "log size of GARCH-t returns": lambda days, rng: _log_sizes(garch(days, 1, rng)),
    "GARCH-t returns": lambda days, rng: garch(days, 1, rng),
    "AR(1), .9": lambda days, rng: autoregressive(days, 1, 0.9, rng),
    "a volatility of .97": lambda days, rng: _volatilities(days, 1, rng),
    "20 series of one market": _panel,
    "10 independent volatilities": lambda days, rng: _volatilities(days, 10, rng),
}


@dataclasses.dataclass(frozen=True)
class Stationary:
    """A watch of series in which nothing changes, and the same with a change.

    Attributes:
      early: share of worlds with an alarm in 1,000 sessions; 1 - 1/e if it is one in 1,000.
      run_length: mean sessions to the first alarm if it comes as by chance, from ``early``.
      found: share of worlds in which all series rise by +1 σ that alarm within 150 sessions.
      delay: median sessions until then, of all worlds; 150 or more if infinite.
      one_found: as ``found``, but one series moves, each in turn.
    """

    early: float
    run_length: float
    found: float
    delay: float
    one_found: float


def stationary(world: World, detector: str, worlds: int, seed: int) -> Stationary:
    """Watches worlds of 500 sessions of reference and 1,000 like it, one alarm in 1,000 asked."""
    rng, early, delays, one_found = np.random.default_rng(seed), 0, [], 0
    for world_number in range(worlds):
        x = world(_REFERENCE + _LATER, rng)
        names = [str(i) for i in range(x.shape[1])]
        reference = dict(zip(names, x[:_REFERENCE].T, strict=True))
        began = DriftDetectors.from_reference(reference, detector, float(_LATER)).to_json()
        later = x[_REFERENCE:]
        early += _first(DriftDetectors.from_json(began), later) < math.inf
        moved = later[:_SOON] + x[:_REFERENCE].std(0)
        delays.append(_first(DriftDetectors.from_json(began), moved))
        one = world_number % x.shape[1]
        alone = later[:_SOON].copy()
        alone[:, one] = moved[:, one]
        one_found += _first(DriftDetectors.from_json(began), alone) < math.inf
    share = early / worlds
    length = math.inf if early == 0 else 0.0 if early == worlds else -_LATER / math.log(1 - share)
    found = float(np.mean(np.isfinite(delays)))
    return Stationary(share, length, found, float(np.median(delays)), one_found / worlds)


def _first(watch: DriftDetectors, days: np.ndarray) -> float:
    """The session of the first alarm; infinite without one."""
    for t, row in enumerate(days.tolist()):
        if watch.update(dict(zip(watch.series, row, strict=True)), str(t)):
            return float(t)
    return math.inf
