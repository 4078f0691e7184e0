"""How a run's time is spent, over all its restarts, and how fast its steps are."""

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from fusionjax import files

# All time since the first start falls into one of these.
BUCKETS = (
    *("init", "compile", "restore"),  # init: imports, data, devices, what has no other bucket
    *("data", "step", "save"),  # data: waiting for the next batch
    "settle",  # modality selection
    "lost",  # updates that a restart repeats; the debugging of non-finite steps
    "down",  # between two starts
)
FILE = "goodput.json"
COMPILING, RUNNING, STOPPED, FAILED = "compiling", "running", "stopped", "failed"


class Goodput:
    """Seconds by bucket, continued from the file in ``folder``.

    Args:
      folder: of the training; None writes nothing.
      begun: start of the process, ``time.time()``; now if not given.

    Attributes:
      state: what the training does, for ``fusionjax report --live``.
      clock_back: seconds by which the clock has gone back since the file was written.
    """

    state = RUNNING
    clock_back = 0.0

    def __init__(self, folder: Path | None, begun: float | None = None) -> None:
        self._path = None if folder is None else folder / FILE
        self.seconds = dict.fromkeys(BUCKETS, 0.0)
        now = time.time()
        begun = now if begun is None else min(begun, now)
        stored = _read(self._path)
        if stored is not None:
            self.seconds |= stored["seconds"]
            self.seconds["down"] += max(begun - stored["at"], 0.0)
            self.clock_back = max(stored["at"] - now, 0.0)
        self.seconds["init"] += now - begun
        self._step_seconds: list[float] = []  # since the last look

    @contextlib.contextmanager
    def spent(self, bucket: str) -> Iterator[None]:
        """Adds the block's time to a bucket."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            seconds = time.perf_counter() - begun
            self.seconds[bucket] += seconds
            if bucket == "step":
                self._step_seconds.append(seconds)

    def lose(self, seconds: float) -> None:
        """Moves seconds from ``step`` to ``lost``: of updates that have to be repeated."""
        moved = min(seconds, self.seconds["step"])
        self.seconds["step"] -= moved
        self.seconds["lost"] += moved

    @property
    def share(self) -> float:
        """Goodput: the share of all time that went into updates that lasted."""
        return self.seconds["step"] / max(sum(self.seconds.values()), 1e-9)

    def look(self, step: int, steps: int) -> dict[str, float]:
        """Goodput so far; percentiles of the updates' seconds since the last look; host memory.

        Also writes the file.

        Updates are dispatched without waiting for the device, until its queue is full. So a single
        update's seconds are those of its dispatch; only their mean is the device's pace.
        """
        seconds, self._step_seconds = self._step_seconds or [0.0], []
        p50, p95, p99 = np.percentile(seconds, (50, 95, 99))
        process = psutil.Process()
        self.write(step, steps)
        return {
            "goodput": self.share,
            "step_seconds_p50": float(p50),
            "step_seconds_p95": float(p95),
            "step_seconds_p99": float(p99),
            "host_bytes": float(process.memory_info().rss),
            "threads": float(process.num_threads()),
            "open_files": float(process.num_fds()),
        }

    def write(self, step: int, steps: int, state: str | None = None) -> None:
        """Writes the file; ``state`` is what the training does from now on."""
        self.state = state or self.state
        if self._path is None:
            return
        row = {"seconds": self.seconds, "goodput": self.share, "at": time.time()}
        row |= {"step": step, "steps": steps, "state": self.state}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with files.best_effort(self._path):
            files.write_text(self._path, json.dumps(row, indent=2))


def _read(path: Path | None) -> dict[str, Any] | None:
    """The file's content; None if it is damaged, which must not stop a training."""
    if path is None or not path.exists():
        return None
    try:
        row = json.loads(path.read_text())
        return row if {*row["seconds"]} <= {*BUCKETS} and row["at"] >= 0 else None
    except (ValueError, TypeError, KeyError):
        return None
