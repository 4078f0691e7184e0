"""Item 3: step time and MFU beside the plan's estimate, and the two rates that the plan assumes."""

from functools import partial

import jax
import jax.numpy as jnp

from fusionjax.config import Config
from fusionjax.parallel.cluster import H100
from fusionjax.parallel.hlo import Module
from fusionjax.train.plan import estimated_seconds, state_bytes
from gpu_items.bench import Bench, timed
from gpu_items.configs import large, shard
from gpu_items.steps import Steps

_ACTIVATIONS = 25e9  # bytes beside the state that the shard's step is given


def measure(bench: Bench) -> None:
    """Rates first: they are what the estimate stands on."""
    _rates(bench)
    _steps(bench, "h100_1", large(bench))
    _steps(bench, "h100_64", shard(bench, model__layers=_layers(bench)))


def _rates(bench: Bench) -> None:
    """One large product and one large copy, on random numbers."""
    side, length = (256, 1 << 16) if bench.rehearse else (8192, 1 << 30)
    a, b = jax.random.normal(jax.random.key(0), (2, side, side), jnp.bfloat16)
    product = jax.jit(lambda a, b: a @ b)
    rate = [2 * side**3 / s for s in timed(partial(product, a, b), bench.repeats(15), warm=3)]
    bench.figure(f"bfloat16 product of {side} × {side}", [r / 1e12 for r in rate], "TFLOP/s")
    _share(bench, "989 TFLOP/s", [r / H100.flops for r in rate], H100.flops_reached, "")
    x = jax.random.normal(jax.random.key(1), (length,), jnp.bfloat16)
    copy = jax.jit(lambda x: x + jnp.bfloat16(1))
    moved = [2 * x.nbytes / s for s in timed(partial(copy, x), bench.repeats(15), warm=3)]
    bench.figure(f"{x.nbytes / 1e6:,.0f} MB read and written", [m / 1e12 for m in moved], "TB/s")
    shares = [m / H100.memory_rate for m in moved]
    _share(bench, "3.35 TB/s", shares, H100.memory_reached, "; an H200 has 4.8 TB/s")


def _share(bench: Bench, of: str, shares: list[float], assumed: float, note: str) -> None:
    bench.figure(f"share of {of}", shares, "", note=f"the plan assumes {assumed}{note}")


def _steps(bench: Bench, name: str, config: Config) -> None:
    """Ordinary steps and such that move the fusion's weights, beside what the plan's formula makes
    of the same compiled program."""
    title = f"{name}, {config.model.width} wide, {config.model.layers} layers"
    steps = Steps(config)
    bench.figure(f"{title}: compilation", steps.compile_seconds, "s", note="or reading it")
    for with_update, kind in enumerate(("ordinary step", "step that moves the fusion's weights")):
        middle = bench.figure(
            f"{title}: {kind}", steps.timed(bench, with_update=bool(with_update)), "s"
        )
        module = Module(steps.compiled.as_text() or "", costlier=bool(with_update))
        estimate = estimated_seconds(module, H100)
        bench.figure(f"{title}: {kind}, estimated", estimate, "s", note="on an H100")
        bench.figure(f"{title}: {kind}, measured over estimated", middle / estimate, "")
        if not with_update:
            mfu = module.model_flops / H100.flops / middle
            bench.figure(f"{title}: MFU", mfu, "", note="of 989 TFLOP/s")


def _layers(bench: Bench) -> int:
    """As many as fit beside the activations; of the state every layer is as large."""
    memory = jax.devices()[0].memory_stats()
    if bench.rehearse or memory is None:
        return 1
    one, two = (state_bytes(shard(bench, model__layers=n)) for n in (1, 2))
    room = memory["bytes_limit"] - _ACTIVATIONS - one
    return max(1, 1 + int(room / (two - one)))
