# ruff: noqa: E501 (lines as XLA prints them)
"""What the reader of compiled programs says, against counts by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from fusionjax.config import MeshConfig
from fusionjax.parallel.hlo import Collective, Kernel, Module
from fusionjax.parallel.mesh import make_mesh

_TEXT = """HloModule made, input_output_alias={ {0}: (0, {}, may-alias), {1}: (2, {}, must-alias) }

%body (state: (s32[], bf16[4,8])) -> (s32[], bf16[4,8]) {
  %state = (s32[], bf16[4,8]{1,0}) parameter(0)
  %i = s32[] get-tuple-element(%state), index=0
  %x = bf16[4,8]{1,0} get-tuple-element(%state), index=1
  %gathered = (bf16[4,8]{1,0}, bf16[32,8]{1,0}) all-gather-start(%x), replica_groups=[2,8]<=[16], dimensions={0}
  %busy = bf16[4,8]{1,0} negate(%x), metadata={op_name="step/busy"}
  %all = bf16[32,8]{1,0} all-gather-done(%gathered)
  %y = bf16[4,8]{1,0} slice(%all), slice={[0:4], [0:8]}
  ROOT %out = (s32[], bf16[4,8]{1,0}) tuple(%i, %y)
}

%always (state.1: (s32[], bf16[4,8])) -> pred[] {
  %state.1 = (s32[], bf16[4,8]{1,0}) parameter(0)
  ROOT %go = pred[] constant(true)
}

%fused (a: bf16[4,8], b: bf16[8,16], c: f32[6,4]) -> f32[4,16] {
  %a = bf16[4,8]{1,0} parameter(0)
  %b = bf16[8,16]{1,0} parameter(1)
  %c = f32[6,4]{1,0} parameter(2)
  %row = f32[1,4]{1,0} dynamic-slice(%c), dynamic_slice_sizes={1,4}
  ROOT %dot = f32[4,16]{1,0} dot(%a, %b), lhs_contracting_dims={1}, rhs_contracting_dims={0}
}

%one (p: f32[2]) -> f32[2] {
  ROOT %p = f32[2]{0} parameter(0)
}

%other (q: f32[2]) -> f32[2] {
  %q = f32[2]{0} parameter(0)
  %twice = f32[2]{0} negate(%q)
  ROOT %sum = f32[2]{0} all-reduce(%twice), replica_groups={{0,8},{1,9}}, to_apply=%add
}

ENTRY %main (arg: bf16[4,8], w: bf16[8,16], s: f32[6,4], v: f32[2]) -> f32[4,16] {
  %arg = bf16[4,8]{1,0} parameter(0)
  %w = bf16[8,16]{1,0} parameter(1)
  %s = f32[6,4]{1,0} parameter(2)
  %v = f32[2]{0} parameter(3)
  %zero = s32[] constant(0)
  %init = (s32[], bf16[4,8]{1,0}) tuple(%zero, %arg)
  %loop = (s32[], /*index=1*/bf16[4,8]{1,0}) while(%init), condition=%always, body=%body, backend_config={"known_trip_count":{"n":"5"}}
  %flag = pred[] constant(true)
  %either = f32[2]{0} conditional(%flag, %v, %v), true_computation=%other, false_computation=%one
  %z = bf16[4,8]{1,0} get-tuple-element(%loop), index=1
  ROOT %product = f32[4,16]{1,0} fusion(%z, %w, %s), kind=kCustom, calls=%fused, metadata={op_name="step/product"}
}
"""


def test_loops_branches_and_slices_by_hand() -> None:
    module = Module(_TEXT)
    assert module.aliased == 2
    kernels = {k.name: k for k in module.kernels}
    assert set(kernels) == {"busy", "y", "product"}
    assert (kernels["busy"].runs, kernels["busy"].bytes) == (5, 2 * 64)
    product = kernels["product"]
    assert product.flops == 2 * 4 * 16 * 8
    assert product.bytes == 64 + 256 + 16 + 256, "of c only a row is read"
    assert product.source == "step/product"
    (gather,) = module.collectives
    assert (gather.kind, gather.runs, gather.payload, gather.sent) == ("all-gather", 5, 512, 448)
    assert gather.groups.shape == (2, 8)
    assert not gather.crosses(8)
    assert gather.axes({"data": 2, "fsdp": 8}) == "fsdp"


def test_the_costlier_branch_counts_when_asked() -> None:
    module = Module(_TEXT, costlier=True)
    assert "twice" in {k.name for k in module.kernels}
    reduce = module.collectives[-1]
    assert (reduce.kind, reduce.payload, reduce.sent) == ("all-reduce", 8, 8)
    assert reduce.crosses(8)
    # Two groups of two nodes each: a node sends 2 (k-1)/k = 1 payload for each of them.
    assert reduce.between_nodes(8) == 16
    assert reduce.axes({"data": 2, "fsdp": 8}) == "data"


def test_time_follows_the_compilers_schedule() -> None:
    """A gather of 3 s beside a kernel of 2 s, then one of 2 s: five times 5 s; 2 s more after."""
    module = Module(_TEXT)

    def kernel(k: Kernel) -> float:
        return 2.0

    assert module.seconds(kernel, lambda c: 3.0) == 5 * 5 + 2
    assert module.seconds(kernel, lambda c: 1.0) == 5 * 4 + 2, "hidden"


@pytest.mark.parametrize(
    ("groups", "first"),
    [
        ("replica_groups={{0,2},{1,3}}", [0, 2]),
        ("replica_groups=[2,2]<=[4]", [0, 1]),
        ("replica_groups=[2,2]<=[2,2]T(1,0)", [0, 2]),
        ("replica_groups=mesh['a'=2,'b'=2] {'a'}", [0, 2]),
        ("replica_groups=mesh['a'=2,'b'=2], device_ids=([2,2]T(1,0)) {'a'}", [0, 1]),
    ],
)
def test_every_way_to_print_who_exchanges_with_whom(groups: str, first: list[int]) -> None:
    text = _TEXT.replace("replica_groups=[2,8]<=[16]", groups)
    assert Module(text).collectives[0].groups[0].tolist() == first


def test_a_loop_of_unknown_length_is_not_guessed() -> None:
    with pytest.raises(ValueError, match="loop loop: how often it runs is not known"):
        Module(_TEXT.replace('"known_trip_count":{"n":"5"}', ""))


def test_a_compiled_scan_of_sharded_products_is_counted_exactly() -> None:
    """Eight layers of [16, 32]·[32, 32] over 2 × 4 devices, weights gathered layer by layer."""
    mesh = make_mesh(MeshConfig(2, 4, 1), jax.devices()[:8])
    rows = NamedSharding(mesh, PartitionSpec(("data", "fsdp")))
    split = NamedSharding(mesh, PartitionSpec(None, "fsdp"))

    def apply(x: jax.Array, w: jax.Array) -> jax.Array:
        def layer(x: jax.Array, w: jax.Array) -> tuple[jax.Array, None]:
            return jax.lax.with_sharding_constraint(jnp.tanh(x @ w), rows), None

        return jax.lax.scan(layer, x, w)[0]

    x = jax.ShapeDtypeStruct((16, 32), jnp.float32)
    w = jax.ShapeDtypeStruct((8, 32, 32), jnp.float32)
    compiled = jax.jit(apply, in_shardings=(rows, split), out_shardings=rows).lower(x, w).compile()
    module = Module(compiled.as_text() or "")
    assert sum(k.runs * k.flops for k in module.kernels) == 8 * 2 * 2 * 32 * 32
    gathers = [c for c in module.collectives if c.kind == "all-gather"]
    assert sum(c.runs * c.payload for c in gathers) == 8 * 32 * 32 * 4
    assert {c.axes(dict(mesh.shape)) for c in gathers} == {"fsdp"}


def test_rings_send_what_the_literature_says() -> None:
    groups = np.arange(8)[None]
    sent = {k: Collective(k, "", 1.0, 80.0, groups).sent for k in ("all-reduce", "all-gather")}
    assert sent == {"all-reduce": 140, "all-gather": 70}
