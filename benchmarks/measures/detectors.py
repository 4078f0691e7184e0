"""Drift detectors on streams with a known change: detection rate, delay, false alarms."""

import dataclasses
import math

import numpy as np

from fusionjax.adapt.drift import ANCHOR, DriftDetectors

_CHANGE = 300  # sessions before the change, and as many after


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
