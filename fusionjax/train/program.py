"""The compiled functions of one config on one mesh, shared by all seeds and folds."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from fusionjax.config import Config
from fusionjax.parallel import rules
from fusionjax.parallel.mesh import check_batch
from fusionjax.train.state import TrainState, init_state
from fusionjax.train.step import make_predict, make_step
from fusionjax.types import Batch, Forecast


class Program:
    """init, step and predict, each compiled once.

    Args:
      config: the seed in it is ignored; seeds are arguments.
      mesh: over which everything is split.
      example: a batch of this process's rows, for its shapes.

    Raises:
      InputError: the batch or a parameter does not divide over the mesh.
    """

    def __init__(self, config: Config, mesh: Mesh, example: Batch) -> None:
        check_batch(config, mesh)
        self.mesh, self._config = mesh, config
        self._example = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct((1, *x.shape[1:]), x.dtype), example
        )
        fresh = partial(init_state, config)
        shapes = jax.eval_shape(fresh, jnp.uint32(0), self._zeros())
        split = rules.shardings(shapes, mesh)
        batch, whole = rules.batch_sharding(mesh), rules.replicated(mesh)
        self.abstract_state: TrainState = jax.tree.map(
            lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), shapes, split
        )
        # On CPU the compiler's last optimisation level costs seconds and speeds up nothing here.
        options = {"xla_backend_optimization_level": 1} if _on_cpu(mesh) else None
        self._init = jax.jit(
            lambda seed: fresh(seed, self._zeros()), out_shardings=split, compiler_options=options
        )
        self._step = jax.jit(
            make_step(config),
            in_shardings=(split, batch, whole),
            out_shardings=(split, whole),
            donate_argnums=0,
            compiler_options=options,
        )
        self._predict = jax.jit(
            make_predict(config),
            in_shardings=(split.ema_params, batch),
            out_shardings=whole,
            compiler_options=options,
        )
        self._compiled: Future | None = None

    def compile_step(self) -> None:
        """Starts to compile the step in the background, so that it overlaps with ``init``."""
        if self._compiled is None:
            rows = self._config.train.global_batch_size
            batch = jax.tree.map(
                lambda x: jax.ShapeDtypeStruct((rows, *x.shape[1:]), x.dtype), self._example
            )
            seed = jax.ShapeDtypeStruct((), jnp.uint32)

            def work() -> Callable:
                with jax.set_mesh(self.mesh):
                    return self._step.lower(self.abstract_state, batch, seed).compile()

            pool = ThreadPoolExecutor(1)
            self._compiled = pool.submit(work)
            pool.shutdown(wait=False)

    def init(self, seed: int) -> TrainState:
        """Fresh state, created already split."""
        with jax.set_mesh(self.mesh):
            return self._init(jnp.uint32(seed))

    def step(self, state: TrainState, batch: Batch, seed: int) -> tuple[TrainState, dict]:
        """One update on this process's rows of a batch. ``state`` is donated."""
        self.compile_step()
        assert self._compiled is not None
        with jax.set_mesh(self.mesh):
            return self._compiled.result()(
                state, rules.to_devices(batch, self.mesh), jnp.uint32(seed)
            )

    def predict(self, params: dict, batch: Batch) -> Forecast:
        """Forecasts for this process's rows, replicated to all devices."""
        with jax.set_mesh(self.mesh):
            return self._predict(params, rules.to_devices(batch, self.mesh))

    def _zeros(self) -> Batch:
        return jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), self._example)


def _on_cpu(mesh: Mesh) -> bool:
    return mesh.devices.flat[0].platform == "cpu"
