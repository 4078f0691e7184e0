"""The whole model: any subset of modalities, masked means unseen, outputs on their scales."""

import itertools
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import TINY, seeing, small, tiny_market

from fusionjax.config import Config
from fusionjax.data.samples import unlabelled
from fusionjax.data.windows import Scaler, Windows
from fusionjax.models.encoders.numeric import instance_normalise
from fusionjax.models.forecaster import Forecaster
from fusionjax.types import Batch, Forecast

NAMES = tuple(TINY)


def config(**changes: object) -> Config:
    return small(seeing(TINY), Path(), **changes)


def batch(c: Config) -> Batch:
    windows = Windows(
        tiny_market(), c, Scaler({"ret": 0.0, "vol20": -4.6}, {"ret": 0.01, "vol20": 1.0})
    )
    rows = np.array([5, 20, 30, 60])
    return windows(rows, unlabelled(c.targets, 4), np.ones(4, np.float32))


@pytest.fixture(scope="module")
def trained_like() -> dict:
    """Parameters away from their start, where the heads are zero."""
    c = config()
    params = jax.jit(Forecaster(c).init)(jax.random.key(0), batch(c))["params"]
    rng = np.random.default_rng(1)
    return jax.tree.map(
        lambda x: x + 0.1 * rng.normal(size=x.shape).astype(np.float32), jax.device_get(params)
    )


@pytest.fixture(scope="module")
def forecast(trained_like: dict) -> Callable[[Batch], Forecast]:
    """By those parameters, as numpy arrays."""
    apply = jax.jit(Forecaster(config()).apply)
    return lambda b: jax.device_get(apply({"params": trained_like}, b))


@pytest.mark.parametrize(
    ("fusion", "attention"),
    [("distilled", "window"), ("softmax_gate", "window"), ("distilled", "linear")],
)
def test_any_subset_of_modalities_gives_a_finite_forecast(fusion: str, attention: str) -> None:
    c = config(model__fusion=fusion, model__attention=attention)
    b = batch(c)
    apply = jax.jit(lambda b: Forecaster(c).init_with_output(jax.random.key(0), b)[0])
    for size in range(4):
        for subset in itertools.combinations(NAMES, size):
            here = {n: np.full(4, n in subset) for n in NAMES}
            f = jax.device_get(apply(b.replace(present=here)))
            assert all(np.isfinite(x).all() for x in jax.tree.leaves(f))
            shown = f.modality_weight > 0
            assert (shown == [n in subset for n in NAMES]).all()


def test_masked_values_are_never_seen(forecast: Callable[[Batch], Forecast]) -> None:
    b = batch(config())

    def loud(x: np.ndarray, mask: np.ndarray) -> np.ndarray:
        shown = mask.reshape(mask.shape + (1,) * (x.ndim - mask.ndim))
        return np.where(shown, x, np.asarray(7, x.dtype))

    price, text = b.inputs["price"], b.inputs["text"]
    changed = b.replace(
        inputs=b.inputs
        | {
            "price": price.replace(x=loud(price.x, price.mask)),
            "text": text.replace(
                **{
                    k: loud(getattr(text, k), text.mask)
                    for k in ("embedding", "lexicon", "age", "author")
                }
            ),
        }
    )
    for x, y in zip(jax.tree.leaves(forecast(b)), jax.tree.leaves(forecast(changed)), strict=True):
        np.testing.assert_allclose(x, y, atol=1e-6)


def test_with_nothing_present_every_sample_gets_the_base_rate(
    forecast: Callable[[Batch], Forecast],
) -> None:
    b = batch(config())
    nobody = {n: np.zeros(4, bool) for n in NAMES}
    f = forecast(b.replace(present=nobody, log_scale=b.log_scale + np.arange(4, dtype=np.float32)))
    for x in jax.tree.leaves(f.outcome):
        np.testing.assert_allclose(x, np.broadcast_to(x[:1], x.shape), rtol=1e-6)


def test_quantiles_rise_and_scale_with_the_stocks_volatility(
    forecast: Callable[[Batch], Forecast],
) -> None:
    b = batch(config())
    f = forecast(b).outcome
    assert (np.diff(f["returns"], axis=-1) > 0).all()
    twice = forecast(b.replace(log_scale=b.log_scale + np.float32(np.log(2.0)))).outcome
    np.testing.assert_allclose(twice["returns"], 2 * f["returns"], rtol=1e-5)
    np.testing.assert_allclose(twice["volatility"], f["volatility"] + np.log(2), rtol=1e-5)


def test_half_precision_stays_close_and_keeps_float32_parameters(trained_like: dict) -> None:
    def run(dtype: str) -> tuple[object, object]:
        c = config(model__compute_dtype=dtype)

        def loss(params: dict, b: Batch) -> tuple[jax.Array, tuple[jax.Array, ...]]:
            f = Forecaster(c).apply({"params": params}, b)
            assert {x.dtype for x in jax.tree.leaves(f)} == {jnp.dtype("float32")}
            outputs = f.outcome["direction"], f.outcome["volatility"]
            return sum((x**2).sum() for x in outputs), outputs

        with jax.numpy_dtype_promotion("standard"):  # JAX's attention mixes dtypes going backward
            grads, outputs = jax.device_get(
                jax.jit(jax.grad(loss, has_aux=True))(trained_like, batch(c))
            )
        assert {g.dtype for g in jax.tree.leaves(grads)} == {jnp.dtype("float32")}
        assert not grads["fusion"].pop("kept").any()  # a decision is no number to learn
        return outputs, grads["fusion"]

    for full, half in zip(
        jax.tree.leaves(run("float32")), jax.tree.leaves(run("bfloat16")), strict=True
    ):
        scale = np.abs(full).max()
        np.testing.assert_allclose(half / scale, full / scale, atol=0.05)
        assert (half != full).any()


def test_instance_normalisation_by_hand_and_back() -> None:
    x = np.array([[[1.0], [3.0], [99.0]]], np.float32)
    mask = np.array([[True, True, False]])
    out, mean, std = jax.device_get(jax.jit(instance_normalise)(x, mask))
    np.testing.assert_allclose(mean, [[2.0]])
    np.testing.assert_allclose(std, [[1.0]], rtol=1e-4)
    np.testing.assert_allclose(out[0, :, 0], [-1, 1, 0], rtol=1e-4)
    np.testing.assert_allclose((out * std[:, None] + mean[:, None])[0, :2, 0], [1, 3], rtol=1e-6)


def test_depth_does_not_grow_the_program() -> None:
    def lines(layers: int) -> int:
        c = config(model__layers=layers)
        b = batch(c)
        init = jax.jit(Forecaster(c).init).lower(jax.random.key(0), b)
        apply = jax.jit(Forecaster(c).apply).lower(init.out_info, b)
        return len((init.as_text() + apply.as_text()).splitlines())

    assert lines(8) < 1.05 * lines(2)
