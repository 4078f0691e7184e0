"""Writes checkpoints."""

from fusionjax.train import events
from fusionjax.train.hook import Hook, TrainingLoop
from fusionjax.train.job import Output
from fusionjax.train.rebound import Rebound


class Checkpointing(Hook):
    """Saves the state and the history of the run's losses."""

    def __init__(self, output: Output, rebound: Rebound) -> None:
        self._output, self._rebound = output, rebound

    def save(self, loop: TrainingLoop) -> None:
        """Writes one in the background; reports if the previous one could not be written."""
        checkpoints, info, step = self._output.checkpoints, self._output.info, loop.step
        if loop.saves:  # an extra one, due to a signal, must not change later steps
            self._rebound.saves(step)
        with loop.goodput.spent("save"):
            failed = checkpoints.save(step, loop.state, info, *self._rebound.to_checkpoint())
        if failed is not None:  # the next one tries again
            text = f"the checkpoint before step {step} could not be written: {failed}"
            events.tell("C1", f"{text}; training goes on", loop.folder, step=step)
