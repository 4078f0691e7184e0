"""The one interface of what runs beside the training step, and the state of the loop it sees."""

import dataclasses
from pathlib import Path
from typing import Any

from fusionjax.data.pipeline import BatchSource
from fusionjax.data.samples import TrainingData
from fusionjax.train.goodput import Goodput
from fusionjax.train.job import Run
from fusionjax.train.state import TrainState


@dataclasses.dataclass
class TrainingLoop:
    """Where a training is.

    Attributes:
      run: config, data and program.
      training_data: what is learned from.
      feeds: the batch of any step; a hook that excludes samples replaces it.
      state: on the devices, perhaps still being computed; ``review`` may replace it.
      goodput: where the time goes.
      folder: of the training; None keeps nothing.
      reference: a parent's parameters that the run is held to, or None.
      step: updates that were dispatched.
      stopping: someone asked for the end; this step is the last.
      logged: the metrics that were read in this step, which are an earlier one's; mostly None.
    """

    run: Run
    training_data: TrainingData
    batch_source: BatchSource
    state: TrainState
    goodput: Goodput
    folder: Path | None = None
    reference: dict[str, Any] | None = None
    stopping: bool = False
    logged: dict[str, float] | None = None

    def __post_init__(self) -> None:
        self.step = int(self.state.step)

    @property
    def last(self) -> int:
        """The step at which the run is done."""
        return self.run.config.train.steps

    @property
    def logs(self) -> bool:
        """Whether the metrics of this step are kept."""
        return self.step % self.run.config.train.log_every == 0 or self.step == self.last

    @property
    def saves(self) -> bool:
        """Whether the config asks for a checkpoint of this step."""
        return self.step % self.run.config.train.checkpoint_every == 0 or self.step == self.last

    @property
    def saving(self) -> bool:
        """Whether one is written: also where the run stops."""
        return self.saves or self.stopping


class Hook:
    """Something that runs beside the step; each method does nothing until it is overridden.

    In the order in which ``train/loop.py`` calls them. Hooks are opened, and called, in the order
    of their list, and closed in the reverse one, whatever ended the training. In an ordinary step
    none waits for the device: what a step leaves there is read while a later one runs
    (``dispatched``). On several processes all must do the same in the same step.
    """

    def opened(self, loop: TrainingLoop) -> None:
        """The training begins, or goes on, at ``loop.step``."""

    def before_step(self, loop: TrainingLoop) -> None:
        """``loop.step`` updates are made; the next one has not begun."""

    def dispatched(self, loop: TrainingLoop) -> None:
        """A step is on its way to the device: what earlier ones left there can be read."""

    def after_step(self, loop: TrainingLoop, metrics: dict[str, Any]) -> None:
        """``loop.step`` counts it. ``metrics`` are still on the device: keep, and read later."""

    def review(self, loop: TrainingLoop) -> bool:
        """The last look before a save. May replace ``loop.state``, and then says True: the loop
        goes on from the step that the new state is of."""
        return False

    def rewound(self, loop: TrainingLoop) -> None:
        """``loop.step`` is an earlier one: what was kept of later ones was not made."""

    def save(self, loop: TrainingLoop) -> None:
        """A checkpoint is due, of a state that every hook has reviewed."""

    def closed(self, loop: TrainingLoop) -> None:
        """The training is over: done, stopped or by an error."""
