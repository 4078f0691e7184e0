"""Simulated failures: the share of a cluster's time that becomes training, by save interval."""

import dataclasses
import math

from fusionjax import streams

HOUR, YEAR = 3600.0, 365 * 24 * 3600.0


@dataclasses.dataclass(frozen=True)
class Reliability:
    """Assumptions about the machines; none was measured here.

    Attributes:
      device_hours: mean hours between interruptions, per GPU with its share of the cluster:
        Llama 3's 16,384 H100s had 419 in 54 days (Dubey et al., 2024, section 3.3.4).
      write_rate: bytes a second that a node brings to the shared disk.
      requeue: seconds until the job is scheduled and its processes have met.
      start: seconds from there to the first step, without reading the state.
      noticed: seconds that a failure stays unnoticed (the heartbeat's timeout).
    """

    device_hours: float = 16_384 * 54 * 24 / 419
    write_rate: float = 5e9
    requeue: float = 120.0
    start: float = 120.0
    noticed: float = 60.0

    def between(self, devices: int) -> float:
        """Seconds between two failures of a cluster, on average."""
        return self.device_hours * HOUR / devices

    def transfer(self, state: float, nodes: int) -> float:
        """Seconds to write or read a checkpoint of ``state`` bytes, all nodes at once."""
        return state / (self.write_rate * nodes)

    def again(self, state: float, nodes: int) -> float:
        """Seconds from a failure to the first step after it."""
        return self.noticed + self.requeue + self.start + self.transfer(state, nodes)


def best_interval(save: float, between: float) -> float:
    """The best seconds between two saves (Young, 1974): √(2 · save · between)."""
    return math.sqrt(2 * save * between)


def expected(interval: float, save: float, between: float, again: float) -> float:
    """Goodput by Young's first-order argument, useful in [0, 1].

    Each interval costs one save; a failure costs half an interval and the recovery.
    """
    share = interval / (interval + save)
    return max(0.0, share * (1 - (interval / 2 + again) / between))


def simulated(
    interval: float, save: float, between: float, again: float, *, seed: int, years: float = 1.0
) -> float:
    """Goodput of a simulated time with failures at random (exponential) moments.

    A failure may also interrupt a save, which is then lost, or the recovery, which starts over.

    Args:
      interval: seconds of training between two saves.
      save: seconds that one save stops training.
      between: seconds between two failures, on average.
      again: seconds from a failure to the first step after it.
      seed: of the failures.
      years: how long.
    """
    rng = streams.generator(seed, "failures")
    now, useful, end = 0.0, 0.0, years * YEAR
    while now < end:
        failure = now + rng.exponential(between)
        up = failure - now - (again if now > 0 else 0.0)
        # Whole rounds of training and saving before it; what came after the last save is lost.
        useful += max(0.0, up // (interval + save)) * interval
        now = failure
    return useful / now
