"""Item 5: windowed attention, its error and its time, beside what JAX and XLA offer instead."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fusionjax.config import MeshConfig
from fusionjax.models.attention import sliding_window_attention
from fusionjax.parallel.mesh import make_mesh
from gpu_items.bench import NEEDS_GPU, Bench, on_gpu, timed

EXPONENT, ERROR = 1.1, 1e-2
CAUSAL = "cuDNN, local_window_size, causal: half the pairs"
_DENSE = 4096  # most tokens for which all pairs are computed

Attend = Callable[[Any, Any, Any], Any]


def measure(bench: Bench) -> None:
    """h100_1's heads at four lengths: forward and backward."""
    toy = bench.rehearse
    lengths = (48, 96, 192) if toy else (512, 1500, 4096, 16384)
    batch, heads, wide, window = (1, 2, 16, 16) if toy else (8, 8, 128, 128)
    forms = _forms(window)
    spent: dict[str, list[float]] = {name: [] for name in forms}
    with jax.set_mesh(make_mesh(MeshConfig(1, 1, 1), jax.devices()[:1])):
        for tokens in lengths:
            shape = (batch, tokens, heads, wide)
            q, k, v, g = jax.random.normal(jax.random.key(tokens), (4, *shape), jnp.bfloat16)
            _error(bench, forms["ours, blocked"], (q, k, v), window)
            for name, form in forms.items():
                if name.startswith("dense") and tokens > _DENSE:
                    continue
                both = jax.jit(_with_gradients(form))
                seconds = timed(partial(both, q, k, v, g), bench.repeats(20), warm=3)
                millis = [1e3 * s for s in seconds]
                spent[name].append(bench.figure(f"{name}, {tokens} tokens", millis, "ms"))
        _kernels(bench, forms["ours, blocked"], (q, k, v))
    if not on_gpu():
        bench.missing(CAUSAL, NEEDS_GPU)
    slope = np.polyfit(np.log(lengths), np.log(spent["ours, blocked"]), 1)[0]
    bench.figure("ours: exponent of the cost in tokens", float(slope), "", at_most=EXPONENT)


def _forms(window: int) -> dict[str, Attend]:
    """What is compared; all but ``CAUSAL`` compute the same function of unmasked tokens."""

    def ours(q: Any, k: Any, v: Any) -> Any:
        return sliding_window_attention(q, k, v, jnp.ones(q.shape[:2], bool), window)

    def by_xla(q: Any, k: Any, v: Any) -> Any:
        # Without a mesh the package does not know of the GPU and leaves it to XLA.
        with jax.sharding.use_abstract_mesh(jax.sharding.AbstractMesh((), ())):
            return ours(q, k, v)

    local = (window - 1, window - 1)
    forms: dict[str, Attend] = {"ours, blocked": ours, "the same by XLA": by_xla}
    forms["dense, by XLA"] = partial(_jax_own, implementation="xla", local_window_size=local)
    if on_gpu():
        # cuDNN has no window to the right (JAX 0.11.2 refuses one), so this is half of the work.
        before = {"local_window_size": (window - 1, 0), "is_causal": True}
        forms[CAUSAL] = partial(_jax_own, implementation="cudnn", **before)
    return forms


def _jax_own(q: Any, k: Any, v: Any, **how: Any) -> Any:
    with jax.numpy_dtype_promotion("standard"):
        return jax.nn.dot_product_attention(q, k, v, **how)


def _with_gradients(form: Attend) -> Callable[..., Any]:
    def both(q: Any, k: Any, v: Any, g: Any) -> Any:
        out, back = jax.vjp(form, q, k, v)
        return out, back(g)

    return both


def _error(bench: Bench, form: Attend, inputs: tuple[Any, ...], window: int) -> None:
    """Of the output, against the same in float32 throughout."""
    exact = [x.astype(jnp.float32) for x in inputs]
    tokens = inputs[0].shape[1]
    with jax.default_matmul_precision("highest"):
        expected = np.asarray(jax.jit(_forms(window)["the same by XLA"])(*exact), np.float64)
    actual = np.asarray(jax.jit(form)(*inputs).astype(jnp.float32), np.float64)
    error = float(np.linalg.norm(actual - expected) / np.linalg.norm(expected))
    bench.figure(f"ours: error in bfloat16, {tokens} tokens", error, "of the norm", at_most=ERROR)
    bench.claim(f"ours: outputs are finite, {tokens} tokens", bool(np.isfinite(actual).all()))


def _kernels(bench: Bench, form: Attend, inputs: tuple[Any, ...]) -> None:
    if not on_gpu():
        bench.missing("cuDNN's kernels in the compiled program", NEEDS_GPU)
        return
    text = jax.jit(form).lower(*inputs).compile().as_text() or ""
    bench.claim("cuDNN's kernels are in the compiled program", "fmha" in text)
