"""Checksums of arrays that are the same on any mesh."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, UInt32

from fusionjax.parallel.rules import path_name


def sums(tree: Any) -> dict[str, int]:
    """A checksum of every array, by its path.

    Each element's bits are multiplied by an odd number that depends on its position, and added
    modulo 2³². The order of addition does not matter, so the sum is the same on any mesh. A change
    of a single element always changes it.
    """
    paths = jax.tree_util.tree_leaves_with_path(tree)
    values = jax.device_get(_sums([x for _, x in paths]))
    return {path_name(p): int(s) for (p, _), s in zip(paths, values, strict=True)}


@jax.jit
def _sums(leaves: list[Array]) -> list[Array]:
    return [_sum(x) for x in leaves]


def _sum(x: Array) -> UInt32[Array, ""]:
    position = jnp.zeros(x.shape, jnp.uint32)
    for axis in range(x.ndim):
        stride = np.uint32(math.prod(x.shape[axis + 1 :]) % 2**32)
        position += jax.lax.broadcasted_iota(jnp.uint32, x.shape, axis) * stride
    return (_bits(x) * (position * np.uint32(2) + np.uint32(1))).sum(dtype=jnp.uint32)


def _bits(x: Array) -> UInt32[Array, "*shape"]:
    if x.dtype == jnp.bool_:
        return x.astype(jnp.uint32)
    size = {1: jnp.uint8, 2: jnp.uint16, 4: jnp.uint32}[x.dtype.itemsize]
    return jax.lax.bitcast_convert_type(x, size).astype(jnp.uint32)
