"""Ends a process that hangs."""

from typing import Any

from fusionjax.parallel import processes
from fusionjax.train.hook import Hook, TrainingLoop


class Watchdog(Hook):
    """Ends the process, with all its stacks, where no step is made in ``train.hang_seconds``."""

    def opened(self, loop: TrainingLoop) -> None:
        """Begins to count."""
        self._watchdog = processes.Watchdog(loop.run.config.train.hang_seconds)
        self._watchdog.__enter__()

    def after_step(self, loop: TrainingLoop, metrics: dict[str, Any]) -> None:
        """Counts anew."""
        self._watchdog.alive()

    def closed(self, loop: TrainingLoop) -> None:
        """Counts no longer."""
        self._watchdog.__exit__()
