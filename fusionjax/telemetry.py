"""The one console through which everything on the screen is printed."""

import datetime
import sys
import time
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from fusionjax.parallel import processes

# One, so that bars and lines do not tear. A file or a pipe has no width: give it room for the
# widest table.
CONSOLE = Console(width=None if sys.stdout.isatty() else 120)

LINE_SECONDS = 60.0


def say(text: str) -> None:
    """Prints a line unformatted, in the first process only."""
    if processes.first():
        CONSOLE.print(text, highlight=False, soft_wrap=True, markup=False)


class _Lines(Progress):
    """Also prints a line a minute where bars cannot move: in a file, a pipe, a batch job."""

    _last = 0.0

    def update(self, task_id: TaskID, **changes: Any) -> None:
        super().update(task_id, **changes)
        self._tell(task_id)

    def advance(self, task_id: TaskID, advance: float = 1) -> None:
        super().advance(task_id, advance)
        self._tell(task_id)

    def add_task(self, description: str, **of_task: Any) -> TaskID:  # type: ignore[override]
        self._last = time.monotonic()
        return super().add_task(description, **of_task)

    def _tell(self, task_id: TaskID) -> None:
        if self.console.is_terminal or time.monotonic() - self._last < LINE_SECONDS:
            return
        self._last, task = time.monotonic(), self._tasks[task_id]
        left = task.time_remaining
        span = "" if left is None else f", {datetime.timedelta(seconds=int(left))} left"
        note = f"  {task.fields['note']}" if task.fields["note"] else ""
        say(f"{task.description}: {task.completed:,.0f} of {task.total or 0:,.0f}{span}{note}")


def progress_bar() -> Progress:
    """A bar with count, time spent, time left and a free text such as rate and loss; a line a
    minute where there is no terminal."""
    return _Lines(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=CONSOLE,
        disable=not processes.first(),
    )
