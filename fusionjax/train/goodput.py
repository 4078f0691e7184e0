"""Where a run's time goes, over all its restarts, and how fast its steps are."""

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from fusionjax import files

# Of the time since the first start: until the program is compiled, reading a checkpoint, waiting
# for the next batch, updates, writing checkpoints, asking the meta set what modalities are worth
# (nothing else is evaluated while training), updates that a kill took back or that were looked
# into, and from the last sign of life to the next start. What no bucket holds is init: imports,
# data, devices, the first state.
BUCKETS = ("init", "compile", "restore", "data", "step", "save", "settle", "lost", "down")
_FILE = "goodput.json"


class Goodput:
    """Seconds by bucket, carried on from what ``folder`` holds.

    Args:
      folder: of the training; None keeps nothing.
      begun: when the process did, ``time.time()``; now if not given.

    Attributes:
      clock_back: seconds that the clock is behind what it was when this was last written.
    """

    clock_back = 0.0

    def __init__(self, folder: Path | None, begun: float | None = None) -> None:
        self._path = None if folder is None else folder / _FILE
        self.seconds = dict.fromkeys(BUCKETS, 0.0)
        now = time.time()
        begun = now if begun is None else min(begun, now)
        before = _read(self._path)
        if before is not None:
            self.seconds |= before["seconds"]
            self.seconds["down"] += max(begun - before["at"], 0.0)
            self.clock_back = max(before["at"] - now, 0.0)
        self.seconds["init"] += now - begun
        self._lap: list[float] = []  # seconds of the updates since the last look

    @contextlib.contextmanager
    def spent(self, bucket: str) -> Iterator[None]:
        """Counts the block's time."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            seconds = time.perf_counter() - begun
            self.seconds[bucket] += seconds
            if bucket == "step":
                self._lap.append(seconds)

    def lose(self, seconds: float) -> None:
        """Updates that were made before and must be made again."""
        taken = min(seconds, self.seconds["step"])
        self.seconds["step"] -= taken
        self.seconds["lost"] += taken

    @property
    def share(self) -> float:
        """Of all time, what went into updates that lasted."""
        return self.seconds["step"] / max(sum(self.seconds.values()), 1e-9)

    def look(self, step: int, steps: int) -> dict[str, float]:
        """Goodput so far; percentiles of the updates' seconds since the last look; host memory.

        Also writes where the run is, for ``launch/report.py --live``.

        The host hands an update over and goes on until the device's queue is full, so a single
        update's time is when it was handed over; over a whole queue they are the device's.
        """
        lap, self._lap = self._lap or [0.0], []
        p50, p95, p99 = np.percentile(lap, (50, 95, 99))
        process = psutil.Process()
        if self._path is not None:
            row = {"seconds": self.seconds, "goodput": self.share, "at": time.time()}
            row |= {"step": step, "steps": steps}
            with files.best_effort(self._path):
                files.write_text(self._path, json.dumps(row, indent=2))
        return {
            "goodput": self.share,
            "step_seconds_p50": float(p50),
            "step_seconds_p95": float(p95),
            "step_seconds_p99": float(p99),
            "host_bytes": float(process.memory_info().rss),
            "threads": float(process.num_threads()),
            "open_files": float(process.num_fds()),
        }


def _read(path: Path | None) -> dict[str, Any] | None:
    """What was written last; a spoilt file counts as none: times are no reason not to train."""
    if path is None or not path.exists():
        return None
    try:
        row = json.loads(path.read_text())
        return row if {*row["seconds"]} <= {*BUCKETS} and row["at"] >= 0 else None
    except (ValueError, TypeError, KeyError):
        return None
