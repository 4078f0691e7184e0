"""Ends a process that hangs."""

from typing import Any

from fusionjax.parallel import processes
from fusionjax.train.hook import Hook, TrainingLoop


class Watchdog(Hook):
    """Prints all stacks and ends the process after ``train.hang_seconds`` without a step."""

    def opened(self, loop: TrainingLoop) -> None:
        """Starts the countdown."""
        self._watchdog = processes.Watchdog(loop.run.config.train.hang_seconds)
        self._watchdog.__enter__()

    def after_step(self, loop: TrainingLoop, metrics: dict[str, Any]) -> None:
        """Restarts the countdown."""
        self._watchdog.alive()

    def closed(self, loop: TrainingLoop) -> None:
        """Stops the countdown."""
        self._watchdog.__exit__()
