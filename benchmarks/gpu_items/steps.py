"""The product's compiled step on random rows: no data are read, so it alone is measured."""

import dataclasses
import math
import time
from typing import Any

import jax
import numpy as np

from fusionjax.config import Config
from fusionjax.data.windows import dummy_batch
from fusionjax.distill import weights
from fusionjax.parallel.mesh import make_mesh
from fusionjax.parallel.rules import replicated
from fusionjax.train.program import Program, meta_batch_size
from fusionjax.types import Batch, StepInputs, Waveform
from gpu_items.bench import Bench

_SESSIONS = 500  # of the meta set: a constant of the program


def random_batch(config: Config, rows: int, seed: int = 0) -> Batch:
    """Every modality present, nothing masked, values of unit variance, labels at random."""
    rng = np.random.default_rng(seed)

    def filled(x: np.ndarray) -> np.ndarray:
        if x.dtype == bool:
            return np.ones_like(x)
        if np.issubdtype(x.dtype, np.floating):
            return rng.standard_normal(x.shape, np.float32).astype(x.dtype)
        high = {"uint8": 256, "int16": 3000}.get(x.dtype.name, 2)  # others: classes and hashes
        return rng.integers(0, high, x.shape).astype(x.dtype)

    batch = jax.tree.map(filled, dummy_batch(config, rows))
    inputs = {
        name: dataclasses.replace(x, length=np.full(rows, x.samples.shape[1], np.int32))
        if isinstance(x, Waveform)
        else x
        for name, x in batch.inputs.items()
    }
    return dataclasses.replace(
        batch,
        inputs=inputs,
        log_scale=np.full(rows, math.log(0.01), np.float32),
        weight=np.ones(rows, np.float32),
        sample_id=np.arange(rows, dtype=np.int32),
    )


class Steps:
    """A config's step and a state that it moves on.

    Attributes:
      program: the compiled functions.
      compile_seconds: what the step's compilation took.
    """

    def __init__(self, config: Config) -> None:
        self.config, self.mesh = config, make_mesh(config.mesh, jax.devices()[:1])
        self.program = Program(config, self.mesh, dummy_batch(config, 1), _SESSIONS)
        started = time.perf_counter()
        self.compiled = self.program.compiled_step()
        self.compile_seconds = time.perf_counter() - started
        self.state: Any = None  # made by the first step
        self._scalar = replicated(self.mesh)
        self._batch = random_batch(config, config.train.global_batch_size)
        has_meta_set = weights.has_meta_set(config)
        self._meta = (
            random_batch(config, meta_batch_size(config.train), 1) if has_meta_set else None
        )

    def run(self, steps: int, *, with_update: bool = False) -> float:
        """Mean seconds of ``steps`` steps, all with a fusion-weight update or all without."""
        first = self.config.distill.warmup_steps  # the first that moves them
        first_step = first if with_update else first - 1
        step_inputs = StepInputs(self._batch, self._meta if with_update else None)
        if self.state is None:
            self.state = self.program.init(0)
        step = jax.device_put(np.int32(first_step), self._scalar)
        jax.block_until_ready((self.state, step))
        started = time.perf_counter()
        for _ in range(steps):
            state = dataclasses.replace(self.state, step=step + 0)  # the state is donated
            self.state, metrics = self.program.step(state, step_inputs, 0)
        jax.block_until_ready((self.state, metrics))
        return (time.perf_counter() - started) / steps

    def losses(self, count: int) -> list[float]:
        """Of the first ordinary updates of a run, all on the same rows."""
        state, step_inputs, losses = self.program.init(0), StepInputs(self._batch, None), []
        for _ in range(count):
            state, metrics = self.program.step(state, step_inputs, 0)
            losses.append(metrics["loss"])
        return [float(x) for x in jax.device_get(losses)]

    def timed(self, bench: Bench, *, with_update: bool = False, block: int = 4) -> list[float]:
        """Seconds a step, of each repeat of a block of steps."""
        block = 1 if bench.rehearse else block
        self.run(1, with_update=with_update)
        return [self.run(block, with_update=with_update) for _ in range(bench.repeats())]

    @property
    def planned_peak(self) -> float:
        """Bytes of the device at the peak, as this device's compiler says."""
        memory: Any = self.compiled.memory_analysis()
        return float(memory.peak_memory_in_bytes)


def out_of_memory(error: BaseException) -> bool:
    """Whether an error of JAX says that the device's memory does not suffice."""
    return "RESOURCE_EXHAUSTED" in str(error) or "out of memory" in str(error).lower()
