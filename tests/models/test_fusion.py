"""Fusion by hand: who counts, how much, and what happens when nobody is there."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import demo
from fusionjax.config import ModelConfig, resolve
from fusionjax.models.fusion import fusion, pool
from fusionjax.types import Fused, Tokens


def config(name: str) -> ModelConfig:
    return (
        resolve(demo.get_config())
        .override({"model.width": 8, "model.heads": 2, "model.fusion": name})
        .model
    )


def tokens() -> dict[str, Tokens]:
    key = jax.random.key(0)
    mask = jnp.array([[True, True, False], [True, False, False], [True, True, True]])
    return {
        "a": Tokens(jax.random.normal(key, (3, 3, 8)), mask),
        "b": Tokens(jax.random.normal(jax.random.key(1), (3, 3, 8)), mask),
    }


PRESENT = {"a": jnp.array([True, True, False]), "b": jnp.array([True, False, False])}


def run(name: str, present: dict = PRESENT, change: float = 0.0) -> Fused:
    module = fusion(config(name), "fusion")
    given = tokens()
    given["b"] = Tokens(given["b"].x + change, given["b"].mask)
    variables = module.init(jax.random.key(2), given, present)
    # Parameters that are not at their start, so that the gate is not flat.
    variables = jax.tree.map(
        lambda x: x + 0.5 * jax.random.normal(jax.random.key(3), x.shape), variables
    )
    return module.apply(variables, given, present)


def test_pool_takes_the_mean_of_real_tokens_only() -> None:
    h, shown = pool(tokens(), PRESENT)
    np.testing.assert_allclose(h[0, 0], tokens()["a"].x[0, :2].mean(0), rtol=1e-6)
    np.testing.assert_allclose(h[1, 0], tokens()["a"].x[1, 0], rtol=1e-6)
    assert not np.asarray(h[2]).any()
    assert shown.tolist() == [[True, True], [True, False], [False, False]]


def test_equal_weight_gives_one_to_the_present() -> None:
    assert run("equal").modality.tolist() == [[1, 1], [1, 0], [0, 0]]


def test_softmax_gate_shares_out_the_number_present() -> None:
    w = np.asarray(run("softmax_gate").modality)
    np.testing.assert_allclose(w.sum(1), [2, 1, 0], atol=1e-6)
    assert w[1].tolist() == [1, 0]
    assert abs(w[0, 0] - w[0, 1]) > 1e-3


@pytest.mark.parametrize("name", ["equal", "softmax_gate"])
def test_an_absent_modality_changes_nothing_whatever_it_holds(name: str) -> None:
    quiet, loud = run(name), run(name, change=100.0)
    np.testing.assert_array_equal(quiet.z[1:], loud.z[1:])
    assert (quiet.z[0] != loud.z[0]).any()
    assert not np.asarray(quiet.z[2]).any(), "nothing present: the heads must say the base rate"
