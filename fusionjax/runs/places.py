"""Runs commands in so many places at once on one machine, and stops all of them together."""

import os
import re
import signal
import subprocess
import time
from pathlib import Path
from types import FrameType

from fusionjax.errors import InputError

_PAUSE = 0.1  # seconds between two looks at the running commands
_GPUS = "CUDA_VISIBLE_DEVICES"


class Places:
    """Commands that run beside each other, to which SIGTERM and SIGINT are passed on.

    With more than one place each command's output goes into a log of its own, and the machine's
    GPUs, if it has any, are shared out evenly.

    Args:
      count: how many run at once.
      logs: folder of the logs.

    Attributes:
      stopped: a stop was requested; nothing more should begin.

    Raises:
      InputError: fewer than one place, or fewer GPUs than places.
    """

    def __init__(self, count: int, logs: Path) -> None:
        if count < 1:
            raise InputError(f"--at_once={count}: expected a number of trainings, at least 1")
        self._logs, self._free = logs if count > 1 else None, list(range(count))
        self._gpus = _shares(_gpus(), count) if count > 1 else None
        self._running: dict[str, tuple[int, subprocess.Popen]] = {}
        self.stopped = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._signalled)

    @property
    def busy(self) -> bool:
        """Whether any command runs."""
        return bool(self._running)

    @property
    def free(self) -> bool:
        """Whether there is a place for another one."""
        return bool(self._free)

    def log(self, name: str) -> Path | None:
        """Where a command's output goes; None: to the terminal."""
        if self._logs is None:
            return None
        plain = re.sub(r"[^\w.-]+", "_", name).strip("_")
        return self._logs / f"{plain}.log"

    def begin(self, name: str, command: list[str]) -> None:
        """Starts a command in a free place."""
        place, log = self._free.pop(0), self.log(name)
        environment = dict(os.environ)
        if self._gpus is not None:
            environment[_GPUS] = ",".join(self._gpus[place])
        if log is None:
            process = subprocess.Popen(command)
        else:
            log.parent.mkdir(parents=True, exist_ok=True)
            environment["PYTHONUNBUFFERED"] = "1"  # a log is read while it grows
            with log.open("ab") as out:
                process = subprocess.Popen(command, stdout=out, stderr=out, env=environment)
        self._running[name] = place, process
        if self.stopped:  # the signal came while it was started
            process.terminate()

    def ended(self) -> list[tuple[str, int]]:
        """Names and exit statuses of the commands that have ended; waits a moment if none has."""
        done = []
        for name, (place, process) in list(self._running.items()):
            if (status := process.poll()) is not None:
                del self._running[name]
                self._free.append(place)
                done.append((name, status))
        if not done:
            time.sleep(_PAUSE)
        return done

    def stop(self) -> None:
        """Asks all that runs to save and end."""
        self.stopped = True
        for _, process in list(self._running.values()):
            process.terminate()  # after Ctrl-C too, although they also got SIGINT

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        self.stop()


def _gpus() -> list[str]:
    """The GPUs that a process started now would see."""
    if _GPUS in os.environ:
        return [name for name in os.environ[_GPUS].split(",") if name.strip()]
    numbers = (p.name.removeprefix("nvidia") for p in Path("/dev").glob("nvidia[0-9]*"))
    return sorted(numbers, key=int)


def _shares(gpus: list[str], count: int) -> list[list[str]] | None:
    """As many GPUs for each place; None where there is none at all."""
    if not gpus:
        return None
    if len(gpus) < count:
        raise InputError(
            f"--at_once={count}: {len(gpus)} GPU(s) here, and a GPU has one training; expected at "
            f"most {len(gpus)}"
        )
    each = len(gpus) // count
    return [gpus[i * each : (i + 1) * each] for i in range(count)]
