"""The training loop: dispatch, log, save, stop when asked, go on where it stopped."""

import signal
from collections.abc import Callable
from types import FrameType

import jax

from fusionjax.config import Config
from fusionjax.data.pipeline import Feeds
from fusionjax.data.samples import Lesson, Samples
from fusionjax.data.windows import Windows
from fusionjax.distill import weights
from fusionjax.errors import Preempted
from fusionjax.parallel import processes
from fusionjax.train import events
from fusionjax.train.checkpoint import Checkpoints
from fusionjax.train.course import Course
from fusionjax.train.goodput import Goodput
from fusionjax.train.program import Program, anchor_size
from fusionjax.train.rebound import Rebound
from fusionjax.train.recovery import Recovery
from fusionjax.train.run_info import RunInfo, require_same_run
from fusionjax.train.settle import settle
from fusionjax.train.state import TrainState, with_pretrained


def fit(
    config: Config,
    program: Program,
    lesson: Lesson,
    windows: Windows,
    *,
    start: TrainState | None = None,
    label: str = "train",
    run: tuple[Checkpoints, RunInfo] | None = None,
    replay: Samples | None = None,
    replay_share: float = 0.0,
    parent: dict | None = None,
    stop: Callable[[int], bool] = lambda step: False,
    begun: float | None = None,
) -> TrainState:
    """Trains to ``config.train.steps`` updates.

    Args:
      config: what to train; ``train.*`` governs the loop, ``guard.*`` what is done about accidents.
      program: the compiled step for it.
      lesson: what to learn from.
      windows: builds its inputs.
      start: initial state, e.g. a parent's; fresh parameters if None.
      label: shown on the progress bar.
      run: where to save and what to save beside the state; None keeps nothing.
      replay: older samples to mix in, or None.
      replay_share: share of each batch that comes from ``replay``.
      parent: parameters that the run is held to; None holds it to none.
      stop: asked after each step; True saves and raises.
      begun: when the process began, seconds since 1970, if that is this training's start.

    Returns:
      The final state. If ``run`` already holds checkpoints, training continues from the newest.

    Raises:
      Preempted: ``stop`` said so; the state was saved first.
      InputError: the run folder holds another run, or stays non-finite whatever is tried.
    """
    if run is not None and run[0].latest() is not None:  # before minutes are spent on compiling
        require_same_run(run[0].info(), run[1], run[0].folder)
    processes.require_same("program", program.digest if processes.count() > 1 else "")
    program.compile_step()
    goodput = Goodput(run[0].folder if run is not None and processes.first() else None, begun)
    source = feeds(config, lesson, windows, replay, replay_share)
    turns = [] if lesson.anchor is None else weights.turns(config)
    rebound = Rebound(config, program.abstract_state, turns, None if run is None else run[0])
    with processes.Watchdog(config.train.hang_seconds):
        state = _begin(config, program, run, start, rebound, goodput)
    with goodput.spent("compile"):
        program.compiled_step()
    recovery = Recovery(
        *(config, program, windows, source, rebound, parent, None if run is None else run[0].folder)
    )
    with Course(config, program, state, recovery, rebound, goodput, label, run) as course:
        due = None if lesson.anchor is None else weights.elimination_step(config)
        while course.step < config.train.steps:
            if course.step == due:
                due = None  # once, also where this step has to be made again
                sound = recovery.only_sound(lesson, course.step)
                with goodput.spent("settle"):
                    course.state = settle(
                        program, course.state, sound, windows, config, recovery.folder, label
                    )
                rebound.settled(course.step, course.state)
            verdict = course.update(parent)
            stopping = stop(course.step)
            if course.heed(verdict, stopping) and not stopping:
                continue  # some steps are made again
            course.save(stopping)
            if stopping:
                break
    if run is not None:
        run[0].finish()
    if course.step < config.train.steps:
        said = f"stopped at step {course.step} of {config.train.steps}; the state is saved"
        events.tell("T2", said, recovery.folder, step=course.step)
        raise Preempted(f"{said}, the same command goes on from there")
    return course.state


def _begin(
    config: Config,
    program: Program,
    run: tuple[Checkpoints, RunInfo] | None,
    start: TrainState | None,
    rebound: Rebound,
    goodput: Goodput,
) -> TrainState:
    """The newest checkpoint's state, with what the run remembers; or the first one."""
    if run is None or run[0].latest() is None:
        with goodput.spent("init"):
            return start if start is not None else _fresh(config, program)
    checkpoints, _ = run
    with goodput.spent("restore"):
        state = checkpoints.restore(program.abstract_state)
        history = checkpoints.history()
        if history is not None:
            rebound.resume(history, checkpoints.copies(int(state.step), program.abstract_state))
    step = int(state.step)
    said = f"{checkpoints.folder}: going on from step {step}"
    events.tell("T1", said, checkpoints.folder, step=step)
    if goodput.clock_back > 1:
        said = f"the clock is {goodput.clock_back:,.0f} s behind what it was; times in logs jump"
        events.tell("T6", said, checkpoints.folder, step=step)
    return state


def _fresh(config: Config, program: Program) -> TrainState:
    """Where a run of a config's seed begins: random, but for what is pretrained."""
    state = program.init(config.seed)
    for name, modality in config.modalities.items():
        if pretrained := modality.pretrained():
            state = with_pretrained(state, name, pretrained)
    return state


def feeds(
    config: Config,
    lesson: Lesson,
    windows: Windows,
    replay: Samples | None = None,
    replay_share: float = 0.0,
) -> Feeds:
    """What ``fit`` trains on: a function of the config's seed and the step."""
    return Feeds(
        lesson,
        windows,
        batch_size=config.train.global_batch_size,
        anchor_size=anchor_size(config),
        absorb_start=weights.absorb_start(config),
        due=lambda step: bool(weights.due(config, step)),
        seed=config.seed,
        process=(jax.process_index(), jax.process_count()),
        replay=replay,
        replay_share=replay_share,
    )


class StopOnSignal:
    """``stop`` for ``fit``: true once SIGTERM or SIGINT arrived (a second SIGINT ends at once).

    A signal to one of several processes stops all of them after the same step.
    """

    def __init__(self) -> None:
        self._asked, self._steps = False, 0
        if processes.count() == 1:
            signal.signal(signal.SIGTERM, self._ask)
        signal.signal(signal.SIGINT, self._ask)

    def __call__(self, step: int) -> bool:
        self._steps += 1  # of all seeds: what the processes agree on must only grow
        return self._asked or processes.stopping(self._steps)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if processes.count() == 1:
            self._asked = True
        else:
            signal.raise_signal(signal.SIGTERM)  # which JAX listens to, and tells the others
