"""The interface of hooks, which run beside the training step, and the loop state they see."""

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
    """A training in progress.

    Attributes:
      run: config, data and program.
      training_data: what is learned from.
      batch_source: the inputs of any step; a hook that excludes samples replaces it.
      state: on the devices, perhaps still being computed; ``review`` may replace it.
      goodput: how the time is spent.
      folder: of the training; None writes nothing.
      reference: a parent's parameters that regularise the run, or None.
      step: updates that were dispatched.
      stopping: a stop was requested; this step is the last.
      logged: an earlier step's metrics, in the step in which they are read; otherwise None.
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
        return self.run.config.train.last_step

    @property
    def logs(self) -> bool:
        """Whether the metrics of this step are logged."""
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

    The methods stand in the order in which ``train/loop.py`` calls them. Hooks are opened and
    called in the order of their list and closed in reverse, whatever ended the training. In an
    ordinary step none waits for the device: a step's results are read while a later one runs
    (``dispatched``). All processes must do the same in the same step.
    """

    def opened(self, loop: TrainingLoop) -> None:
        """The training begins, or resumes, at ``loop.step``."""

    def before_step(self, loop: TrainingLoop) -> None:
        """``loop.step`` updates are done; the next one has not begun."""

    def dispatched(self, loop: TrainingLoop) -> None:
        """A step was dispatched: read results of earlier ones now, while it runs."""

    def after_step(self, loop: TrainingLoop, metrics: dict[str, Any]) -> None:
        """``loop.step`` includes it. ``metrics`` are still on the device: store, and read later."""

    def review(self, loop: TrainingLoop) -> bool:
        """The last check before a save. May replace ``loop.state`` and then returns True: the loop
        continues from the new state's step."""
        return False

    def rewound(self, loop: TrainingLoop) -> None:
        """``loop.step`` went back: drop what was stored of later steps."""

    def save(self, loop: TrainingLoop) -> None:
        """A checkpoint is due, of a state that every hook has reviewed."""

    def closed(self, loop: TrainingLoop) -> None:
        """The training has ended: done, stopped or failed."""
