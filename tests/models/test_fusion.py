"""Fusion by hand: who counts, how much, and what happens when nobody is there."""

import dataclasses
import functools
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from conftest import TINY, seeing, small

from fusionjax.config import Config, ModelConfig
from fusionjax.models.forecaster import pool
from fusionjax.models.heads import output_size
from fusionjax.registry import FUSIONS
from fusionjax.types import Encoded, Fused, Tokens

# Fusions with experts.
LATE = ("distilled", "late", "confidence", "ogm_ge", "qmf", "pdf", "mmpareto", "arl")


def config(name: str, **changes: object) -> Config:
    return small(seeing(TINY), Path(), model__width=8, model__fusion=name, **changes)


def normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def tokens() -> dict[str, Tokens]:
    mask = np.array([[True, True, False], [True, False, False], [True, True, True]])
    loud = np.array([0.5, 1.5, 2.5], np.float32)
    return {
        "a": Tokens(normal(0, 3, 3, 8), mask, loud),
        "b": Tokens(normal(1, 3, 3, 8), mask, -loud),
    }


PRESENT = {"a": np.array([True, True, False]), "b": np.array([True, False, False])}
# Four samples of three modalities: all, the first two, the last, none.
SHOWN = np.array([[1, 1, 1], [1, 1, 0], [0, 0, 1], [0, 0, 0]], bool)


def encoded(present: np.ndarray = SHOWN, absent: float = 0.0) -> Encoded:
    """Vectors that are ``absent`` where a modality is not there."""
    rows, count = present.shape
    return Encoded(
        np.where(present[..., None], normal(0, rows, count, 8), np.float32(absent)),
        present,
        np.where(present, normal(1, rows, count), np.float32(absent)),
        np.full(rows, np.log(0.01), np.float32),
    )


@functools.partial(jax.jit, static_argnums=0)
def _init(model: ModelConfig, e: Encoded) -> dict[str, Any]:
    c = dataclasses.replace(config(model.fusion), model=model)
    return FUSIONS[c.model.fusion](c, True).init(jax.random.key(2), e)["params"]


@functools.partial(jax.jit, static_argnums=0)
def _apply(model: ModelConfig, params: dict[str, Any], e: Encoded) -> Fused:
    c = dataclasses.replace(config(model.fusion), model=model)
    return FUSIONS[c.model.fusion](c, True).apply({"params": params}, e)


def start(c: Config) -> dict[str, Any]:
    return jax.device_get(_init(c.model, encoded()))


def moved(params: dict[str, Any]) -> dict[str, Any]:
    """Parameters away from their start, where gates are flat and heads say nothing."""
    leaves, tree = jax.tree.flatten(params)
    away = jax.tree.unflatten(tree, [x + 0.5 * normal(i, *x.shape) for i, x in enumerate(leaves)])
    return away | {k: params[k] for k in ("kept", "clue_std", "presence") if k in params}


def run(c: Config, params: dict[str, Any], e: Encoded) -> Fused:
    """What the fusion makes of it, as numpy arrays."""
    return jax.device_get(_apply(c.model, params, e))


NAN = np.float32(np.nan)
pooled = jax.jit(pool)


def test_pool_takes_the_mean_of_real_tokens_only() -> None:
    h, present, loud = pooled(tokens(), PRESENT)
    np.testing.assert_allclose(h[0, 0], tokens()["a"].x[0, :2].mean(0), rtol=1e-6)
    np.testing.assert_allclose(h[1, 0], tokens()["a"].x[1, 0], rtol=1e-6)
    assert not h[2].any()
    assert present.tolist() == [[True, True], [True, False], [False, False]]
    assert loud.tolist() == [[0.5, -0.5], [1.5, 0], [0, 0]]


def test_pool_is_not_poisoned_by_what_is_not_real() -> None:
    t = tokens()
    t["b"] = t["b"].replace(
        x=np.where((t["b"].mask & PRESENT["b"][:, None])[..., None], t["b"].x, NAN),
        energy=np.where(PRESENT["b"], t["b"].energy, NAN),
    )
    for got, expected in zip(pooled(t, PRESENT), pooled(tokens(), PRESENT), strict=True):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("name", [*FUSIONS])
@pytest.mark.parametrize("absent", [0.0, 100.0, float("nan")])
def test_an_absent_modality_changes_nothing_whatever_it_holds(name: str, absent: float) -> None:
    c = config(name)
    params = moved(start(c))
    quiet, loud = run(c, params, encoded()), run(c, params, encoded(absent=absent))
    np.testing.assert_array_equal(quiet.outputs, loud.outputs)
    np.testing.assert_array_equal(quiet.modality, loud.modality)
    assert np.isfinite(quiet.outputs).all()
    assert not quiet.modality[~SHOWN].any()
    assert quiet.outputs.shape == (4, output_size(c.targets))


@pytest.mark.parametrize("name", [*FUSIONS])
def test_a_present_modality_changes_what_is_said(name: str) -> None:
    c = config(name)
    params, e = moved(start(c)), encoded()
    here, other = run(c, params, e), run(c, params, e.replace(h=-e.h))
    assert (here.outputs[:3] != other.outputs[:3]).any(-1).all()


@pytest.mark.parametrize("name", [*FUSIONS])
def test_with_nothing_present_every_sample_gets_the_same_outputs(name: str) -> None:
    c = config(name)
    nobody = np.zeros((4, 3), bool)
    fused = run(c, moved(start(c)), encoded(nobody, absent=float("nan"))).outputs
    assert np.isfinite(fused).all()
    np.testing.assert_array_equal(fused, np.broadcast_to(fused[:1], fused.shape))
    # ... and it is what a sample of a mixed batch with nothing present gets.
    np.testing.assert_allclose(run(c, moved(start(c)), encoded()).outputs[3], fused[0], atol=1e-6)


@pytest.mark.parametrize("name", [*FUSIONS])
def test_a_batch_of_one_says_what_a_larger_batch_says(name: str) -> None:
    c = config(name)
    params, e = moved(start(c)), encoded()
    whole = run(c, params, e)
    for i in range(4):
        alone = run(c, params, jax.tree.map(lambda x, i=i: x[i : i + 1], e))
        np.testing.assert_allclose(alone.outputs[0], whole.outputs[i], atol=1e-5)
        np.testing.assert_allclose(alone.modality[0], whole.modality[i], atol=1e-6)


@pytest.mark.parametrize("name", [*FUSIONS])
def test_experts_are_there_for_the_fusions_that_ask(name: str) -> None:
    c = config(name)
    fused = run(c, moved(start(c)), encoded())
    assert (fused.experts is not None) == (name in LATE)
    assert (fused.quality is not None) == (name in ("distilled", "pdf"))
    if fused.experts is not None:
        assert not fused.experts[~SHOWN].any()


@pytest.mark.parametrize("name", ["equal", "concat", "late", "ogm_ge", "mmpareto", "arl"])
def test_plain_fusions_give_one_to_the_present(name: str) -> None:
    c = config(name)
    assert run(c, moved(start(c)), encoded()).modality.tolist() == SHOWN.astype(float).tolist()


@pytest.mark.parametrize("name", ["softmax_gate", "attention_gate", "pdf"])
def test_gates_share_out_the_number_present(name: str) -> None:
    c = config(name)
    w = run(c, moved(start(c)), encoded()).modality
    np.testing.assert_allclose(w.sum(1), [3, 2, 1, 0], atol=1e-6)
    assert w[2].tolist() == [0, 0, 1]
    assert abs(w[1, 0] - w[1, 1]) > 1e-3


def experts_of(fused: Fused) -> np.ndarray:
    assert fused.experts is not None
    return fused.experts


def test_late_and_on_the_fly_are_mean_and_sum_of_the_experts() -> None:
    for name, by in (
        ("late", [3, 2, 1, 1]),
        ("ogm_ge", [1, 1, 1, 1]),
        ("arl", [1, 1, 1, 1]),
    ):
        c = config(name)
        fused = run(c, moved(start(c)), encoded())
        np.testing.assert_allclose(
            fused.outputs, experts_of(fused).sum(1) / np.array(by)[:, None], atol=1e-6
        )


def one_output(params: dict[str, Any]) -> np.ndarray:
    """Biases by which the experts say 2, 0 and -2 first, and nothing else."""
    bias = np.zeros_like(params["expert_bias"])
    bias[:, 0] = [2, 0, -2]
    return bias


def test_confidence_takes_the_sure_and_all_where_none_is() -> None:
    c = config("confidence", model__confidence_threshold=0.7)
    params = start(c)
    # Modality m says the logits (bias[m], 0) whatever it sees: probabilities 0.88, 0.5 and 0.12.
    bias = one_output(params)
    fused = run(c, params | {"expert_bias": bias}, encoded())
    assert fused.modality.tolist() == [[1, 0, 1], [1, 0, 0], [0, 0, 1], [0, 0, 0]]
    np.testing.assert_allclose(fused.outputs[:, 0], [0, 2, -2, 0], atol=1e-6)
    unsure = run(c, params | {"expert_bias": bias / 4}, encoded())  # at most 0.62
    assert unsure.modality.tolist() == SHOWN.astype(float).tolist()


def test_quality_is_the_energy_score_of_an_expert() -> None:
    c = config("qmf")
    params = start(c)
    fused = run(c, params | {"expert_bias": one_output(params)}, encoded())
    weight = np.log1p(np.exp([2.0, 0.0, -2.0]) + 1.0)  # softplus(log Σ exp) = log(1 + Σ exp)
    np.testing.assert_allclose(fused.modality[0], weight, rtol=1e-6)
    np.testing.assert_allclose(fused.outputs[0, 0], 2 * weight[0] - 2 * weight[2], rtol=1e-6)


def test_distilled_starts_as_plain_fusion() -> None:
    c = config("distilled")
    params = start(c)
    fused = run(c, params, encoded())
    assert fused.modality.tolist() == SHOWN.astype(float).tolist(), "each exactly 1"
    assert (fused.feature == 1).all()
    assert not fused.outputs.any(), "and every head at its start"
    # The late path by hand: experts over the number of modalities that samples have on average.
    away = moved(params) | {"weights": params["weights"], "readout": params["readout"]}
    away = away | {"presence": np.array([1.0, 1.0, 0.5], np.float32)}
    fused = run(c, away, encoded())
    np.testing.assert_allclose(fused.outputs, experts_of(fused).sum(1) / 2.5, atol=1e-6)


def weights_of(params: dict[str, Any], **values: object) -> dict[str, Any]:
    phi = params["weights"]
    new = {k: np.asarray(v, np.float32) for k, v in values.items()}
    assert all(new[k].shape == phi[k].shape for k in new)
    return params | {"weights": phi | new}


def test_distilled_weights_by_hand() -> None:
    """2σ(ln 3) = 1.5; a feature one deviation above its mean adds the quality head's ln 3."""
    c = config("distilled")
    params, e = start(c), encoded()
    three = np.log(3.0)
    fused = run(c, weights_of(params, modality=[three, 0, -three]), e)
    np.testing.assert_allclose(fused.modality[0], [1.5, 1, 0.5], rtol=1e-6)
    assert fused.modality[3].tolist() == [0, 0, 0]
    first = np.zeros((3, 3), np.float32)
    first[0, 0] = 1
    quality = (e.energy[0, 0] - 2) * first
    seen = params | {"clue_mean": quality, "clue_std": np.full((3, 3), 2, np.float32)}
    quality_head = three * first
    fused = run(c, weights_of(seen, rater=quality_head), e)
    np.testing.assert_allclose(fused.modality[0], [1.5, 1, 1], rtol=1e-6)


def test_a_feature_weight_scales_what_both_paths_read() -> None:
    c = config("distilled")
    params, e = moved(start(c)), encoded()
    ones = np.ones((3, 8), np.float32)
    half = ones.copy()
    half[1, 2] = 0.5
    params = params | {"feature": ones}
    fused = run(c, params | {"feature": half}, e)
    assert fused.feature[1, 2] == 0.5
    expected = run(c, params, dataclasses.replace(e, gain=np.broadcast_to(half, e.h.shape)))
    np.testing.assert_allclose(fused.outputs, expected.outputs, atol=1e-6)
    np.testing.assert_allclose(fused.experts, expected.experts, atol=1e-6)
    assert np.abs(fused.outputs - run(c, params, e).outputs).max() > 1e-3


def test_distilled_scales_its_joint_path() -> None:
    c = config("distilled")
    params, e = moved(start(c)), encoded()
    params = params | {"weights": start(c)["weights"]}
    late = run(c, weights_of(params, joint=-50.0), e).outputs
    joint = run(c, params, e).outputs - late
    weighted = run(c, weights_of(params, joint=np.log(3)), e).outputs
    np.testing.assert_allclose(weighted, 1.5 * joint + late, atol=1e-5)
    base = params["readout"]["bias"]
    np.testing.assert_allclose(weighted[3], 1.5 * base, atol=1e-6)  # nobody there: the base rate


@pytest.mark.parametrize("dropped", [0, 1, 2])
@pytest.mark.parametrize("taught", [False, True], ids=["at its start", "taught"])
def test_a_dropped_modality_counts_as_absent_exactly(dropped: int, taught: bool) -> None:
    """For outputs and weights; a taught quality head must not read what was dropped."""
    c = config("distilled")
    params = moved(start(c))
    if not taught:
        params = params | {"weights": start(c)["weights"]}
    others = np.arange(3) != dropped
    without = run(c, params | {"kept": others.astype(np.float32)}, encoded())
    absent = SHOWN & others[None]
    expected = run(c, params, dataclasses.replace(encoded(), present=absent))
    np.testing.assert_array_equal(without.modality, expected.modality)
    np.testing.assert_array_equal(without.outputs, expected.outputs)


def test_training_rows_reach_experts_but_not_through_the_late_path() -> None:
    """The late path reads experts as they are: only their own loss teaches them."""
    c = config("distilled")
    params = moved(start(c))
    rngs = {"dropout": jax.random.key(4)}

    def trained(p: dict[str, Any], e: Encoded) -> jax.Array:
        return (
            FUSIONS[c.model.fusion](c, False).apply({"params": p}, e, rngs=rngs).outputs ** 2
        ).sum()

    grads = jax.device_get(jax.jit(jax.grad(trained))(params, encoded()))
    assert not grads["expert_kernel"].any()
    assert grads["mlp_in"]["kernel"].any()
    assert all(g.any() for g in jax.tree.leaves(grads["weights"]))
