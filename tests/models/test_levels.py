"""The linear map from levels to volatility: what it reads, whom it reaches, when it is silent."""

import dataclasses
import functools
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from conftest import TINY, seeing, small, tiny_market

from fusionjax.config import Config
from fusionjax.data.samples import unlabelled
from fusionjax.data.windows import Scaler, Windows
from fusionjax.distill.weights import with_fusion
from fusionjax.modalities import series
from fusionjax.models.forecaster import Forecaster
from fusionjax.models.heads import output_slices
from fusionjax.registry import FUSIONS
from fusionjax.train.optim import optimiser
from fusionjax.types import Batch, Encoded, Series

VIX = {"kind": "numeric", "sessions": 4, "patch": 2, "channels": ("vol20",)}


def config(**changes: object) -> Config:
    """Two modalities with levels around one without."""
    modalities = {"price": TINY["price"], "text": TINY["text"], "vix": VIX}
    return small(seeing(modalities), Path(), model__layers=1, **changes)


def batch(c: Config) -> Batch:
    scaler = Scaler({"ret": 0.0, "vol20": -4.6}, {"ret": 0.01, "vol20": 1.0})
    rows = np.array([5, 20, 30, 60])
    windows = Windows(tiny_market(), c, scaler)
    b = windows(rows, unlabelled(c.targets, 4), np.ones(4, np.float32))
    present = {k: x.copy() for k, x in b.present.items()}
    present["vix"][1] = False
    return b.replace(present=present)


def of(fusion: str) -> Config:
    return config(model__fusion=fusion)


@functools.cache
def encoded() -> Encoded:
    """The batch by encoders as they start; every fusion has the same."""
    c = of("equal")

    def run(b: Batch) -> Encoded:
        found: Any = Forecaster(c).init_with_output(jax.random.key(0), b, method="encode")[0]
        return found

    return jax.device_get(jax.jit(run)(batch(c)))


@functools.cache
def fused_by(fusion: str) -> tuple[Any, dict]:
    """The fusion and its map, compiled once, and their parameters: the map alone has moved."""
    model, rng = Forecaster(of(fusion)), np.random.default_rng(1)

    def init(e: Encoded) -> Any:
        return model.init(jax.random.key(0), e, method="fuse")["params"]

    def run(params: dict, e: Encoded) -> Any:
        return model.apply({"params": params}, e, method="fuse")

    params = jax.device_get(jax.jit(init)(encoded()))
    slopes = {k: rng.normal(size=x.shape).astype("f4") for k, x in params["levels"].items()}
    return jax.jit(run), params | {"levels": slopes}


def silent(params: dict, *names: str) -> dict:
    """The map reads nothing of some modalities."""
    slopes = {k: 0 * x if k in names else x for k, x in params["levels"].items()}
    return params | {"levels": slopes}


def test_levels_are_the_pooled_features_with_zeros_and_what_is_known() -> None:
    rng = np.random.default_rng(0)
    mask = rng.random((40, 8)) < 0.4
    mask[0], mask[1] = True, False
    value = Series(np.where(mask[..., None], rng.normal(size=(40, 8, 3)), 0).astype("f4"), mask)
    got = np.asarray(jax.jit(series.levels)(value))
    expected = series.pooled(value, np.ones(len(value.mask), bool))
    features = np.delete(got, [3, 7, 11], 1)
    np.testing.assert_allclose(features, np.nan_to_num(expected), atol=1e-6)
    np.testing.assert_array_equal(got[:, [3, 7, 11]] > 0, np.isfinite(expected[:, ::3]))
    assert not got[1].any(), "an input of which nothing is known contributes nothing"
    assert 0 < got[:, 3].mean() < got[:, 11].mean() < 1


@pytest.mark.parametrize("fusion", [*FUSIONS])
def test_volatility_alone_gets_the_sum_over_the_modalities_used(fusion: str) -> None:
    run, params = fused_by(fusion)
    levels = encoded().levels
    plain, fused = (
        jax.device_get(run(p, encoded())) for p in (silent(params, *params["levels"]), params)
    )
    assert [x.shape[1] for x in levels] == [9, 0, 6]
    assert {*params["levels"]} == {"price_slopes", "vix_slopes"}
    columns = output_slices(of(fusion).targets)["volatility"]
    expected = sum(
        np.where(fused.modality[:, i, None] > 0, levels[i] @ params["levels"][f"{n}_slopes"], 0)
        for i, n in ((0, "price"), (2, "vix"))
    )
    change = fused.outputs - plain.outputs
    np.testing.assert_allclose(change[:, columns], expected, rtol=1e-5, atol=1e-5)
    assert (expected != 0).any()
    assert not np.delete(change, np.r_[columns], 1).any(), "other heads do not read levels"
    assert not levels[2][1].any(), "the second sample has no vix"


def test_a_dropped_modality_contributes_exactly_nothing() -> None:
    run, params = fused_by("distilled")
    mute = silent(params, "vix_slopes")
    for kept, alike in ((0.0, True), (1.0, False)):
        mask = np.array([1, 1, kept], np.float32)
        a, b = (run(with_fusion(p, kept=mask), encoded()).outputs for p in (params, mute))
        assert (a == b).all() == alike


def test_nothing_is_read_where_no_head_or_no_modality_has_levels() -> None:
    c = config()
    mute = dataclasses.replace(c, targets={k: h for k, h in c.targets.items() if k != "volatility"})
    texts = small(seeing({"text": TINY["text"]}), Path(), model__layers=1)
    for each in (mute, texts):
        shapes = jax.eval_shape(Forecaster(each).init, jax.random.key(0), batch_of(each))
        assert "levels" not in shapes["params"]


def batch_of(c: Config) -> Batch:
    b = batch(config())
    names = [n for n in c.modalities if n in b.inputs]
    return b.replace(
        inputs={n: b.inputs[n] for n in names},
        present={n: b.present[n] for n in names},
        targets=unlabelled(c.targets, 4),
    )


@pytest.mark.parametrize("rate", [0.0, 3.0])
def test_the_map_learns_at_its_own_rate(rate: float) -> None:
    """Of two parameters with one gradient, that of the map moves so many times as far."""
    c = config(train__levels_rate=rate, train__weight_decay=0.0)
    tx = optimiser(c.override({"model.fusion": "equal"}))
    params = {"levels": {"price_slopes": np.ones((2, 2), "f4")}, "other": np.ones((2, 2), "f4")}
    grads = jax.tree.map(lambda x: 0.1 * x, params)
    with jax.numpy_dtype_promotion("standard"):
        state = tx.init(params)
        for _ in range(2):  # the first step of the warm-up has rate zero
            updates, state = tx.update(grads, state, params)
    assert updates["other"].all()
    np.testing.assert_allclose(updates["levels"]["price_slopes"], rate * updates["other"])
