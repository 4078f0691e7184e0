"""The arguments of a training: its run, where it saves, what it inherits from a parent."""

import dataclasses

from fusionjax.config import Config
from fusionjax.data.pipeline import Replay
from fusionjax.data.store import Market
from fusionjax.data.windows import Windows
from fusionjax.train.checkpoint import Checkpoints
from fusionjax.train.program import Program
from fusionjax.train.run_info import RunInfo
from fusionjax.train.state import TrainState


@dataclasses.dataclass(frozen=True)
class Run:
    """A config with its data and compiled functions, from training to forecast.

    Attributes:
      config: ``train.*`` governs the loop, ``guard.*`` the reaction to failures.
      windows: builds model inputs from rows of the market.
      program: the compiled functions for it, on their mesh.
      label: shown on the progress bar and in messages.
    """

    config: Config
    windows: Windows
    program: Program
    label: str = "train"

    @property
    def market(self) -> Market:
        """The data."""
        return self.windows.market

    def with_seed(self, seed: int, label: str) -> "Run":
        """The same run with another seed; nothing is recompiled."""
        config = dataclasses.replace(self.config, seed=seed)
        return dataclasses.replace(self, config=config, label=label)


@dataclasses.dataclass(frozen=True)
class Output:
    """Where a training is saved.

    Attributes:
      checkpoints: of its folder.
      info: the description in each of them.
      begun: start of the process, seconds since 1970, if this training is its first.
    """

    checkpoints: Checkpoints
    info: RunInfo
    begun: float | None = None


@dataclasses.dataclass(frozen=True)
class Inheritance:
    """What a fine-tuning takes over from its parent.

    Attributes:
      start: its initial state.
      reference: the parent's parameters, if they regularise it.
      replay: older samples to mix in, or None.
    """

    start: TrainState
    reference: dict | None
    replay: Replay | None
