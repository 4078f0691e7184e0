"""A group of trainings: in how many places they run, what is told of each, how the whole ends."""

import datetime
import os
import sys
import time
from pathlib import Path

import pandas as pd

from fusionjax.parallel import processes
from fusionjax.report import frames, live
from fusionjax.runs.places import Places
from fusionjax.telemetry import CONSOLE

PREEMPTED = os.EX_TEMPFAIL  # 75: the same command goes on
_STOPPED = "stopped; the same command goes on"
_NOT_BEGUN = "not begun"


class Group:
    """Trainings, each a command of its own.

    Args:
      commands: by the name of the config.
      at_once: how many run beside each other.
      runs: the folder of the run folders; states and logs are in its ``groups``.

    Raises:
      InputError: see ``Places``.
    """

    def __init__(self, commands: dict[str, list[str]], at_once: int, runs: Path) -> None:
        self._commands, self._runs = commands, runs
        self._places = Places(at_once, runs / "groups")
        self._states = dict.fromkeys(commands, _NOT_BEGUN)
        self._begun: dict[str, float] = {}
        self._seconds: dict[str, float] = {}
        self._first = processes.described_or_one()[0] == 0

    def train(self) -> int:
        """Trains them all, in their order.

        Returns:
          The exit status: 75 if a signal stopped it, else that of the first failure, else 0.
        """
        waiting, worst, places = list(self._commands), 0, self._places
        while places.busy or (waiting and not places.stopped):
            while waiting and places.free and not places.stopped:
                self._begin(waiting.pop(0))
            for name, status in places.ended():
                status = self._end(name, status)
                if status == PREEMPTED:  # by a signal to it alone, perhaps
                    places.stop()
                    worst = PREEMPTED
                worst = worst or status
        if waiting and worst != PREEMPTED:  # the signal came between two trainings
            worst = PREEMPTED
            self._report(waiting[0], _STOPPED)
        return worst

    def show(self) -> None:
        """Prints how each ended."""
        if self._first:
            CONSOLE.print(frames.for_screen(self.table(), "group"))

    def table(self) -> pd.DataFrame:
        """A row for each: its state, the time that it took here, its log if it has one."""
        rows = [
            {
                "training": name,
                "state": state,
                "time": str(datetime.timedelta(seconds=round(self._seconds.get(name, 0.0)))),
                "log": str(self._places.log(name) or "–"),
            }
            for name, state in self._states.items()
        ]
        return pd.DataFrame(rows).set_index("training")

    def _begin(self, name: str) -> None:
        self._report(name, "begun")
        self._begun[name] = time.monotonic()
        self._places.begin(name, self._commands[name])

    def _end(self, name: str, status: int) -> int:
        """Reports an exit status; 75 for one that a signal to the group ended."""
        self._seconds[name] = time.monotonic() - self._begun[name]
        if self._places.stopped and status and (status < 0 or status >= 128):
            status = PREEMPTED
        known = {0: live.DONE, PREEMPTED: _STOPPED}
        self._report(name, known.get(status, f"failed with status {status}"))
        if status not in known:
            print(f"{name}: failed with status {status}; going on", file=sys.stderr, flush=True)
        return status

    def _report(self, name: str, state: str) -> None:
        self._states[name] = state
        if self._first:
            live.keep_group(self._runs, self._states)
            if (log := self._places.log(name)) is not None:
                print(f"{name}: {state}; {log}", flush=True)
