"""Finds the first non-finite intermediate result of a computation.

The function is traced, and each equation evaluated together with a check of its results. The new
function is as pure and as compilable as the original, on any mesh.
"""

import dataclasses
import re
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
from jax._src import source_info_util  # a line of source for an equation has no public name
from jax.extend import core
from jaxtyping import Array, Bool

# Equations that call an inner function, which is evaluated inline.
_INLINED = {
    "jit": "jaxpr",
    "pjit": "jaxpr",
    "closed_call": "call_jaxpr",
    "core_call": "call_jaxpr",
    "remat2": "jaxpr",
    "checkpoint": "jaxpr",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
    "custom_vjp_call_jaxpr": "fun_jaxpr",
}


# Equations that only copy or rearrange; a value's origin says more.
_COPYING = {
    *("broadcast_in_dim", "reshape", "transpose", "slice", "dynamic_slice", "gather", "select_n"),
    *("convert_element_type", "concatenate", "pad", "squeeze", "split", "stack", "unstack", "rev"),
    *("copy", "copy_p", "neg", "stop_gradient", "reduce_precision", "reshard", "expand_dims"),
    *("sharding_constraint", "dynamic_update_slice", "scatter", "real", "optimization_barrier"),
}


@dataclasses.dataclass(frozen=True)
class Site:
    """One intermediate result.

    Attributes:
      module: path of the module that computes it, a scanned layer with its number.
      backward: whether it is part of the backward pass.
      operation: of XLA.
      source: file and line.
      shape: dtype and shape.
    """

    module: str
    backward: bool
    operation: str
    source: str
    shape: str

    def __str__(self) -> str:
        return f"{self.module} ({self.operation} of {self.shape}, {self.source})"


def trace_nonfinite(
    function: Callable[..., Any], *shapes: Any
) -> tuple[Callable[..., Any], list[Site]]:
    """Extends a function by a check of all its intermediate results.

    Args:
      function: pure, of arrays.
      shapes: of its arguments.

    Returns:
      ``checked(*args) -> (result of function, non-finite [N])``, and the N sites in the order of
      computation. Each turn of a loop has its own sites; of a branch only the result is one.
    """
    closed, out = jax.make_jaxpr(function, return_shape=True)(*shapes)
    tree = jax.tree.structure(out)

    def checked(*args: Any) -> tuple[Any, Bool[Array, "N"]]:
        values, flags = _evaluate(closed.jaxpr, closed.consts, jax.tree.leaves(args))
        flat = [x.reshape(-1) for x in flags]
        return jax.tree.unflatten(tree, values), jnp.concatenate(flat or [jnp.zeros(0, bool)])

    return checked, list(_sites(closed.jaxpr, ""))


def _evaluate(jaxpr: core.Jaxpr, consts: Any, args: list) -> tuple[list, list[Array]]:
    """The results, and whether each site, in the order of ``_sites``, is non-finite; for sites
    inside a loop an array over its turns."""
    known: dict[Any, Any] = dict(zip(jaxpr.constvars, consts, strict=True))
    known |= dict(zip(jaxpr.invars, args, strict=True))
    flags: list[Array] = []
    for e in jaxpr.eqns:
        inputs = [v.val if isinstance(v, core.Literal) else known[v] for v in e.invars]
        inner = _inner_jaxpr(e)
        if inner is not None:
            results, new_flags = _evaluate(inner.jaxpr, inner.consts, inputs)
        elif e.primitive.name == "scan":
            results, new_flags = _scan(e, inputs)
        else:
            with e.ctx.manager:  # precision and the like, as where it was traced
                result = e.primitive.bind(*inputs, **e.primitive.get_bind_params(e.params))
            results = list(result) if e.primitive.multiple_results else [result]
            new_flags = [
                _nonfinite(x) for v, x in zip(e.outvars, results, strict=True) if _is_site(e, v)
            ]
        known |= dict(zip(e.outvars, results, strict=True))
        flags += new_flags
    return [v.val if isinstance(v, core.Literal) else known[v] for v in jaxpr.outvars], flags


def _scan(e: Any, inputs: list) -> tuple[list, list[Array]]:
    """A loop whose turns also return their flags, in the order in which they run."""
    inner, p = e.params["jaxpr"], e.params
    if "ft_in" in p:  # from JAX 0.11 on
        consts, carries, _ = map(len, p["ft_in"].unpack())
    else:
        consts, carries = p["num_consts"], p["num_carry"]

    def body(carry: list, x: list) -> tuple[list, tuple[list, list[Array]]]:
        out, flags = _evaluate(inner.jaxpr, inner.consts, [*inputs[:consts], *carry, *x])
        flat = [f.reshape(-1) for f in flags]
        return out[:carries], (out[carries:], flat)

    carry, (ys, flags) = jax.lax.scan(
        body,
        list(inputs[consts : consts + carries]),
        list(inputs[consts + carries :]),
        length=p["length"],
        reverse=p["reverse"],
        unroll=p["unroll"],
    )
    if not flags:
        return [*carry, *ys], []
    turns = jnp.concatenate(flags, axis=1)  # turn, site
    return [*carry, *ys], [turns[::-1] if p["reverse"] else turns]


def _sites(jaxpr: core.Jaxpr, above: str) -> Iterator[Site]:
    for e in jaxpr.eqns:
        name = f"{above}/{e.source_info.name_stack}"
        inner = _inner_jaxpr(e)
        if inner is not None:
            yield from _sites(inner.jaxpr, name)
        elif e.primitive.name == "scan":
            turns = range(e.params["length"])
            for turn in reversed(turns) if e.params["reverse"] else turns:
                yield from _sites(e.params["jaxpr"].jaxpr, f"{name}/[{turn}]")
        else:
            where = source_info_util.summarize(e.source_info)
            for v in e.outvars:
                if _is_site(e, v):
                    aval: Any = v.aval
                    shape = f"{aval.dtype}[{','.join(map(str, aval.shape))}]"
                    module, backward = _readable(name), "transpose(" in name
                    yield Site(module, backward, e.primitive.name, _short_source(where), shape)


def _inner_jaxpr(e: Any) -> core.ClosedJaxpr | None:
    key = _INLINED.get(e.primitive.name)
    if key is None:
        return None
    inner = e.params[key]
    return inner if isinstance(inner, core.ClosedJaxpr) else core.ClosedJaxpr(inner, ())


def _is_site(e: Any, v: Any) -> bool:
    """Whether this result of an equation is one of the sites."""
    floats = hasattr(v.aval, "dtype") and jnp.issubdtype(v.aval.dtype, jnp.inexact)
    return floats and e.primitive.name not in _COPYING


def _nonfinite(x: Array) -> Bool[Array, ""]:
    return ~jnp.isfinite(x).all()


def _readable(stack: str) -> str:
    """``transpose(jvp(Forecaster.fuse))/fusion`` as ``Forecaster.fuse/fusion``."""
    bare = re.sub(r"(transpose|jvp|vmap|rematted_computation|checkpoint)\(?|\(|\)", "", stack)
    return "/".join(part for part in bare.replace("/[", "[").split("/") if part) or "loss"


def _short_source(where: str) -> str:
    """A source location relative to the package."""
    return where[where.index("fusionjax/") :] if "fusionjax/" in where else where.split("/")[-1]
