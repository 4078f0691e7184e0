"""Baseline fusions after 2023, each against its paper's rule by hand."""

import dataclasses
import functools
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from conftest import TINY, seeing, small

from fusionjax.config import Config
from fusionjax.models.fusions.arl import coefficients
from fusionjax.models.fusions.mmpareto import common_direction
from fusionjax.registry import FUSIONS
from fusionjax.types import Batch, Encoded, Fused, Targets

SHOWN = np.array([[1, 1, 1], [1, 1, 0], [0, 0, 1]], bool)
ENCODED = Encoded(
    np.random.default_rng(0).normal(size=(3, 3, 8)).astype(np.float32),
    SHOWN,
    np.zeros((3, 3), np.float32),
    np.zeros(3, np.float32),
)


def config(name: str, **changes: object) -> Config:
    return small(seeing(TINY), Path(), model__width=8, model__fusion=name, **changes)


def start(c: Config) -> dict[str, Any]:
    init = jax.jit(FUSIONS[c.model.fusion](c, True).init)
    return jax.device_get(init(jax.random.key(0), ENCODED)["params"])  # type: ignore[no-any-return]


def run(c: Config, params: Any, *, training: bool = False) -> Fused:
    apply = jax.jit(FUSIONS[c.model.fusion](c, not training).apply)
    rngs = {"dropout": jax.random.key(1)}
    return jax.device_get(apply({"params": params}, ENCODED, rngs=rngs))  # type: ignore[no-any-return]


def labelled(up: list[int], known: list[bool]) -> Batch:
    names, rows = ("a", "b", "c"), len(up)
    return Batch(
        inputs=dict.fromkeys(names, 0),
        present={name: SHOWN[:, i] for i, name in enumerate(names)},
        targets=Targets(
            {"direction": np.array(up, np.int32)[:, None]}, {"direction": np.array(known)[:, None]}
        ),
        log_scale=np.zeros(rows, np.float32),
        weight=np.ones(rows, np.float32),
        sample_id=np.arange(rows, dtype=np.int32),
    )


def believing(params: Any, odds: list[float], logits: list[float]) -> Any:
    """Predicted log odds and experts' first logits that depend on the modality alone."""
    bias = np.zeros_like(params["expert_bias"])
    bias[:, 0] = logits
    return params | {"expert_bias": bias, "belief_bias": np.array(odds, np.float32)}


def sigmoid(x: Any) -> np.ndarray:
    return 1 / (1 + np.exp(-np.asarray(x, np.float64)))


def softmax(x: np.ndarray) -> np.ndarray:
    return np.exp(x) / np.exp(x).sum()


def test_pdf_weighs_by_mono_and_holo_confidence_while_it_trains() -> None:
    c, odds = config("pdf", model__dropout=0.0), [2.0, 0.0, -1.0]
    fused = run(c, believing(start(c), odds, [1.0, 3.0, -2.0]), training=True)
    p = sigmoid(odds)
    for row, there in ((0, [0, 1, 2]), (1, [0, 1])):
        log = np.log(p[there])
        expected = softmax(p[there] + (log.sum() - log) / log.sum())
        np.testing.assert_allclose(fused.modality[row, there], len(there) * expected, rtol=1e-5)
    assert fused.modality[2].tolist() == [0, 0, 1]
    np.testing.assert_allclose(fused.outputs[1, 0], fused.modality[1, :2] @ [0.5, 1.5], rtol=1e-5)


def test_pdf_calibrates_by_distance_from_uniform_once_trained() -> None:
    """Two modalities as in the paper; the mean of the others where there are three."""
    c, odds, logits = config("pdf"), [2.0, 0.0, -1.0], [0.5, 3.0, -2.0]
    fused = run(c, believing(start(c), odds, logits))
    p, distance = sigmoid(odds), np.abs(sigmoid(logits) - 0.5)
    for row, there in ((0, [0, 1, 2]), (1, [0, 1])):
        log, far = np.log(p[there]), distance[there]
        rest = (far.sum() - far) / (len(there) - 1)
        belief = (p[there] + (log.sum() - log) / log.sum()) * np.minimum(far / rest, 1)
        expected = len(there) * softmax(belief)
        np.testing.assert_allclose(fused.modality[row, there], expected, rtol=1e-5)
    assert far[0] < far[1], "the first of two is marked down"


def test_pdf_learns_the_probability_of_the_true_class_where_the_label_is_known() -> None:
    c, odds, logits = config("pdf"), [2.0, 0.0, -1.0], [0.5, 3.0, -2.0]
    params = believing(start(c), odds, logits)
    rows = labelled([0, 1, 0], [True, True, False])
    alone = np.zeros((3, 3), np.float32)

    def loss(params: Any, e: Encoded, rows: Batch, alone: jax.Array) -> jax.Array:
        fused = FUSIONS["pdf"](c, True).apply({"params": params}, e)
        return FUSIONS["pdf"].extra_loss(fused, alone, rows, c)  # type: ignore[no-any-return]

    value, grads = jax.jit(jax.value_and_grad(loss))(params, ENCODED, rows, alone)
    p, right = sigmoid(odds), sigmoid(logits)
    error = [
        np.mean([abs(p[m] - right[m]), abs(p[m] - (1 - right[m]))][: 2 if m < 2 else 1])
        for m in range(3)
    ]
    np.testing.assert_allclose(value, sum(error), rtol=1e-5)
    assert grads["belief_bias"].any()
    assert not grads["expert_bias"].any(), "the experts are not taught by their own confidence"


def test_gradients_that_agree_are_added() -> None:
    joint, alone = {"w": np.array([3.0, 0.0])}, {"w": np.array([1.0, 2.0])}
    np.testing.assert_allclose(common_direction(joint, alone)["w"], [1.5 * 4, 1.5 * 2], rtol=1e-6)


def test_gradients_in_conflict_meet_in_their_least_convex_combination() -> None:
    """(2, 0) and (-1, 1): (0.2, 0.6) is the nearest to zero, at right angles to their difference;
    it is as long as the sum, (1, 1), times the paper's 1.5."""
    joint = {"first": np.array([2.0]), "second": np.array([[0.0]])}
    alone = {"first": np.array([-1.0]), "second": np.array([[1.0]])}
    made = common_direction(joint, alone)
    size = 1.5 * np.sqrt(2 / 0.4)
    np.testing.assert_allclose(made["first"], [0.2 * size], rtol=1e-6)
    np.testing.assert_allclose(made["second"], [[0.6 * size]], rtol=1e-6)


@pytest.mark.parametrize("zero", ["joint", "alone", "both"])
def test_a_gradient_of_zero_leaves_the_other(zero: str) -> None:
    none, some = {"w": np.zeros(2)}, {"w": np.array([1.0, -2.0])}
    joint = none if zero in ("joint", "both") else some
    alone = none if zero in ("alone", "both") else some
    expected = 0 * some["w"] if zero == "both" else 1.5 * some["w"]
    np.testing.assert_allclose(common_direction(joint, alone)["w"], expected, rtol=1e-6)


def test_only_encoders_take_the_common_direction() -> None:
    joint = {"encoders_a": {"w": np.array([2.0, 0.0])}, "fusion": {"w": np.array([2.0, 0.0])}}
    alone = {"encoders_a": {"w": np.array([-1.0, 1.0])}, "fusion": {"w": np.array([-1.0, 1.0])}}
    made = FUSIONS["mmpareto"].combine_gradients(joint, alone)
    assert made["fusion"]["w"].tolist() == [1, 1]
    np.testing.assert_allclose(
        made["encoders_a"]["w"], common_direction(joint["encoders_a"], alone["encoders_a"])["w"]
    )


def test_arl_coefficients_of_two_are_the_published_ones() -> None:
    """Entropies 1 and 9: a share of .1 counts as .3, so q is .75 and .25; logits 3 and 1."""
    made = jax.jit(coefficients)(np.array([1.0, 9.0]), np.array([3.0, 1.0]))
    q = np.array([1 / 0.3, 1 / 0.9]) / (1 / 0.3 + 1 / 0.9)
    np.testing.assert_allclose(made, softmax(8 * q * [0.25, 0.75]), rtol=1e-6)
    flat = jax.jit(coefficients)(np.zeros(3), np.zeros(3))
    np.testing.assert_allclose(flat, [1 / 3] * 3, rtol=1e-6)


def test_arl_scales_each_encoder_by_one_plus_its_coefficient() -> None:
    c, logits = config("arl"), [0.5, 3.0, -2.0]
    params = start(c)
    bias = np.zeros_like(params["expert_bias"])
    bias[:, 0] = logits
    fused = run(c, params | {"expert_bias": bias})
    grads = {f"encoders_{n}": {"w": np.ones(2)} for n in "abc"} | {"fusion": np.ones(1)}
    rows = labelled([0, 1, 0], [True] * 3)
    edit = jax.jit(lambda g, f, b, k: FUSIONS["arl"].edit_gradients(g, f, b, c, k))
    made = edit(grads, fused, rows, jax.random.key(0))
    p = sigmoid(logits)
    entropy = -(p * np.log(p) + (1 - p) * np.log(1 - p))
    expected = 1 + jax.jit(coefficients)(entropy, np.abs(logits))
    for name, factor in zip("abc", expected, strict=True):
        np.testing.assert_allclose(made[f"encoders_{name}"]["w"], factor, rtol=1e-5)
    assert made["fusion"].tolist() == [1]
    # The loss of the experts counts four times: once in the step, three times here.
    alone = np.ones((3, 3), np.float32)
    for parts in (1, 2):
        split = dataclasses.replace(c, train=dataclasses.replace(c.train, grad_accum_steps=parts))
        extra = jax.jit(functools.partial(FUSIONS["arl"].extra_loss, config=split))
        assert extra(fused, alone, rows) == 9 / parts
