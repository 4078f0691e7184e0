"""The loss by hand, and what masks and weights do to it."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from conftest import small

from configs import demo
from fusionjax.train.loss import hide_modalities, label_counts, loss_terms
from fusionjax.types import Batch, Forecast, Targets

CONFIG = small(demo.get_config(), Path(), targets__returns=(4,), targets__quantiles=(0.1, 0.9))


def example() -> tuple[Forecast, Batch]:
    on = jnp.ones((2, 1), bool)
    targets = Targets(
        jnp.array([[1], [0]]),
        on,
        jnp.array([[0.04], [0.0]]),
        on,
        jnp.array([[-4.0], [-5.0]]),
        jnp.array([[True], [False]]),
    )
    forecast = Forecast(
        jnp.log(jnp.array([[[0.25, 0.75]], [[0.5, 0.5]]])),
        jnp.array([[[-0.02, 0.02]], [[-0.02, 0.02]]]),
        jnp.array([[-4.5], [0.0]]),
        jnp.ones((2, 3)),
        jnp.ones((3, 4)),
    )
    batch = Batch(
        inputs={},
        present={"a": jnp.ones(2, bool), "b": jnp.array([True, False])},
        targets=targets,
        log_scale=jnp.log(jnp.array([0.01, 0.01])),
        weight=jnp.ones(2),
        sample_id=jnp.arange(2),
    )
    return forecast, batch


def test_by_hand() -> None:
    terms = loss_terms(*example(), CONFIG)
    np.testing.assert_allclose(terms["direction"], -np.log(0.75) - np.log(0.5), rtol=1e-6)
    np.testing.assert_allclose(terms["volatility"], 0.25, rtol=1e-6)  # the second is masked
    # Unit 0.01·√4 = 0.02. First: errors 3 and 1, pinball 0.3 and 0.9; second: 1 and -1, 0.1 each.
    np.testing.assert_allclose(terms["returns"], (0.3 + 0.9) / 2 + (0.1 + 0.1) / 2, rtol=1e-5)
    assert {k: float(v) for k, v in label_counts(example()[1]).items()} == {
        "direction": 2,
        "returns": 2,
        "volatility": 1,
    }


def test_padding_rows_weigh_nothing() -> None:
    forecast, batch = example()
    terms = loss_terms(forecast, batch.replace(weight=jnp.array([1.0, 0.0])), CONFIG)
    np.testing.assert_allclose(terms["direction"], -np.log(0.75), rtol=1e-6)


def test_hiding_keeps_at_least_one_modality_and_never_adds_one() -> None:
    _, batch = example()
    for seed in range(20):
        hidden = hide_modalities(batch, 0.9, jax.random.key(seed)).present
        a, b = np.asarray(hidden["a"]), np.asarray(hidden["b"])
        assert (a | b).all()
        assert not b[1]
    assert hide_modalities(batch, 0.0, jax.random.key(0)).present["b"].tolist() == [True, False]
