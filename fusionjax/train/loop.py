"""The training loop: dispatch, log, save, stop when asked, go on where it stopped."""

import signal
from collections.abc import Callable, Iterator
from types import FrameType

from fusionjax.config import Config
from fusionjax.train.checkpoint import Checkpoints, RunInfo, require_same_run
from fusionjax.train.program import Program
from fusionjax.train.state import TrainState
from fusionjax.train.telemetry import Reporter, say
from fusionjax.types import Batch


class Preempted(Exception):
    """Asked to stop by a signal; the state is saved and the same command goes on from there."""


def fit(
    config: Config,
    program: Program,
    batches: Callable[[int], Iterator[Batch]],
    seed: int,
    *,
    start: TrainState | None = None,
    label: str = "train",
    run: tuple[Checkpoints, RunInfo] | None = None,
    stop: Callable[[int], bool] = lambda step: False,
) -> TrainState:
    """Trains to ``config.train.steps`` updates.

    Args:
      config: what to train; ``train.*`` governs the loop.
      program: the compiled step for it.
      batches: gives the iterator of batches from a step on.
      seed: of parameters and dropout.
      start: initial state, e.g. a parent's; fresh parameters if None.
      label: shown on the progress bar.
      run: where to save and what to save beside the state; None keeps nothing.
      stop: asked after each step; True saves and raises.

    Returns:
      The final state. If ``run`` already holds checkpoints, training continues from the newest.

    Raises:
      Preempted: ``stop`` said so; the state was saved first.
      InputError: the run folder holds another run.
    """
    program.compile_step()
    t = config.train
    if run is not None and run[0].latest() is not None:
        checkpoints, info = run
        state = checkpoints.restore(program.abstract_state)
        require_same_run(checkpoints.info(), info, checkpoints.folder)
        say(f"{checkpoints.folder}: going on from step {int(state.step)}")
    else:
        state = start if start is not None else program.init(seed)
    first = int(state.step)
    source = batches(first)
    with Reporter(label, t.steps, first, None if run is None else run[0].folder) as reporter:
        for step in range(first, t.steps):
            state, metrics = program.step(state, next(source), seed)
            done = step + 1
            # This step is dispatched before the metrics of an earlier one are read, so the device
            # never waits for the host.
            reporter.flush()
            if done % t.log_every == 0 or done == t.steps:
                reporter.hold(done, metrics)
            stopping = stop(done)
            if run is not None and (stopping or done % t.checkpoint_every == 0 or done == t.steps):
                run[0].save(done, state, run[1])
            if stopping:
                break
    if int(state.step) < t.steps:
        raise Preempted(
            f"stopped at step {int(state.step)} of {t.steps}; the state is saved, the "
            "same command goes on from there"
        )
    return state


class StopOnSignal:
    """``stop`` for ``fit``: true once SIGTERM or SIGINT arrived (a second SIGINT ends at once)."""

    def __init__(self) -> None:
        self._asked = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)

    def __call__(self, step: int) -> bool:
        return self._asked

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self._asked = True
        signal.signal(signal.SIGINT, signal.default_int_handler)
