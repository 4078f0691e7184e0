"""What the non-finite debugger reads of JAX's own structures, which no promise of JAX covers."""

import inspect
import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from fusionjax.train.trace_nonfinite import trace_nonfinite


class Model(nn.Module):
    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return nn.Dense(3, name="embed")(jnp.log(x))  # the line that is looked for


def inner(x: jax.Array) -> jax.Array:
    with jax.named_scope("inner"):
        return jnp.log(x)


def lost(function: Callable, *args: Any) -> list[tuple[str, str]]:
    """Module and operation of the sites that hold what is non-finite; the values are the same."""
    checked, sites = trace_nonfinite(function, *args)
    values, flags = jax.jit(checked)(*args)
    wanted = jax.jit(function)(*args)
    for x, y in zip(jax.tree.leaves(values), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_array_equal(x, y)
    return [(s.module, s.operation) for s, bad in zip(sites, flags, strict=True) if bad]


@pytest.mark.parametrize(
    "wrapped",
    [
        jax.jit,
        jax.checkpoint,
        lambda f: jax.checkpoint(jax.jit(f)),
        lambda f: lambda x: jax.nn.relu(f(x)),
        lambda f: jax.value_and_grad(lambda x: f(x).sum()),
    ],
    ids=["jit", "checkpoint", "both", "custom_jvp", "gradient"],
)
def test_functions_inside_are_looked_into(wrapped: Callable) -> None:
    assert ("inner", "log") in lost(wrapped(inner), jnp.array([1.0, -1.0]))
    assert lost(wrapped(inner), jnp.array([1.0, 2.0])) == []


@pytest.mark.parametrize("reverse", [False, True])
def test_every_turn_of_a_loop_has_its_sites(reverse: bool) -> None:
    """Of one with a constant, two carried values and two inputs; its third turn meets log(0)."""

    def loop(shift: jax.Array, xs: tuple) -> Any:
        def turn(carry: tuple, x: tuple) -> tuple:
            total = carry[0] + jnp.exp(inner(x[0] - shift)) * x[1]
            return (total, carry[1] + 1), total

        return jax.lax.scan(turn, (jnp.float32(0), jnp.int32(0)), xs, reverse=reverse)

    args = jnp.float32(2), (jnp.array([3.0, 4.0, 2.0, 5.0]), jnp.ones(4))
    assert lost(loop, *args) == [("[2]/inner", "log")]
    turns = [s.module for s in trace_nonfinite(loop, *args)[1] if s.operation == "log"]
    assert turns == [f"[{i}]/inner" for i in (range(3, -1, -1) if reverse else range(4))]


def test_a_site_says_module_place_and_shape() -> None:
    model, x = Model(), jnp.ones((2, 4))
    params = model.init(jax.random.key(0), x)
    sites = trace_nonfinite(jax.grad(lambda p, x: model.apply(p, x).sum()), params, x)[1]
    assert (sites[0].module, sites[0].operation) == ("Model", "log")
    assert sites[0].shape == "float32[2,4]"
    lines, first = inspect.getsourcelines(Model)
    line = first + next(i for i, text in enumerate(lines) if "looked for" in text)
    assert re.fullmatch(rf"test_trace_nonfinite\.py:{line}\b.*", sites[0].source)
    assert {(s.module, s.backward) for s in sites} >= {
        ("Model/embed", False),
        ("Model/embed", True),
    }
