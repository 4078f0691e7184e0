"""Item 8: what the guards do on this device: non-finite values, a spike, a rebound, SIGKILL, a
hang."""

import dataclasses
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import jax
import numpy as np

from benchmarks.measures import kill
from fusionjax.config import Config
from fusionjax.data.windows import Windows
from fusionjax.parallel.mesh import make_mesh
from fusionjax.train import events
from fusionjax.train.run import Trainer
from fusionjax.train.start import batch_source
from fusionjax.train.state import TrainState
from fusionjax.types import Batch
from gpu_items.bench import ROOT, Bench
from gpu_items.configs import as_flags, small

_STEPS, _BAD, _WINDOW, _ROWS = 24, 16, 4, 32


def measure(bench: Bench) -> None:
    """Other processes first: this one would have taken the GPU's memory."""
    _hang(bench)
    _killed(bench)
    config = small(
        bench,
        model__fusion="equal",
        train__steps=_STEPS,
        train__checkpoint_every=8,
        train__log_every=1,
        train__global_batch_size=_ROWS,
        train__warmup_steps=2,
        train__learning_rate=3e-3,
        train__modality_dropout=0.0,  # a hidden price would hide its NaN
        guard__window=_WINDOW,
        guard__grad_norm_zscore=0.0,
        guard__loss_zscore=0.0,
    )
    _nan(bench, _trainer(config))
    _spike(bench, _trainer(config.override({"guard.grad_norm_zscore": 8.0})))
    _rebound(bench, _trainer(config.override({"guard.loss_zscore": 6.0})))


def _trainer(config: Config) -> Trainer:
    return Trainer.from_config(config, make_mesh(config.mesh, jax.devices()[:1]))


@contextmanager
def _spoilt(trainer: Trainer, spoil: Callable[[Batch, np.ndarray], Batch]) -> Iterator[list[int]]:
    """Changes the samples of one step's batch that no step before has."""
    source = batch_source(trainer.config, trainer.training_data, trainer.windows)
    before = {int(r) for s in range(_BAD) for r in source[s].batch.sample_id}
    rows = [int(r) for r in source[_BAD].batch.sample_id if int(r) not in before]
    build = Windows.__call__

    def changed(self: Windows, *args: Any, **named: Any) -> Batch:
        batch = build(self, *args, **named)
        return spoil(batch, np.isin(batch.sample_id, rows[: len(rows)]))

    with mock.patch.object(Windows, "__call__", changed):
        yield rows


def _codes(name: str) -> list[str]:
    return [row["code"] for row in events.read(Path(name))]


def _finite(state: TrainState) -> bool:
    return all(bool(np.isfinite(np.asarray(x)).all()) for x in jax.tree.leaves(state.params))


def _nan(bench: Bench, trainer: Trainer) -> None:
    """Two samples hold NaN: they are found and excluded, and the training goes on."""
    marked: list[int] = []

    def spoil(batch: Batch, chosen: np.ndarray) -> Batch:
        bad = chosen & np.isin(batch.sample_id, marked)
        price: Any = batch.inputs["price"]
        x = np.where(bad[:, None, None], np.float32(np.nan), price.x)
        return dataclasses.replace(
            batch, inputs={**batch.inputs, "price": dataclasses.replace(price, x=x)}
        )

    with _spoilt(trainer, spoil) as rows:
        marked += rows[:2]
        state = trainer.train(0, Path("nan"))
    excluded = sorted(i for e in events.read(Path("nan")) for i in e.get("samples", []))
    recovered = int(state.step) == _STEPS and _finite(state) and excluded == sorted(marked)
    bench.claim(
        "samples with NaN are found and excluded, training goes on",
        recovered,
        f"events {', '.join(_codes('nan'))}",
    )


def _spike(bench: Bench, trainer: Trainer) -> None:
    """A batch of absurd labels gives an enormous gradient: that update is skipped."""

    def spoil(batch: Batch, rows: np.ndarray) -> Batch:
        label = batch.targets.label
        shift = np.where(rows, np.float32(1e4), np.float32(0))[:, None]
        labels = label | {"volatility": label["volatility"] + shift}
        return dataclasses.replace(batch, targets=dataclasses.replace(batch.targets, label=labels))

    with _spoilt(trainer, spoil):
        state = trainer.train(0, Path("spike"))
    bench.claim(
        "an update whose gradient stands out is skipped",
        "G1" in _codes("spike") and int(state.step) == _STEPS and _finite(state),
        f"{int(state.guard.skipped)} skipped",
    )


def _rebound(bench: Bench, trainer: Trainer) -> None:
    """Two updates at a thousand times the rate: training goes back to its best state."""
    step = trainer.program.step

    def faulty_step(state: TrainState, *args: Any) -> Any:
        wrong, factor = _BAD <= int(state.step) < _BAD + 2, np.float32(1e3)

        def scaled(state: TrainState, by: np.float32) -> TrainState:
            guard = dataclasses.replace(state.guard, rate=state.guard.rate * by)
            return dataclasses.replace(state, guard=guard)

        state, metrics = step(scaled(state, factor) if wrong else state, *args)
        return scaled(state, 1 / factor) if wrong else state, metrics

    with mock.patch.object(trainer.program, "step", faulty_step):
        state = trainer.train(0, Path("rebound"))
    bench.claim(
        "a loss that rebounds leads back to the best state",
        "G2" in _codes("rebound") and _finite(state),
        f"learning rate × {float(state.guard.rate):g}",
    )


def _flags(bench: Bench, **more: Any) -> list[str]:
    c = small(bench)
    toy = {"model.width": c.model.width, "model.layers": c.model.layers}
    steps = {"train.steps": 40, "train.checkpoint_every": 8, "train.global_batch_size": _ROWS}
    return [f"--config={ROOT}/configs/demo.py", *as_flags(toy | steps | more)]


def _killed(bench: Bench) -> None:
    """SIGKILL at random moments, then the same command again: the same bits."""
    count = 1 if bench.rehearse else 3
    train = str(ROOT / "launch/train.py")
    campaign = kill.campaign([([train, *_flags(bench)], count)], Path("kills").absolute(), count)
    moments = ", ".join(f"{k.after:.1f} s ({k.during})" for k in campaign.kills)
    bench.claim(
        "killed by SIGKILL and started again, no bit differs",
        not campaign.differing,
        f"at {moments}",
    )


def _hang(bench: Bench) -> None:
    """A step that never comes back from the device: the watchdog ends the process."""
    seconds = 60 if not bench.rehearse else 25  # the compilation counts too
    command = [sys.executable, "-m", "gpu_items.hang", str(ROOT / "launch/train.py")]
    command += _flags(bench, **{"train.hang_seconds": float(seconds)})
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    dumped = "Timeout" in ended.stderr and "most recent call first" in ended.stderr
    bench.claim(
        "a step that hangs on the device ends the process with its stacks",
        ended.returncode != 0 and dumped,
        f"after {seconds} s, status {ended.returncode}",
    )
