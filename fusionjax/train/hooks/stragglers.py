"""Reports processes that slow the others."""

from typing import Any

from fusionjax.parallel import processes
from fusionjax.train import events
from fusionjax.train.hook import Hook, TrainingLoop


class Stragglers(Hook):
    """Compares, at each logged row, how long each process waits for its data."""

    def opened(self, loop: TrainingLoop) -> None:
        """Begins the comparison."""
        self._pace = processes.Pace(loop.step, loop.goodput.seconds["data"])

    def after_step(self, loop: TrainingLoop, metrics: dict[str, Any]) -> None:
        """Reports a process that is slow."""
        if loop.logged is None or loop.logged["halted"]:
            return
        waited, rate = loop.goodput.seconds["data"], loop.logged["steps_per_second"]
        for line in self._pace.compared(loop.step, rate, waited):
            text = f"{loop.run.label}: {line}"
            events.tell("T5", text, loop.folder, step=loop.step)
