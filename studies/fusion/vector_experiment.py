"""One fusion on vectors: many seeds at once on one device, with any subset of modalities."""

import copy
import dataclasses
import itertools
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from fusionjax import streams
from fusionjax.config import Config
from fusionjax.distill import weights
from fusionjax.distill.contribution import Diagnosis, diagnose
from fusionjax.distill.elimination import Sessions, enough_shown
from fusionjax.errors import InputError
from fusionjax.models.heads import class_outputs
from fusionjax.registry import FUSIONS
from fusionjax.train.inference_fns import (
    make_diagnosis,
    make_elimination,
    make_encode,
    make_predict,
)
from fusionjax.train.state import TrainState, init_state
from fusionjax.train.step import make_step
from fusionjax.types import Batch, Forecast, Fused, StepInputs
from studies.data.views import Views

_CHUNK = 20  # steps a call


class Fitted(NamedTuple):
    """Every seed's final state, and notes of its training by name."""

    state: TrainState
    notes: dict[str, Any]


class VectorExperiment:
    """One config's fusion on views, all seeds at once on one device.

    The step is the one that every other training uses, and modalities are selected before the same
    step as there. Feeding differs, as all rows lie on the device, and the guards are off: seeds
    take every step together, so none may skip one. A fit that becomes non-finite is refused.
    """

    def __init__(self, config: Config, views: list[Views]) -> None:
        first = views[0]
        config = config.override({"guard.window": 0})
        self.config = config
        self._learns = FUSIONS[config.model.fusion].learns_weights
        self._set_views(views)
        train = first.split["train"]
        cut = len(train) - round(len(train) * config.distill.meta_fraction)
        self.meta = train[cut:]
        begin = first.time[self.meta[0]]
        self.inner = train[:cut][first.known[train[:cut]] <= begin]
        self.train = train
        session = np.unique(first.time[self.meta], return_inverse=True)[1]
        self._sessions = Sessions.of(session, weights.horizon(config))
        step = make_step(config, float(session.max() + 1))
        axes: Any = TrainState(None, 0, 0, 0, 0, 0)  # type: ignore[arg-type]
        self._step = jax.vmap(step, in_axes=(axes, 0, 0), out_axes=(axes, 0))
        self._run = jax.jit(self._chunk, donate_argnums=0, static_argnums=3)
        self._init = jax.jit(jax.vmap(partial(init_state, config), in_axes=(0, 0), out_axes=axes))
        self._predict = jax.jit(jax.vmap(make_predict(config)))
        self._eliminate = jax.jit(self._elimination)

    def with_views(self, views: list[Views]) -> "VectorExperiment":
        """The same programs on other views, whose splits must be those of the first."""
        other = copy.copy(self)
        other._set_views(views)
        return other

    def _set_views(self, views: list[Views]) -> None:
        self._time = views[0].time
        self._data: Batch = jax.tree.map(lambda *x: jnp.stack(x), *[v.batch for v in views])
        self._seeds = jnp.arange(len(views), dtype=jnp.uint32)

    def _chunk(
        self, state: TrainState, data: Batch, seeds: Array, steps: int
    ) -> tuple[TrainState, dict]:
        size = self.config.train.global_batch_size

        def pick(rows: np.ndarray, seed: Array, step: Array, purpose: str) -> Array:
            key = jax.random.fold_in(streams.key(seed, purpose), step)
            return jnp.asarray(rows)[jax.random.randint(key, (size,), 0, len(rows))]

        def step_inputs(data: Batch, seed: Array, step: Array) -> StepInputs:
            all_rows = pick(self.train, seed, step, "batches")
            rows = all_rows
            meta = None
            if self._learns:
                refitting = step >= weights.refit_start(self.config)
                rows = jnp.where(refitting, all_rows, pick(self.inner, seed, step, "inner"))
                later = pick(self.meta, seed, step, "meta")
                meta = jax.tree.map(lambda x: x[later], data)
            return StepInputs(jax.tree.map(lambda x: x[rows], data), meta)

        def scan_step(state: TrainState, _: None) -> tuple[TrainState, dict]:
            batch_source = jax.vmap(step_inputs, in_axes=(0, 0, None))(data, seeds, state.step)
            return self._step(state, batch_source, seeds)

        return jax.lax.scan(scan_step, state, None, length=steps)

    def _elimination(self, state: TrainState, data: Batch, asked: Array) -> tuple[TrainState, dict]:
        """One seed after another: each ends when nothing more is to go."""
        eliminate = make_elimination(self.config)

        def one(seed: tuple[dict, Batch, Array]) -> tuple[TrainState, dict]:
            parts, data, asked = seed
            meta = jax.tree.map(lambda x: x[self.meta], data)
            one_state = TrainState(step=state.step, **parts)
            encoded = make_encode(self.config)(one_state.ema_params, meta)
            return eliminate(one_state, encoded, meta, self._sessions, asked)

        fields = {f.name: getattr(state, f.name) for f in dataclasses.fields(state)}
        step = fields.pop("step")
        new, outcome = jax.lax.map(one, (fields, data, asked))
        return dataclasses.replace(new, step=step), outcome

    def _asked(self, data: Batch) -> Array:
        """Of every seed, the modalities that enough samples show."""
        # By name: JAX sorts a dict's keys.
        present = np.stack([np.asarray(data.present[n]) for n in self.config.modalities], -1)
        return jnp.asarray(
            [
                enough_shown(seed[self.inner], self._time[self.inner])
                & enough_shown(seed[self.meta], self._time[self.meta])
                for seed in present
            ],
            jnp.float32,
        )

    def fit(self, subset: tuple[str, ...]) -> Fitted:
        """Trains all seeds with the modalities of ``subset``; the others are absent.

        Raises:
          InputError: a seed's loss became non-finite.
        """
        data = self.rows(subset)
        example = jax.tree.map(lambda x: x[:, :2], data)
        state = self._init(self._seeds, example)
        notes: dict[str, Any] = {}
        last = self.config.train.steps
        selection = weights.elimination_step(self.config) if self._learns else last
        bounds = sorted({*range(0, selection, _CHUNK), *range(selection, last, _CHUNK), last})
        for start, end in itertools.pairwise(bounds):
            if start == selection:
                state, dropped = self._eliminate(state, data, self._asked(data))
                notes |= jax.device_get(dropped)
            state, metrics = self._run(state, data, self._seeds, end - start)
        notes["loss"] = metrics["loss"][-1]
        if not np.isfinite(loss := np.asarray(notes["loss"])).all():
            raise InputError(
                f"{', '.join(subset)}: the loss of seed {np.flatnonzero(~np.isfinite(loss))[0]} "
                f"is non-finite after {last} steps; lower config.train.learning_rate"
            )
        return Fitted(state, notes)

    def diagnose(
        self, state: TrainState, subset: tuple[str, ...], rows: np.ndarray
    ) -> list[Diagnosis]:
        """The fusion's indicators for every seed on some rows."""
        data = jax.tree.map(lambda x: x[:, rows], self.rows(subset))

        def one(params: Any, batch: Batch) -> tuple[Array, tuple[Array, Array], Fused]:
            encoded = make_encode(self.config)(params, batch)
            return make_diagnosis(self.config)(params, encoded, batch)

        kappa, (off, swapped), fused = jax.device_get(
            jax.jit(jax.vmap(one))(state.ema_params, data)
        )
        classes = class_outputs(self.config)
        return [
            diagnose(
                kappa[i], (off[i], swapped[i]), jax.tree.map(lambda x, i=i: x[i], fused), classes
            )
            for i in range(len(kappa))
        ]

    def rows(self, subset: tuple[str, ...]) -> Batch:
        """The data with only ``subset`` present."""
        return only(self._data, subset)

    def predict(self, state: TrainState, subset: tuple[str, ...], rows: np.ndarray) -> Forecast:
        """Forecasts of every seed for some rows."""
        data = jax.tree.map(lambda x: x[:, rows], self.rows(subset))
        return self._predict(state.ema_params, data)


def only(batch: Batch, subset: tuple[str, ...]) -> Batch:
    """A batch with the modalities of a subset; the others are absent."""
    present = {k: v & (k in subset) for k, v in batch.present.items()}
    return dataclasses.replace(batch, present=present)
