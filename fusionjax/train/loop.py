"""The training loop: ``train`` shows one step, from batch to save, in order."""

import contextlib
import signal
from collections.abc import Callable, Iterator, Sequence
from types import FrameType

from fusionjax.data.samples import TrainingData
from fusionjax.errors import Preempted
from fusionjax.parallel import processes
from fusionjax.train import events
from fusionjax.train.goodput import FAILED, STOPPED
from fusionjax.train.hook import Hook, TrainingLoop
from fusionjax.train.hooks.checkpointing import Checkpointing
from fusionjax.train.hooks.corrections import Corrections
from fusionjax.train.hooks.guards import Guards
from fusionjax.train.hooks.metrics import Metrics
from fusionjax.train.hooks.modality_selection import ModalitySelection
from fusionjax.train.hooks.profiler import Profiler
from fusionjax.train.hooks.stragglers import Stragglers
from fusionjax.train.hooks.watchdog import Watchdog
from fusionjax.train.job import Inheritance, Output, Run
from fusionjax.train.quarantine import Exclusions
from fusionjax.train.start import begin
from fusionjax.train.state import TrainState


def train(loop: TrainingLoop, hooks: Sequence[Hook], stop: Callable[[int], bool]) -> None:
    """Makes steps until the last one, or until ``stop`` returns True.

    Args:
      loop: the initial state; changed in place.
      hooks: called in their order at each of the places below; they rely on this order.
      stop: called once after each step.
    """
    config, program, goodput = loop.run.config, loop.run.program, loop.goodput
    with _open(loop, hooks):
        # A batch depends on seed and step only: a repeated step gets the same rows.
        batches = loop.batch_source.starting(loop.step)
        while loop.step < loop.last and not loop.stopping:
            # 1. Due before this step: modality selection, the start of a trace.
            for hook in hooks:
                hook.before_step(loop)

            # 2. Batch. Built in the background; only waiting for it is counted.
            with goodput.spent("data"):
                batch = next(batches)

            # 3. Step. Dispatched before any earlier result is read, so that the device never waits
            # for the host.
            with goodput.spent("step"):
                loop.state, metrics = program.step(loop.state, batch, config.seed, loop.reference)
                for hook in hooks:
                    hook.dispatched(loop)
            loop.step += 1

            # 4. Log, and store what guards and metrics read while the next step runs.
            for hook in hooks:
                hook.after_step(loop, metrics)
            loop.stopping = stop(loop.step)

            # 5. Review. A state is checked before it is saved. If the run is stopping, a non-finite
            # step is left to the next start, which reproduces it.
            replaced = [hook.review(loop) for hook in hooks]
            if any(replaced) and (back := int(loop.state.step)) != loop.step:
                loop.step, batches = back, loop.batch_source.starting(back)
                for hook in hooks:
                    hook.rewound(loop)
                if not loop.stopping:
                    continue

            # 6. Save, in the background, while the next step runs.
            if loop.saving:
                for hook in hooks:
                    hook.save(loop)


@contextlib.contextmanager
def _open(loop: TrainingLoop, hooks: Sequence[Hook]) -> Iterator[None]:
    with contextlib.ExitStack() as closing:
        for hook in hooks:
            hook.opened(loop)
            closing.callback(hook.closed, loop)
        yield


def fit(
    run: Run,
    training_data: TrainingData,
    output: Output | None = None,
    inherited: Inheritance | None = None,
    stop: Callable[[int], bool] = lambda step: False,
    hooks: Sequence[Hook] = (),
) -> TrainState:
    """Trains to ``run.config.train.steps`` updates.

    Args:
      run: what to train.
      training_data: what to learn from.
      output: where to save; None saves nothing.
      inherited: from a parent; fresh parameters if None.
      stop: called after each step; True saves and raises.
      hooks: further ones, called after the standard ones and before checkpoints are written.

    Returns:
      The final state. If ``output`` already holds checkpoints, training continues from the newest.

    Raises:
      Preempted: ``stop`` returned True; the state was saved first.
      InputError: the run folder holds another run, or stays non-finite whatever is tried.
    """
    loop, rebound = begin(run, training_data, output, inherited)
    exclusions = Exclusions(loop.folder)
    all_hooks = [
        Watchdog(),
        ModalitySelection(rebound, exclusions),
        Corrections(exclusions),
        Profiler(),
        Metrics(),
        Guards(rebound, exclusions),  # after Metrics, whose ``loop.logged`` it uses
        Stragglers(),
        *hooks,
        *([] if output is None else [Checkpointing(output, rebound)]),
    ]
    try:
        train(loop, all_hooks, stop)
        if output is not None:
            output.checkpoints.finish()
    except BaseException:
        loop.goodput.write(loop.step, loop.last, FAILED)
        raise
    if loop.step < loop.last:
        loop.goodput.write(loop.step, loop.last, STOPPED)
        text = f"stopped at step {loop.step} of {loop.last}; the state is saved"
        events.tell("T2", text, loop.folder, step=loop.step)
        raise Preempted(f"{text}, the same command goes on from there")
    return loop.state


class StopOnSignal:
    """``stop`` for ``fit``: True once SIGTERM or SIGINT arrived (a second SIGINT ends at once).

    A signal to one of several processes stops all of them after the same step.
    """

    def __init__(self) -> None:
        self._requested, self._calls = False, 0
        if processes.count() == 1:
            signal.signal(signal.SIGTERM, self._request_stop)
        signal.signal(signal.SIGINT, self._request_stop)

    def __call__(self, step: int) -> bool:
        self._calls += 1  # over all seeds: the number that processes agree on must only grow
        return self._requested or processes.stopping(self._calls)

    def _request_stop(self, number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if processes.count() == 1:
            self._requested = True
        else:
            signal.raise_signal(signal.SIGTERM)  # JAX handles it and informs the other processes
