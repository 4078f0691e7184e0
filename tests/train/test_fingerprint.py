"""Sums of bits: any single change shows, the mesh does not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.sharding import NamedSharding, PartitionSpec

from fusionjax.train.fingerprint import sums


def test_by_hand() -> None:
    x = np.array([[1, 2], [3, 4]], np.int32)  # places 0 to 3, weights 1, 3, 5, 7
    assert sums({"a": {"b": x}}) == {"a/b": 1 + 6 + 15 + 28}
    assert sums({"on": np.array([True, False, True])}) == {"on": 1 + 5}
    assert sums({"one": np.float32(1.0)}) == {"one": 0x3F800000}


@given(place=st.integers(0, 23), bit=st.integers(0, 31))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_a_single_bit_shows(place: int, bit: int) -> None:
    x = np.linspace(-1, 1, 24, dtype=np.float32).reshape(4, 6)
    y = x.copy().reshape(-1)
    y.view(np.uint32)[place] ^= np.uint32(1 << bit)
    assert sums({"x": x}) != sums({"x": y.reshape(4, 6)})


def test_two_values_exchanged_show() -> None:
    x = np.array([1, 2, 3], np.float32)
    assert sums({"x": x}) != sums({"x": x[[1, 0, 2]]})


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.int32])
def test_the_mesh_does_not_show(dtype: jnp.dtype) -> None:
    x = np.random.default_rng(0).normal(size=(64, 3)).astype(dtype)
    mesh = jax.make_mesh((8,), ("fsdp",), devices=jax.devices()[:8])
    spread = jax.device_put(x, NamedSharding(mesh, PartitionSpec("fsdp")))
    assert sums({"x": spread}) == sums({"x": x})
