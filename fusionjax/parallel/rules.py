"""How each parameter is split: the first rule whose pattern matches its path applies."""

import math
import re
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from fusionjax.errors import InputError
from fusionjax.parallel.mesh import BATCH_AXES

# Megatron's layout inside a block (Shoeybi et al., 2019) crossed with fully sharded data
# parallelism (Rajbhandari et al., ZeRO, 2020). Scanned layers carry a leading layer axis, which
# is not split. Small parameters are replicated.
RULES: tuple[tuple[str, PartitionSpec], ...] = (
    (r"kernel/(down|up)$", PartitionSpec()),  # the thin factors of a low-rank change
    (r"layers/(query|key|value|mlp_in)/kernel", PartitionSpec(None, "fsdp", "tensor")),
    (r"layers/(attention_out|mlp_out)/kernel", PartitionSpec(None, "tensor", "fsdp")),
    (r"layers/mlp_in/bias", PartitionSpec(None, "tensor")),
    (r"fusion/mlp_in/kernel", PartitionSpec("fsdp", "tensor")),
    (r"fusion/mlp_out/kernel", PartitionSpec("tensor", "fsdp")),
    (r"fusion/(gate|key|readout)/kernel", PartitionSpec("fsdp", None)),
    (r"fusion/expert_kernel", PartitionSpec(None, "fsdp", None)),
    (r"/bert/layer_\d+/(query|key|value|intermediate)/kernel", PartitionSpec("fsdp", "tensor")),
    (r"/bert/layer_\d+/(attention_output|output)/kernel", PartitionSpec("tensor", "fsdp")),
    (r"/bert/(word|position|token_type)/embedding", PartitionSpec(None, "fsdp")),
    (r"(embed\w*/kernel|author/embedding|positions)", PartitionSpec(None, "fsdp")),
    (r".*", PartitionSpec()),
)


def path_name(path: tuple[Any, ...]) -> str:
    """A key path as ``a/b/c``."""
    return jax.tree_util.keystr(path, simple=True, separator="/")


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Rows split over data and fsdp; other axes not split."""
    return NamedSharding(mesh, PartitionSpec(BATCH_AXES))


def replicated(mesh: Mesh) -> NamedSharding:
    return NamedSharding(mesh, PartitionSpec())


def shardings(tree: Any, mesh: Mesh) -> Any:
    """A NamedSharding for each leaf of ``tree`` (arrays or shapes), found by its path.

    Optimiser moments and averaged parameters hold the parameters' paths inside their own, so the
    same rules split them the same way.

    Raises:
      InputError: a dimension does not divide over its mesh axis; names the path and the numbers.
    """

    def place(path: tuple[Any, ...], leaf: Any) -> NamedSharding:
        name = path_name(path)
        spec = next(s for pattern, s in RULES if re.search(pattern, name))
        if len(leaf.shape) < len(spec):
            raise ValueError(f"rule {spec} does not fit {name} of shape {leaf.shape}")
        for axis, size in zip(spec, leaf.shape, strict=False):
            if axis is not None and size % mesh.shape[axis]:
                raise InputError(
                    f"parameter {name} of shape {leaf.shape} does not divide over mesh axis "
                    f"{axis} = {mesh.shape[axis]}: {size} is no multiple. Change model.width or "
                    f"config.mesh.{axis}"
                )
        return NamedSharding(mesh, spec)

    return jax.tree_util.tree_map_with_path(place, tree)


def of_seeds(split: Any) -> Any:
    """The shardings of parameters with an axis of seeds in front, which is not split."""
    return jax.tree.map(lambda s: NamedSharding(s.mesh, PartitionSpec(None, *s.spec)), split)


def to_devices(batch: Any, mesh: Mesh) -> Any:
    """This process's rows of a batch become their part of the global, sharded batch."""
    sharding = batch_sharding(mesh)

    def place(x: np.ndarray) -> jax.Array:
        rows = x.shape[0] * jax.process_count()
        return jax.make_array_from_process_local_data(sharding, x, (rows, *x.shape[1:]))

    return jax.tree.map(place, batch)


def constrain_batch(x: jax.Array) -> jax.Array:
    """Keeps an activation split by rows, where a mesh is set; does nothing without one."""
    if jax.sharding.get_abstract_mesh().empty:
        return x
    return jax.lax.with_sharding_constraint(x, PartitionSpec(BATCH_AXES))


def constrain_whole(x: jax.Array) -> jax.Array:
    """Gathers a parameter on every device; its gradient is split again."""
    if jax.sharding.get_abstract_mesh().empty:
        return x
    return jax.lax.with_sharding_constraint(x, PartitionSpec())


def by_rows(function: Callable[[jax.Array], jax.Array], x: jax.Array) -> jax.Array:
    """Applies ``function`` to each device's own rows: for a Fourier transform, for example, the
    compiler would gather them all. Each row of the result may depend on that row of ``x`` only."""
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty or len(x) % math.prod(mesh.shape[a] for a in BATCH_AXES):
        return function(x)
    rows = PartitionSpec(BATCH_AXES)
    return jax.shard_map(function, in_specs=rows, out_specs=rows)(x)
