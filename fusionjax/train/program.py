"""The compiled functions of one config on one mesh, shared by all seeds and folds."""

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
        self.mesh = mesh
        self._example = jax.tree.map(lambda x: jax.ShapeDtypeStruct((1, *x.shape[1:]), x.dtype),
                                     example)
        fresh = partial(init_state, config)
        shapes = jax.eval_shape(fresh, jnp.uint32(0), self._zeros())
        split = rules.shardings(shapes, mesh)
        batch, whole = rules.batch_sharding(mesh), rules.replicated(mesh)
        self.abstract_state: TrainState = jax.tree.map(
            lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), shapes, split)
        self._init = jax.jit(lambda seed: fresh(seed, self._zeros()), out_shardings=split)
        self._step = jax.jit(make_step(config), in_shardings=(split, batch, whole),
                             out_shardings=(split, whole), donate_argnums=0)
        self._predict = jax.jit(make_predict(config), in_shardings=(split.ema_params, batch),
                                out_shardings=whole)

    def init(self, seed: int) -> TrainState:
        """Fresh state, created already split."""
        with jax.set_mesh(self.mesh):
            return self._init(jnp.uint32(seed))

    def step(self, state: TrainState, batch: Batch, seed: int) -> tuple[TrainState, dict]:
        """One update on this process's rows of a batch. ``state`` is donated."""
        with jax.set_mesh(self.mesh):
            return self._step(state, rules.to_devices(batch, self.mesh), jnp.uint32(seed))

    def predict(self, params: dict, batch: Batch) -> Forecast:
        """Forecasts for this process's rows, replicated to all devices."""
        with jax.set_mesh(self.mesh):
            return self._predict(params, rules.to_devices(batch, self.mesh))

    def _zeros(self) -> Batch:
        return jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), self._example)
