"""Two attentions whose cost is linear in the sequence length.

Softmax attention runs as cuDNN's flash kernels on GPUs and as plain XLA operations elsewhere;
``_attend`` is the one place that chooses.
"""

from typing import Literal

import jax
import jax.numpy as jnp
from einops import rearrange
from jax.nn import dot_product_attention
from jaxtyping import Array, Bool, Float


def sliding_window_attention(
    q: Float[Array, "B N H d"],
    k: Float[Array, "B N H d"],
    v: Float[Array, "B N H d"],
    mask: Bool[Array, "B N"],
    window: int,
) -> Float[Array, "B N H d"]:
    """Softmax attention in which token i sees the real tokens j with |i - j| < ``window``.

    Time and memory are O(N·window): the sequence is cut into blocks of ``window`` tokens and each
    block sees itself and its two neighbours (Beltagy et al., Longformer, 2020). A token that sees
    no real token gets zeros.

    Args:
      q, k, v: queries, keys and values of H heads of width d.
      mask: which tokens are real; the others are never attended to.
      window: tokens seen to each side, the token itself included.
    """
    n = q.shape[1]
    if n <= window:
        return _attend(q, k, v, mask[:, None, None, :])
    pad = -n % window
    blocks = (n + pad) // window

    def cut(x: Array) -> Array:
        x = jnp.pad(x, [(0, 0), (0, pad)] + [(0, 0)] * (x.ndim - 2))
        return rearrange(x, "b (c w) ... -> b c w ...", c=blocks)

    def with_neighbours(x: Array) -> Array:
        edges = [(0, 0), (1, 1)] + [(0, 0)] * (x.ndim - 2)
        x = jnp.pad(x, edges)
        return jnp.concatenate([x[:, :-2], x[:, 1:-1], x[:, 2:]], axis=2)

    row = jnp.arange(window)[:, None] + window
    in_window = jnp.abs(row - jnp.arange(3 * window)[None, :]) < window
    sees = in_window[None, None] & with_neighbours(cut(mask))[:, :, None, :]
    fold = "b c w ... -> (b c) w ..."
    out = _attend(
        rearrange(cut(q), fold),
        rearrange(with_neighbours(cut(k)), fold),
        rearrange(with_neighbours(cut(v)), fold),
        rearrange(sees, "b c i j -> (b c) 1 i j"),
    )
    return rearrange(out, "(b c) w h d -> b (c w) h d", c=blocks)[:, :n]


def linear_attention(
    q: Float[Array, "B N H d"],
    k: Float[Array, "B N H d"],
    v: Float[Array, "B N H d"],
    mask: Bool[Array, "B N"],
) -> Float[Array, "B N H d"]:
    """Kernel attention with the feature map elu(x) + 1: every token sees all, at O(N·d²).

    Katharopoulos et al., "Transformers are RNNs" (2020), equation 5 without the causal mask. The
    sums run in float32. Without any real token the result is zero.
    """
    dtype = q.dtype
    q32, k32 = (_positive(x.astype(jnp.float32)) for x in (q, k))
    k32 = k32 * mask[:, :, None, None].astype(jnp.float32)
    summary = jnp.einsum("bnhd,bnhe->bhde", k32, v.astype(jnp.float32))
    weight = jnp.einsum("bnhd,bhd->bnh", q32, k32.sum(1))
    out = jnp.einsum("bnhd,bhde->bnhe", q32, summary)
    return (out / jnp.maximum(weight, 1e-6)[..., None]).astype(dtype)


def _positive(x: Array) -> Array:
    return jnp.where(x > 0, x + 1, jnp.exp(jnp.minimum(x, 0)))


def _attend(q: Array, k: Array, v: Array, sees: Bool[Array, "B 1 _ S"]) -> Array:
    """Attention that is zero, not uniform, where no token is visible. Softmax runs in float32."""
    kernel: Literal["cudnn", "xla"] = "cudnn" if _has_cudnn_kernel(q, k) else "xla"
    with jax.numpy_dtype_promotion("standard"):  # JAX's own code mixes bfloat16 with float32 here
        mask = jnp.broadcast_to(sees, (*sees.shape[:2], q.shape[1], k.shape[1]))
        out = dot_product_attention(q, k, v, mask=mask, implementation=kernel)
    any_seen = rearrange(sees.any(-1), "b 1 n -> b n 1 1")
    return jnp.where(any_seen, out, jnp.zeros((), out.dtype))


def _has_cudnn_kernel(q: Array, k: Array) -> bool:
    """Whether cuDNN has a kernel: half precision, even lengths, head width a multiple of 8 up to
    128, and a current mesh of GPUs."""
    device = jax.sharding.get_abstract_mesh().abstract_device
    half = q.dtype in (jnp.bfloat16, jnp.float16)
    even = q.shape[1] % 2 == k.shape[1] % 2 == q.shape[-1] % 8 == 0 and q.shape[-1] <= 128
    return half and even and device is not None and device.platform == "gpu"
