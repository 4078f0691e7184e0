"""The cost of a config relative to a variant of it, in pairs: time, memory, FLOPs."""

import dataclasses
import json
import math
import time
from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Bool, Float
from rich.progress import Progress
from rich.table import Table

from fusionjax import files
from fusionjax.config import Config
from fusionjax.data import samples
from fusionjax.data.pipeline import evaluation_batches
from fusionjax.distill import weights
from fusionjax.errors import InputError
from fusionjax.parallel.mesh import axes
from fusionjax.parallel.rules import replicated
from fusionjax.telemetry import CONSOLE, say
from fusionjax.train.program import flops
from fusionjax.train.run import Trainer
from fusionjax.train.start import batch_source
from fusionjax.types import StepInputs

# How many times as much as its variant a config may cost.
STEP_BAR, MEMORY_BAR, PREDICTION_BAR = 1.25, 1.10, 1.05
FEED_BAR = 0.2  # of a step: the host makes samples five times as fast as they are consumed
_STEPS = 8  # a block has at least so many steps, feeds and evaluation batches
_ENOUGH = 6  # pairs: the range of fewer holds the true median in less than 95 % of cases
_RESAMPLINGS = 2000

WITHOUT_UPDATE, WITH_UPDATE, BETWEEN_UPDATES = (
    "step without a fusion-weight update",
    "step with a fusion-weight update",
    "step between two fusion-weight updates",
)
PLAIN, RUN = "step", "step, mean over the whole run"
ASSEMBLY, PREDICTION = "batch assembled on the host, with a fusion-weight update", "prediction"


@dataclasses.dataclass(frozen=True)
class Measurement:
    """One quantity of both configs, as a ratio."""

    what: str
    ratio: float
    interval: tuple[float, float] | None  # 95 %; None for what is counted, not measured
    bar: float | None
    ours: float
    theirs: float
    unit: str

    @property
    def reached(self) -> str:
        """Whether the whole interval is on one side of the bar, and on which."""
        if self.bar is None:
            return ""
        low, high = self.interval or (self.ratio, self.ratio)
        return "yes" if high <= self.bar else "no" if low > self.bar else "undecided"


@dataclasses.dataclass(frozen=True)
class Cost:
    """All rows, with notes for the reader."""

    name: str  # of the file
    title: str
    notes: list[str]
    rows: list[Measurement]

    def save(self, folder: Path) -> Path:
        """Writes the rows as JSON into ``folder``; returns the file's path."""
        raw = dataclasses.asdict(self)
        raw["rows"] = [{**dataclasses.asdict(r), "reached": r.reached} for r in self.rows]
        path = folder / f"{self.name}.json"
        files.write_text(path, json.dumps(raw, indent=2))
        return path


def measure(config: Config, other: Config, mesh: Mesh, pairs: int, progress: Progress) -> Cost:
    """Measures ``config`` against ``other`` on real feeds.

    Blocks of both alternate ABBA, then BAAB; each four give one ratio, and the first round does
    not count. The one diagnosis and elimination of a run is not part of any step.

    Args:
      config: the one whose cost is measured; names the result.
      other: the variant it is compared with.
      mesh: of both.
      pairs: rounds that count.
      progress: shows a bar.

    Raises:
      InputError: too few pairs, or what ``Trainer.from_config`` refuses.
    """
    if pairs < 2:
        raise InputError(f"--pairs={pairs}: an interval needs at least 2")
    trainers = [Trainer.from_config(c, mesh) for c in (config, other)]
    period = math.lcm(
        *(t.config.distill.update_interval for t in trainers if weights.has_meta_set(t.config))
    )
    ours, theirs = (_Side(t, period * -(-_STEPS // period)) for t in trainers)
    updates = ours.share > 0 or theirs.share > 0
    kinds = ((WITHOUT_UPDATE, WITH_UPDATE, BETWEEN_UPDATES) if updates else (PLAIN,)) + (
        PREDICTION,
        ASSEMBLY,
    )
    bar = progress.add_task("cost", total=pairs + 1, note="compiling")
    seconds = {kind: np.zeros((pairs + 1, 2)) for kind in kinds}
    for n in range(pairs + 1):
        for kind, spent in seconds.items():
            for i in (0, 1, 1, 0) if n % 2 else (1, 0, 0, 1):
                spent[n, i] += (ours, theirs)[i].seconds(kind) / 2
        progress.update(bar, advance=1, note=f"{kinds[0]}: {_ratio(seconds[kinds[0]][n]):.3f}")
    timed = {kind: spent[1:] for kind, spent in seconds.items()}
    if updates:
        # Without updates all steps are alike; the other's share keeps the pairs comparable.
        shares = np.array([ours.share or theirs.share, theirs.share or ours.share])
        over_run = timed[WITH_UPDATE] * shares + timed[WITHOUT_UPDATE] * (1 - shares)
        timed = {RUN: over_run, **timed}
    bars = {PLAIN: STEP_BAR, RUN: STEP_BAR, BETWEEN_UPDATES: STEP_BAR, PREDICTION: PREDICTION_BAR}
    rows = [_timed(kind, spent, bars.get(kind)) for kind, spent in timed.items()]
    rows += _compiled_costs(ours, theirs)
    few = f"Too few pairs for 95 %; give --pairs={_ENOUGH} or more."
    platform = mesh.devices.flat[0].platform.upper()
    return Cost(
        "cost",
        f"{config.name} against {_difference(config, other)}: {pairs} pairs, mesh {axes(mesh)}, "
        f"{platform}",
        [
            f"The fusion weights are updated in {ours.share:.1%} of the run's steps "
            f"(against {theirs.share:.1%}).",
            "Memory is what the compiler plans a device: arguments + outputs + temporaries - "
            "aliases.",
            "FLOPs are the compiler's: of a branch the dearer side, of a loop (layers, "
            "microbatches) one turn.",
            *([few] if pairs < _ENOUGH else []),
        ],
        rows,
    )


def feeding(config: Config, mesh: Mesh, pairs: int, progress: Progress) -> Cost:
    """How long a feed's assembly takes, by one thread, beside the step that consumes it.

    Raises:
      InputError: too few pairs, or what ``Trainer.from_config`` refuses.
    """
    if pairs < 2:
        raise InputError(f"--pairs={pairs}: an interval needs at least 2")
    side = _Side(Trainer.from_config(config, mesh), config.distill.update_interval)
    step = WITHOUT_UPDATE if side.share > 0 else PLAIN
    bar = progress.add_task("feeding", total=pairs + 1, note="compiling")
    spent = np.zeros((pairs + 1, 2))
    for n in range(pairs + 1):
        for i, kind in enumerate((ASSEMBLY, step)):
            spent[n, i] = side.seconds(kind)
        progress.update(bar, advance=1, note=f"{_ratio(spent[n]):.3f} of a step")
    size = config.train.global_batch_size
    platform = mesh.devices.flat[0].platform.upper()
    return Cost(
        "feeding",
        f"{config.name}: {pairs} pairs, feeds of {size} samples, mesh {axes(mesh)}, {platform}",
        [f"The host can feed {1 / _ratio(np.median(spent[1:], 0)):.1f} such steps at once."],
        [_timed("a feed's assembly, of a step", spent[1:], FEED_BAR)],
    )


class _Side:
    """One config's program, state and inputs, built before anything is timed."""

    def __init__(self, trainer: Trainer, block: int) -> None:
        c = trainer.config
        self._trainer = trainer
        self._scalar = partial(jax.device_put, device=replicated(trainer.program.mesh))
        is_update = _schedule(c)
        self.share = float(is_update.mean())
        # From here on there are batches of both kinds, if the run has both.
        self._first = int(is_update.argmax())
        kinds = [kind for kind in (False, True) if kind in is_update]
        every = c.distill.update_interval
        updates_by_kind = {
            PLAIN: [False] * block,
            WITHOUT_UPDATE: [False] * block,
            WITH_UPDATE: [True] * block,
            BETWEEN_UPDATES: ([True] + [False] * (every - 1)) * (block // every),
        }
        step = {kind: int(np.flatnonzero(is_update == kind)[-1]) for kind in kinds}
        step_inputs = {kind: self._step_inputs(kind) for kind in kinds}
        self._blocks = {
            name: [
                (np.int32(step[k]), step_inputs[k][i % _STEPS])
                for i, with_update in enumerate(block)
                for k in [with_update if with_update in kinds else kinds[0]]
            ]
            for name, block in updates_by_kind.items()
        }
        rows = samples.split(trainer.market, c, c.evaluate.split).row
        self.batches = list(
            islice(evaluation_batches(rows, trainer.windows, c.train.global_batch_size), _STEPS)
        )
        self._state = trainer.program.init(c.seed)

    def seconds(self, kind: str) -> float:
        """How long one step, feed or prediction of this kind takes, in a block of them."""
        if kind == ASSEMBLY:
            return _clock(self._assemble) / _STEPS
        if kind == PREDICTION:
            return _clock(self._predict) / len(self.batches)
        block = [(self._scalar(step), step_inputs) for step, step_inputs in self._blocks[kind]]
        jax.block_until_ready([step for step, _ in block])
        return _clock(partial(self._train, block)) / len(block)

    def _train(self, block: list[tuple[jax.Array, StepInputs]]) -> Any:
        # The program takes its branch by ``state.step``, and the feed must be one for that branch.
        # The state is donated, so it is carried on.
        for step, step_inputs in block:
            state = dataclasses.replace(self._state, step=step)
            self._state, metrics = self._trainer.program.step(state, step_inputs, 0)
        return self._state, metrics

    def _predict(self) -> Any:
        program = self._trainer.program
        return [program.predict(self._state.ema_params, batch) for batch in self.batches]

    def _step_inputs(self, with_update: bool) -> list[StepInputs]:
        """Step inputs with a fusion-weight update, or without."""
        has_meta_set = weights.has_meta_set(self._trainer.config)
        return self._draw(
            lambda step_inputs: not has_meta_set or (step_inputs.meta is not None) == with_update
        )

    def _assemble(self) -> list[StepInputs]:
        return self._draw(lambda step_inputs: True)

    def _draw(self, accepts: Callable[[StepInputs], bool]) -> list[StepInputs]:
        """Draws from a new iterator, so that none was assembled in advance."""
        t = self._trainer
        source: Any = batch_source(t.config, t.training_data, t.windows).starting(self._first)
        try:
            return list(islice(filter(accepts, source), _STEPS))
        finally:
            source.close()  # else it assembles more in the background while something else is timed

    def compiled_costs(self) -> dict[str, float]:
        """Memory and FLOPs of the step and of predict, from the compiler."""
        program = self._trainer.program
        step = program.compiled_step()
        predict = program.compiled_predict(self._state.ema_params, self.batches[0])
        return {
            "memory of a step": _memory(step),
            "memory of a prediction": _memory(predict),
            "FLOPs of a step": flops(step),
            "FLOPs of a prediction": flops(predict),
        }


def _schedule(config: Config) -> Bool[np.ndarray, "steps"]:
    """Which of the run's steps update the fusion weights."""
    steps = jnp.arange(config.train.steps, dtype=jnp.int32)
    if not weights.has_meta_set(config):
        return np.zeros(len(steps), bool)
    return np.asarray(jax.vmap(partial(weights.is_update_step, config))(steps))


def _clock(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    jax.block_until_ready(work())
    return time.perf_counter() - start


def _memory(compiled: jax.stages.Compiled) -> float:
    m: Any = compiled.memory_analysis()
    sizes = m.argument_size_in_bytes, m.output_size_in_bytes, m.temp_size_in_bytes
    return float(sum(sizes) - m.alias_size_in_bytes)


def _ratio(pair: Float[np.ndarray, "*rounds 2"]) -> Any:
    return pair[..., 0] / pair[..., 1]


def _timed(what: str, spent: Float[np.ndarray, "rounds 2"], bar: float | None) -> Measurement:
    """The median ratio of the rounds; its interval from resampled rounds (percentile bootstrap)."""
    ratio = _ratio(spent)
    resampled = np.random.default_rng(0).choice(ratio, (_RESAMPLINGS, len(ratio)))
    low, high = np.quantile(np.median(resampled, 1), [0.025, 0.975])
    ours, theirs = np.median(spent, 0)
    return Measurement(
        what,
        float(np.median(ratio)),
        (float(low), float(high)),
        bar,
        float(ours),
        float(theirs),
        "seconds",
    )


def _compiled_costs(ours: _Side, theirs: _Side) -> list[Measurement]:
    a, b = ours.compiled_costs(), theirs.compiled_costs()
    return [
        Measurement(what, a[what] / b[what], None, MEMORY_BAR, a[what], b[what], "bytes a device")
        if what.startswith("memory")
        else Measurement(what, a[what] / b[what], None, None, a[what], b[what], "FLOPs a device")
        for what in a
    ]


def _difference(config: Config, other: Config) -> str:
    """The keys that differ, with the other's values."""

    def walk(a: Any, b: Any, key: str) -> list[str]:
        if isinstance(a, dict) and isinstance(b, dict):
            return [d for k in a | b for d in walk(a.get(k), b.get(k), f"{key}.{k}".lstrip("."))]
        return [] if a == b else [f"{key}={b}"]

    changes = walk(dataclasses.asdict(config), dataclasses.asdict(other), "")
    return ", ".join(changes) or "itself"


def for_screen(cost: Cost) -> Table:
    """The table for a terminal."""
    table = Table(title=cost.title, title_justify="left", title_style="bold")
    for i, column in enumerate(("what", "ratio", "95 % interval", "bar", "reached")):
        table.add_column(column, justify="left" if i in (0, 4) else "right")
    for r in cost.rows:
        low_high = "counted" if r.interval is None else "[{:.3f}, {:.3f}]".format(*r.interval)
        bar = "–" if r.bar is None else f"≤ {r.bar:.2f}"
        table.add_row(r.what, f"{r.ratio:.3f}", low_high, bar, r.reached)
    return table


def show(cost: Cost, folder: Path) -> None:
    """Prints the table and its notes, and writes it into ``folder``."""
    CONSOLE.print(for_screen(cost))
    for note in cost.notes:
        say(note)
    say(f"written to {cost.save(folder)}")
