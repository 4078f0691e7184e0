"""Starts a training: fresh, from a parent's state, or from its newest checkpoint."""

from pathlib import Path

import jax

from fusionjax.config import Config
from fusionjax.data.pipeline import BatchPlan, BatchSource, Replay
from fusionjax.data.samples import TrainingData
from fusionjax.data.windows import Windows
from fusionjax.distill import weights
from fusionjax.parallel import processes
from fusionjax.train import events
from fusionjax.train.checkpoint import Checkpoints
from fusionjax.train.goodput import COMPILING, RUNNING, Goodput
from fusionjax.train.hook import TrainingLoop
from fusionjax.train.job import Inheritance, Output, Run
from fusionjax.train.optim import extension_starts
from fusionjax.train.program import Program, meta_batch_size
from fusionjax.train.rebound import Rebound
from fusionjax.train.run_info import require_same_run
from fusionjax.train.state import TrainState, with_pretrained


def begin(
    run: Run, training_data: TrainingData, output: Output | None, inherited: Inheritance | None
) -> tuple[TrainingLoop, Rebound]:
    """Compiles the step; creates or restores the state and the history of losses.

    Raises:
      InputError: the output holds another run, or the processes do not run the same program.
    """
    config, program = run.config, run.program
    checkpoints = None if output is None else output.checkpoints
    if output is not None and output.checkpoints.latest() is not None:
        # Before minutes are spent on compiling.
        stored = output.checkpoints.info()
        require_same_run(stored, output.info, output.checkpoints.folder)
        _tell_extension(stored.config, run, output.checkpoints.folder)
    processes.require_same("program", program.digest if processes.count() > 1 else "")
    program.compile_step()
    folder = None if checkpoints is None else checkpoints.folder
    goodput = Goodput(
        folder if processes.first() else None, None if output is None else output.begun
    )
    loss_changes = [] if training_data.meta is None else weights.loss_changes(config)
    loss_changes += extension_starts(config.train)  # a higher learning rate: the loss may rise
    rebound = Rebound(config.guard, program.abstract_state, loss_changes, checkpoints)
    with processes.Watchdog(config.train.hang_seconds):
        if checkpoints is None or checkpoints.latest() is None:
            with goodput.spent("init"):
                state = _fresh(run) if inherited is None else inherited.start
        else:
            state = _restored(checkpoints, program, rebound, goodput)
    step, steps = int(state.step), config.train.last_step
    goodput.write(step, steps, COMPILING)
    with goodput.spent("compile"):
        program.compiled_step()
    goodput.write(step, steps, RUNNING)
    source = batch_source(
        config, training_data, run.windows, None if inherited is None else inherited.replay
    )
    reference = None if inherited is None else inherited.reference
    return TrainingLoop(run, training_data, source, state, goodput, folder, reference), rebound


def _tell_extension(stored: Config, run: Run, folder: Path) -> None:
    """Reports where a run is longer than the one that its checkpoint is of."""
    asked = run.config.train
    if asked.extensions != stored.train.extensions:
        first, last = stored.train.last_step, asked.last_step
        text = f"{run.label}: extended by {last - first} steps, from {first} to {last}"
        events.tell("T8", text, folder, step=first)


def _restored(
    checkpoints: Checkpoints, program: Program, rebound: Rebound, goodput: Goodput
) -> TrainState:
    """The newest checkpoint's state; also restores ``rebound`` from it."""
    with goodput.spent("restore"):
        state = checkpoints.restore(program.abstract_state)
        step, history = int(state.step), checkpoints.history()
        if history is not None:
            rebound.resume(history, checkpoints.copies(step, program.abstract_state))
    text = f"{checkpoints.folder}: going on from step {step}"
    events.tell("T1", text, checkpoints.folder, step=step)
    if goodput.clock_back > 1:
        text = f"the clock is {goodput.clock_back:,.0f} s behind what it was; times in logs jump"
        events.tell("T6", text, checkpoints.folder, step=step)
    return state


def _fresh(run: Run) -> TrainState:
    """The initial state of a run: random, except for pretrained encoders."""
    state = run.program.init(run.config.seed)
    for name, modality in run.config.modalities.items():
        if pretrained := modality.pretrained():
            state = with_pretrained(state, name, pretrained)
    return state


def batch_source(
    config: Config, training_data: TrainingData, windows: Windows, replay: Replay | None = None
) -> BatchSource:
    """The inputs of each step: a function of the config's seed and the step."""
    plan = BatchPlan(
        config.train.global_batch_size,
        meta_batch_size(config.train),
        weights.refit_start(config),
        config.seed,
        is_update_step=lambda step: bool(weights.is_update_step(config, step)),
    )
    return BatchSource(
        training_data, windows, plan, replay, (jax.process_index(), jax.process_count())
    )
