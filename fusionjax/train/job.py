"""What a training is given: the run it belongs to, where it saves, what it has from a parent."""

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
    """What travels together from training to forecast.

    Attributes:
      config: ``train.*`` governs the loop, ``guard.*`` what is done about accidents.
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
        """The same run from another seed: nothing is compiled anew."""
        config = dataclasses.replace(self.config, seed=seed)
        return dataclasses.replace(self, config=config, label=label)


@dataclasses.dataclass(frozen=True)
class Output:
    """Where a training is kept.

    Attributes:
      checkpoints: of its folder.
      info: what each says beside the state.
      begun: when the process began, seconds since 1970, if that is this training's start.
    """

    checkpoints: Checkpoints
    info: RunInfo
    begun: float | None = None


@dataclasses.dataclass(frozen=True)
class Inheritance:
    """What an update takes over from its parent.

    Attributes:
      start: the state that it begins with.
      reference: parameters that it is held to; None holds it to none.
      replay: older samples to mix in, or None.
    """

    start: TrainState
    reference: dict | None
    replay: Replay | None
