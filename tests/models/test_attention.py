"""Linear-cost attentions against the quadratic formulas they stand for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusionjax.models.attention import linear_attention, sliding_window_attention


def inputs(n: int, seed: int = 0) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    q, k, v = rng.normal(size=(3, 2, n, 3, 4)).astype(np.float32)
    return q, k, v, rng.random((2, n)) < 0.7


@settings(deadline=None, max_examples=15)
@given(n=st.integers(1, 40), window=st.integers(1, 12), seed=st.integers(0, 99))
def test_sliding_window_is_dense_attention_with_a_band_mask(n: int, window: int, seed: int) -> None:
    q, k, v, mask = inputs(n, seed)
    attend = jax.jit(sliding_window_attention, static_argnums=4)
    got = np.asarray(attend(q, k, v, mask, window))
    i = np.arange(n)
    sees = (np.abs(i[:, None] - i) < window) & mask[:, None, :]
    if n <= window:
        sees = np.broadcast_to(mask[:, None, :], (2, n, n))
    score = np.einsum("bihd,bjhd->bhij", q, k) / 2.0
    weight = np.where(sees[:, None], np.exp(score - score.max(-1, keepdims=True)), 0)
    total = weight.sum(-1, keepdims=True)
    weight = np.divide(weight, total, where=total > 0, out=np.zeros_like(weight))
    np.testing.assert_allclose(got, np.einsum("bhij,bjhd->bihd", weight, v), atol=2e-5)


def test_linear_attention_is_the_normalised_kernel_sum() -> None:
    q, k, v, mask = inputs(17)

    def feature(x: np.ndarray) -> np.ndarray:
        return np.where(x > 0, x + 1, np.exp(x))

    weight = np.einsum("bihd,bjhd->bhij", feature(q), feature(k))
    weight = weight * mask[:, None, None, :]
    expected = np.einsum("bhij,bjhd->bihd", weight / weight.sum(-1, keepdims=True), v)
    np.testing.assert_allclose(jax.jit(linear_attention)(q, k, v, mask), expected, atol=1e-5)


@pytest.mark.parametrize("form", ["window", "linear"])
def test_nothing_real_to_see_gives_zeros_and_finite_gradients(form: str) -> None:
    q, k, v, _ = inputs(10)
    nothing = jnp.zeros((2, 10), bool)

    def total(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
        out = (
            sliding_window_attention(q, k, v, nothing, 3)
            if form == "window"
            else linear_attention(q, k, v, nothing)
        )
        return (out**2).sum()

    value, grads = jax.jit(jax.value_and_grad(total, (0, 1, 2)))(q, k, v)
    assert value == 0
    assert all(np.isfinite(g).all() for g in grads)


@pytest.mark.parametrize("form", ["window", "linear"])
def test_cost_grows_linearly_with_length(form: str) -> None:
    def flops(n: int) -> float:
        shape = jax.ShapeDtypeStruct((1, n, 2, 8), jnp.float32)
        mask = jax.ShapeDtypeStruct((1, n), bool)
        f = (
            (lambda q, k, v, m: sliding_window_attention(q, k, v, m, 16))
            if form == "window"
            else linear_attention
        )
        return jax.jit(f).lower(shape, shape, shape, mask).cost_analysis()["flops"]

    assert flops(4096) / flops(1024) < 4.1
