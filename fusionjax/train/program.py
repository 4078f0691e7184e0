"""The compiled functions of one config on one mesh, shared by all seeds and folds."""

import dataclasses
import hashlib
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jax.stages import Compiled, Lowered
from jaxtyping import Array, Bool, Float, Float32, Int64

from fusionjax.config import Config, TrainConfig
from fusionjax.distill import weights
from fusionjax.distill.contribution import Diagnosis, diagnose
from fusionjax.distill.elimination import Rises, Sessions
from fusionjax.experts.stack import SHARES
from fusionjax.models.heads import class_outputs
from fusionjax.parallel import rules
from fusionjax.parallel.cluster import H100
from fusionjax.parallel.hlo import Module
from fusionjax.parallel.mesh import check_batch
from fusionjax.parallel.xla_flags import compiler_options
from fusionjax.train.inference_fns import (
    make_corrections,
    make_diagnosis,
    make_elimination,
    make_encode,
    make_measure,
    make_predict,
)
from fusionjax.train.state import TrainState, init_state
from fusionjax.train.step import make_examination, make_step
from fusionjax.train.trace_nonfinite import Site, trace_nonfinite
from fusionjax.types import Batch, Encoded, Forecast, StepInputs


class Program:
    """init, step, modality selection and predict, each compiled once.

    Args:
      config: its seed is ignored; seeds are arguments.
      mesh: over which state and batches are split.
      example: a batch of this process's rows, for its shapes.
      meta_sessions: of the training data; 0 for a program that only predicts.
      parented: whether a step also takes the parameters of a parent.

    Raises:
      InputError: the batch or a parameter does not divide over the mesh.
    """

    def __init__(
        self,
        config: Config,
        mesh: Mesh,
        example: Batch,
        meta_sessions: int = 0,
        *,
        parented: bool = False,
    ) -> None:
        check_batch(config.train, mesh)
        self.parented = parented
        self.mesh, self._config, self._sessions = mesh, config, float(meta_sessions)
        self._example = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct((1, *x.shape[1:]), x.dtype), example
        )
        fresh = partial(init_state, config)
        shapes = jax.eval_shape(fresh, jnp.uint32(0), self._zeros())
        split = rules.shardings(shapes, mesh)
        batch, replicated = rules.batch_sharding(mesh), rules.replicated(mesh)
        self.abstract_state: TrainState = jax.tree.map(
            lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), shapes, split
        )
        options = compiler_options(mesh.devices.flat[0].platform)
        self._init = jax.jit(
            lambda seed: fresh(seed, jax.tree.map(jnp.asarray, self._zeros())),
            out_shardings=split,
            compiler_options=options,
        )
        parent = (split.params,) * parented
        self._step = jax.jit(
            make_step(config, self._sessions),
            in_shardings=(split, batch, replicated, *parent),
            out_shardings=(split, replicated),
            donate_argnums=0,
            compiler_options=options,
        )
        self._predict, self._encode = (
            jax.jit(
                make(config),
                in_shardings=(split.ema_params, batch),
                out_shardings=replicated,
                compiler_options=options,
            )
            for make in (make_predict, make_encode)
        )
        self._stacked = rules.of_seeds(split.ema_params)
        self._predict_each = jax.jit(
            jax.vmap(make_predict(config), (0, None)),
            in_shardings=(self._stacked, batch),
            out_shardings=replicated,
            compiler_options=options,
        )
        self._eliminate = jax.jit(
            make_elimination(config),
            in_shardings=(split, *[replicated] * 4),
            out_shardings=(split, replicated),
            compiler_options=options,
        )
        self._measure = jax.jit(
            make_measure(config),
            in_shardings=(split.ema_params, *[replicated] * 4),
            out_shardings=replicated,
            compiler_options=options,
        )
        self._silence, self._keep = (
            jax.jit(
                change,
                in_shardings=(split.ema_params, *[replicated] * more),
                out_shardings=split.ema_params,
            )
            for change, more in ((weights.silenced, 0), (weights.with_kept, 2))
        )
        self._diagnose = jax.jit(
            make_diagnosis(config),
            in_shardings=(split.ema_params, replicated, replicated),
            out_shardings=replicated,
            compiler_options=options,
        )
        self._corrections = jax.jit(
            make_corrections(config, SHARES),
            in_shardings=(split.ema_params, replicated, replicated),
            out_shardings=replicated,
            compiler_options=options,
        )
        self._examinations: dict[bool, tuple[Any, list[Site]]] = {}
        self._compiled: Future | None = None

    def compile_step(self) -> None:
        """Starts to compile the step in the background, so that it overlaps with ``init``."""
        if self._compiled is None:
            pool = ThreadPoolExecutor(1)
            # Lowered here: flax cannot trace in two threads at once.
            self._compiled = pool.submit(self.lowered_step.compile)
            pool.shutdown(wait=False)

    @cached_property
    def lowered_step(self) -> Lowered:
        """The step before compilation. It must be the same on every process, or they hang."""
        sizes = self._config.train.global_batch_size, meta_batch_size(self._config.train)
        batch, meta = (
            jax.tree.map(
                lambda x, n=n: jax.ShapeDtypeStruct((n, *x.shape[1:]), x.dtype), self._example
            )
            for n in sizes
        )
        step_inputs = StepInputs(batch, meta if weights.has_meta_set(self._config) else None)
        seed = jax.ShapeDtypeStruct((), jnp.uint32)
        with jax.set_mesh(self.mesh):
            parent = (self.abstract_state.params,) * self.parented
            return self._step.lower(self.abstract_state, step_inputs, seed, *parent)

    @cached_property
    def digest(self) -> str:
        """A fingerprint of the step before compilation."""
        return hashlib.sha256(self.lowered_step.as_text().encode()).hexdigest()[:16]

    def compiled_step(self) -> Compiled:
        """The compiled step; waits for it."""
        self.compile_step()
        assert self._compiled is not None
        return self._compiled.result()

    @cached_property
    def model_flops(self) -> tuple[float, float] | None:
        """FLOPs of an ordinary step on each device, and the device's peak FLOPs a second.

        None where the peak is not known: on CPUs, and on accelerators that no plan describes.
        """
        kind = self.mesh.devices.flat[0].device_kind
        if kind != H100.device_kind:
            return None
        try:
            return Module(self.compiled_step().as_text() or "").model_flops, H100.flops
        except (ValueError, LookupError, AssertionError):
            return None  # a program that hlo.py cannot read must not stop a training

    def compiled_predict(self, params: dict, batch: Batch) -> Compiled:
        """``predict`` for such a batch, compiled to read its costs."""
        with jax.set_mesh(self.mesh):
            return self._predict.lower(params, rules.to_devices(batch, self.mesh)).compile()

    def init(self, seed: int) -> TrainState:
        """A fresh state, created split over the mesh."""
        with jax.set_mesh(self.mesh):
            return self._init(jnp.uint32(seed))

    def step(
        self, state: TrainState, step_inputs: StepInputs, seed: int, parent: dict | None = None
    ) -> tuple[TrainState, dict]:
        """One update on this process's rows. ``state`` is donated, ``parent`` is not.

        Inputs may lack the meta set where the step does not update the fusion weights.
        """
        run = self.compiled_step()
        with jax.set_mesh(self.mesh):
            placed = rules.to_devices(step_inputs, self.mesh)
            if placed.meta is None and weights.has_meta_set(self._config):
                placed = dataclasses.replace(placed, meta=self._empty_meta)
            return run(state, placed, jnp.uint32(seed), *(() if parent is None else (parent,)))

    def examine(
        self, state: TrainState, step_inputs: StepInputs, seed: int, parent: dict | None = None
    ) -> tuple[dict[str, bool], list[Site], np.ndarray]:
        """Checks every intermediate result of an update without applying it.

        Returns:
          Whether each part of the update is non-finite, by name; the intermediate results; whether
          each of those is non-finite.
        """
        with jax.set_mesh(self.mesh):
            placed = rules.to_devices(step_inputs, self.mesh)
            args = (state, placed, jnp.uint32(seed), *(() if parent is None else (parent,)))
            has_meta_set = step_inputs.meta is not None
            if has_meta_set not in self._examinations:
                examine = make_examination(self._config, self._sessions)
                checked, sites = trace_nonfinite(examine, *args)

                def nonfinite(*args: Any) -> tuple[Any, Array]:
                    parts, flags = checked(*args)
                    return jax.tree.map(lambda x: ~jnp.isfinite(x).all(), parts), flags

                options = compiler_options(self.mesh.devices.flat[0].platform)
                self._examinations[has_meta_set] = (
                    jax.jit(
                        nonfinite,
                        out_shardings=rules.replicated(self.mesh),
                        compiler_options=options,
                    ),
                    sites,
                )
            run, sites = self._examinations[has_meta_set]
            parts, flags = jax.device_get(run(*args))
        by_path = jax.tree_util.tree_leaves_with_path(parts)
        return {rules.path_name(p): bool(x) for p, x in by_path}, sites, flags

    @cached_property
    def _empty_meta(self) -> Batch:
        """A meta set of zeros on the devices, for the steps that do not use one."""
        rows = meta_batch_size(self._config.train) // jax.process_count()
        return rules.to_devices(self._zeros(rows), self.mesh)

    def encode(self, params: dict, batches: Iterable[Batch]) -> tuple[Encoded, Batch]:
        """All rows of equally large batches, encoded, and the rows without inputs; on the host.

        Every process passes all rows; each sends its own to the devices. Padding is left out.
        """
        parts = []
        with jax.set_mesh(self.mesh):
            for batch in batches:
                encoded = self._encode(params, rules.to_devices(_own(batch), self.mesh))
                # Without inputs: thousands of samples of sound and video would fill the host.
                labelled = dataclasses.replace(batch, inputs={}, present={})
                parts.append((jax.device_get(encoded), labelled))
        real = np.concatenate([batch.weight for _, batch in parts]) > 0
        return jax.tree.map(lambda *x: np.concatenate(x)[real], *parts)

    def eliminate(
        self,
        state: TrainState,
        encoded: Encoded,
        batch: Batch,
        session: Int64[np.ndarray, "N"],
        asked: Bool[np.ndarray, "M"],
    ) -> tuple[TrainState, dict[str, Any]]:
        """Removes modalities that do not lower the held-out loss; see ``make_elimination``.

        Args:
          state: of the run; its averaged parameters are evaluated.
          encoded: every meta sample, in time order.
          batch: the same samples.
          session: of each sample, numbered from 0 in time order.
          asked: the modalities to ask; others than those of ``distill.keep`` are removed.
        """
        sessions = Sessions.of(session, weights.horizon(self._config))
        with jax.set_mesh(self.mesh):
            state, outcome = self._eliminate(
                state, encoded, batch, sessions, asked.astype(np.float32)
            )
        return state, jax.device_get(outcome)

    def silenced(self, params: dict) -> dict:
        """See ``weights.silenced``."""
        with jax.set_mesh(self.mesh):
            return self._silence(params)

    def with_kept(
        self, params: dict, kept: Bool[np.ndarray, "M"], shown: Float[np.ndarray, "M"]
    ) -> dict:
        """See ``weights.with_kept``."""
        with jax.set_mesh(self.mesh):
            return self._keep(params, kept.astype(np.float32), shown.astype(np.float32))

    def measure(
        self,
        params: dict,
        encoded: Encoded,
        batch: Batch,
        used: Bool[np.ndarray, "M"],
        which: Bool[np.ndarray, "M"],
    ) -> Rises:
        """What the absence of modalities costs samples in time order; see ``make_measure``."""
        masks = used.astype(np.float32), which.astype(np.float32)
        with jax.set_mesh(self.mesh):
            return jax.device_get(self._measure(params, encoded, batch, *masks))

    def diagnose(self, params: dict, encoded: Encoded, batch: Batch) -> Diagnosis:
        """The fusion's indicators on some encoded samples."""
        with jax.set_mesh(self.mesh):
            kappa, rise, fused = jax.device_get(self._diagnose(params, encoded, batch))
        return diagnose(kappa, rise, fused, class_outputs(self._config))

    def corrections(
        self, params: dict, encoded: Encoded, batch: Batch
    ) -> dict[str, Float32[np.ndarray, "K N H"]]:
        """Losses by head at each of ``stack.SHARES``; see ``make_corrections``."""
        with jax.set_mesh(self.mesh):
            return jax.device_get(self._corrections(params, encoded, batch))

    def predict(self, params: dict, batch: Batch) -> Forecast:
        """Forecasts for this process's rows, replicated to all devices."""
        with jax.set_mesh(self.mesh):
            return self._predict(params, rules.to_devices(batch, self.mesh))

    def stacked(self, seeds: list[dict]) -> dict:
        """Parameters of several seeds, one above the other, on the devices."""
        on_host = jax.tree.map(lambda *x: np.stack([np.asarray(a) for a in x]), *seeds)
        return jax.device_put(on_host, self._stacked)

    def predict_each(self, seeds: dict, batch: Batch) -> Forecast:
        """``predict`` of all ``stacked`` seeds in one call; arrays begin with the seeds."""
        with jax.set_mesh(self.mesh):
            return self._predict_each(seeds, rules.to_devices(batch, self.mesh))

    def _zeros(self, rows: int = 1) -> Batch:
        return jax.tree.map(lambda x: np.zeros((rows, *x.shape[1:]), x.dtype), self._example)


def _own(batch: Batch) -> Batch:
    """This process's rows of a batch that every process has."""
    rows = np.array_split(np.arange(len(batch.weight)), jax.process_count())
    return jax.tree.map(lambda x: x[rows[jax.process_index()]], batch)


def flops(compiled: Compiled) -> float:
    """Floating-point operations of one call, as the compiler counts them."""
    counted: Any = compiled.cost_analysis()
    return float(counted["flops"])


def meta_batch_size(config: TrainConfig) -> int:
    """Meta samples a step: as many as a microbatch, so that memory does not grow."""
    return config.global_batch_size // config.grad_accum_steps
