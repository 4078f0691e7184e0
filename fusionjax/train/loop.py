"""The training loop: dispatch, log, save, stop when asked, go on where it stopped."""

import dataclasses
import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import jax
import numpy as np

from fusionjax import files
from fusionjax.config import Config, TextConfig
from fusionjax.data import text
from fusionjax.data.pipeline import labelled_batches, training_feeds
from fusionjax.data.samples import Lesson, Samples
from fusionjax.data.windows import Windows
from fusionjax.distill import weights
from fusionjax.distill.contribution import anomalies
from fusionjax.parallel import processes
from fusionjax.train.checkpoint import Checkpoints, RunInfo, require_same_run
from fusionjax.train.goodput import Goodput
from fusionjax.train.program import Program, anchor_size
from fusionjax.train.state import TrainState, with_text_encoder
from fusionjax.train.telemetry import Profiler, Reporter, say
from fusionjax.types import Feed

_MOST_ROWS = 8192  # of the training and of the anchor rows that a diagnosis looks at


class Preempted(Exception):
    """Asked to stop by a signal; the state is saved and the same command goes on from there."""


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
      config: what to train; ``train.*`` governs the loop.
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
      InputError: the run folder holds another run.
    """
    program.compile_step()
    processes.require_same("program", program.digest if processes.count() > 1 else "")
    t, seed = config.train, config.seed
    folder = run[0].folder if run is not None and processes.first() else None
    goodput = Goodput(folder, begun)
    if run is not None and run[0].latest() is not None:
        checkpoints, info = run
        with goodput.spent("restore"):
            state = checkpoints.restore(program.abstract_state)
        require_same_run(checkpoints.info(), info, checkpoints.folder)
        say(f"{checkpoints.folder}: going on from step {int(state.step)}")
    else:
        state = start if start is not None else _fresh(config, program)
    first = int(state.step)
    source = feeds(config, lesson, windows, first, replay, replay_share)
    with goodput.spent("compile"):
        program.compiled_step()
    pace, profiler = processes.Pace(), Profiler(folder)
    with (
        Reporter(label, t.steps, first, folder, program.model_flops) as reporter,
        processes.Watchdog(t.hang_seconds) as watchdog,
    ):
        goodput.lose(reporter.lost)
        for step in range(first, t.steps):
            if lesson.anchor is not None and step == weights.elimination_step(config):
                with goodput.spent("settle"):
                    state = _settle(program, state, lesson, windows, config, folder, label)
            profiler.at(step)
            with goodput.spent("data"), pace.waiting():
                feed = next(source)
            with goodput.spent("step"):
                state, metrics = program.step(state, feed, seed, parent)
                # This step is dispatched before the metrics of an earlier one are read, so the
                # device never waits for the host.
                rate = reporter.flush()
            if rate is not None:
                for line in pace.compared(step, rate):
                    say(f"{label}: {line}")
            done = step + 1
            watchdog.alive()
            if done % t.log_every == 0 or done == t.steps:
                reporter.hold(done, metrics, goodput.look(done, t.steps))
            stopping = stop(done)
            if run is not None and (stopping or done % t.checkpoint_every == 0 or done == t.steps):
                with goodput.spent("save"):
                    run[0].save(done, state, run[1])
            if stopping:
                break
        profiler.close()
        with goodput.spent("step"):
            jax.block_until_ready(state.step)
        goodput.look(int(state.step), t.steps)
    if int(state.step) < t.steps:
        raise Preempted(
            f"stopped at step {int(state.step)} of {t.steps}; the state is saved, the "
            "same command goes on from there"
        )
    return state


def _fresh(config: Config, program: Program) -> TrainState:
    """Where a run of a config's seed begins: random, but for text encoders to be fine-tuned."""
    state = program.init(config.seed)
    for name, modality in config.modalities.items():
        if isinstance(modality, TextConfig) and modality.fine_tune:
            state = with_text_encoder(state, name, text.pretrained_weights())
    return state


def feeds(
    config: Config,
    lesson: Lesson,
    windows: Windows,
    start: int,
    replay: Samples | None = None,
    replay_share: float = 0.0,
) -> Iterator[Feed]:
    """What ``fit`` trains on, from a step on: a function of the config's seed and the step."""
    return training_feeds(
        lesson,
        windows,
        batch_size=config.train.global_batch_size,
        anchor_size=anchor_size(config),
        absorb_start=weights.absorb_start(config),
        due=lambda step: bool(weights.due(config, step)),
        seed=config.seed,
        start=start,
        process=(jax.process_index(), jax.process_count()),
        replay=replay,
        replay_share=replay_share,
    )


def _settle(
    program: Program,
    state: TrainState,
    lesson: Lesson,
    windows: Windows,
    config: Config,
    folder: Path | None,
    label: str,
) -> TrainState:
    """Drops what the anchor does not miss, and says what is odd about the fusion.

    Now, while the encoders have not seen the anchor. Indicators before and after go to
    ``fusion.json`` in the run's folder.
    """
    assert lesson.base is not None
    assert lesson.anchor is not None
    names, size = tuple(config.modalities), anchor_size(config)
    base, anchor = (_thinned(s) for s in (lesson.base, lesson.anchor))
    before, later = (
        program.encode(state.ema_params, labelled_batches(s, windows, size)) for s in (base, anchor)
    )
    seen = {
        "training": program.diagnose(state.ema_params, *before),
        "anchor": program.diagnose(state.ema_params, *later),
    }
    _, session = np.unique(anchor.target_day, return_inverse=True)
    state, said = program.eliminate(state, *later, session)
    worth = ", ".join(
        f"{name} {w:+.4f} ± {e:.4f}{'' if k else ' (dropped)'}"
        for name, w, e, k in zip(names, said["worth"], said["error"], said["kept"], strict=True)
    )
    seen["settled"] = program.diagnose(state.ema_params, *later)
    found = anomalies(names, seen["training"], seen["anchor"], seen["settled"])
    for line in (f"worth to {len(anchor):,} later samples, in loss: {worth}", *found):
        say(f"{label}: {line}")
    if folder is not None:
        record = {
            "modalities": names,
            **{name: dataclasses.asdict(d) for name, d in seen.items()},
            **said,
            "anomalies": found,
        }
        files.write_text(folder / "fusion.json", json.dumps(record, default=np.ndarray.tolist))
    return state


def _thinned(samples: Samples) -> Samples:
    """Evenly spaced samples where there are more than a diagnosis needs."""
    if len(samples) <= _MOST_ROWS:
        return samples
    return samples.take(np.linspace(0, len(samples) - 1, _MOST_ROWS).astype(int))


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
