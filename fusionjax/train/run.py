"""A run from config to checkpoint: combines data, windows, program and loop."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import jax
import numpy as np
from jax.sharding import Mesh

from fusionjax.config import Config, DataConfig
from fusionjax.data import audit, prepare, samples, store
from fusionjax.data.audit import Audit
from fusionjax.data.pipeline import evaluation_batches
from fusionjax.data.samples import TrainingData
from fusionjax.data.store import Market
from fusionjax.data.windows import Scaler, Windows
from fusionjax.distill import weights
from fusionjax.errors import InputError
from fusionjax.experts import stacked
from fusionjax.parallel import preflight, processes
from fusionjax.parallel.mesh import axes
from fusionjax.telemetry import progress_bar, say
from fusionjax.train.checkpoint import Checkpoints
from fusionjax.train.hook import Hook
from fusionjax.train.job import Output, Run
from fusionjax.train.loop import fit
from fusionjax.train.program import Program
from fusionjax.train.run_info import RunInfo
from fusionjax.train.state import TrainState


def open_market(data: DataConfig) -> Market:
    """The prepared data of a config; prepares it first if needed."""
    with processes.first_alone(), progress_bar() as progress:
        folder = prepare.prepare(data, progress)
    return store.load(folder)


def audited_market(config: Config) -> tuple[Market, Audit]:
    """The prepared data and its audit.

    Raises:
      InputError: it is not fit to train on.
    """
    market = open_market(config.data)
    audited = audit.audit(market, config)
    audited.require_fit()
    say(f"data audit: {audited.verdict}; fusionjax prepare --audit shows it")
    return market, audited


def make_program(
    config: Config,
    mesh: Mesh,
    windows: Windows,
    meta_sessions: int = 0,
    *,
    parented: bool = False,
) -> Program:
    """The compiled functions for the shapes of ``windows``."""
    example = next(evaluation_batches(np.zeros(1, int), windows, 1))
    return Program(config, mesh, example, meta_sessions, parented=parented)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trainer(Run):
    """A run with its training data, ready to train any seed.

    Attributes:
      training_data: what is learned from.
      info: the description in its checkpoints.
      audit: of the data.
    """

    training_data: TrainingData
    info: RunInfo
    audit: Audit

    @staticmethod
    def from_config(config: Config, mesh: Mesh) -> "Trainer":
        """Loads and audits the data and trains on all its samples; see ``on``.

        Raises:
          InputError: anything wrong with data, config or mesh; or a coreset is wanted.
        """
        fraction = config.train.coreset_fraction
        if fraction < 1:
            raise InputError(
                f"config.train.coreset_fraction is {fraction}: this command trains on all samples; "
                "set it to 1"
            )
        return Trainer.on(*audited_market(config), config, mesh)

    @staticmethod
    def on(
        market: Market, audited: Audit, config: Config, mesh: Mesh, rows: np.ndarray | None = None
    ) -> "Trainer":
        """Fits the scaler on the training split and builds the program.

        Args:
          market: the data.
          audited: what the audit found in it.
          config: of the run.
          mesh: to train on.
          rows: of the market, to train on; None for all of the split.

        Raises:
          InputError: anything wrong with config or mesh, or no sample is left.
        """
        if config.evaluate.market_channel:  # before a training, not when it is scored
            market.columns((config.evaluate.market_channel,), "evaluate.market_channel")
        first, last = config.data.splits[config.train.split]
        days = samples.period(config.data, config.train.split)
        training_data = samples.training_data(market, config, *days, weights.meta_fraction(config))
        if rows is not None:
            training_data = training_data.only(rows)
        scaler = Scaler.fit(market, days[1])
        windows = stacked.started(Windows(market, config, scaler), training_data, days[1])
        program = make_program(config, mesh, windows, training_data.meta_sessions)
        info = RunInfo(config, market.fingerprint, scaler, first, last, parent=None)
        return Trainer(
            config, windows, program, training_data=training_data, info=info, audit=audited
        )

    def describe(self) -> None:
        """Prints samples, parameters and mesh before the first step."""
        from clu import parameter_overview

        mesh = self.program.mesh
        days, meta = self.training_data.all.target_day, self.training_data.meta
        count = int(parameter_overview.count_parameters(self.program.abstract_state.params))
        say(
            f"{self.config.name}: {len(self.training_data.all):,} samples of "
            f"{len(self.market.symbols)} symbol(s), targets {days.min()} to {days.max()}; "
            f"{count:,} parameters; mesh {axes(mesh)}"
        )
        if meta is not None:
            say(
                f"fusion weights learn from the meta set: {len(meta):,} samples from "
                f"{meta.target_day.min()} on"
            )

    def preflight(self, folder: Path) -> None:
        """Checks processes, disk, clocks and network before the first step; writes the audit.

        Raises:
          InputError: a check failed.
        """
        state = self.program.abstract_state
        size = sum(math.prod(x.shape) * x.dtype.itemsize for x in jax.tree.leaves(state))
        keep = self.config.train.keep_checkpoints
        config = self.config.to_json()
        with processes.Watchdog(self.config.train.hang_seconds):  # the first collectives are here
            for line in preflight.check(self.program.mesh, config, folder, size, keep):
                say(f"preflight: {line}")
        if processes.first():
            self.audit.save(folder)

    def train(
        self,
        seed: int,
        folder: Path,
        stop: Callable[[int], bool] = lambda step: False,
        begun: float | None = None,
        hooks: Sequence[Hook] = (),
    ) -> TrainState:
        """Trains one seed into ``folder``, or resumes the training that it holds.

        Args:
          seed: of the run.
          folder: of this training.
          stop: see ``fit``.
          begun: start of the process, seconds since 1970, if this training is its first.
          hooks: see ``fit``.
        """
        run = self.with_seed(seed, f"seed {seed}")
        info = dataclasses.replace(self.info, config=run.config)
        with Checkpoints(folder, self.config.train.keep_checkpoints, create=True) as checkpoints:
            run = dataclasses.replace(run, windows=stacked.kept(run.windows, folder))
            return fit(run, self.training_data, Output(checkpoints, info, begun), None, stop, hooks)
