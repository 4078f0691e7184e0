"""The loss by hand, and what masks and weights do to it."""

import dataclasses
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from conftest import small

from configs import demo
from fusionjax.distill.labels import hard
from fusionjax.train.loss import label_counts, row_losses
from fusionjax.types import Batch, Outcome, Targets

CONFIG = small(demo.get_config(), Path(), targets__returns=(4,), targets__quantiles=(0.1, 0.9))


def example() -> tuple[Outcome, Batch]:
    on = jnp.ones((2, 1), bool)
    targets = Targets(
        jnp.array([[1], [0]]),
        on,
        jnp.array([[0.04], [0.0]]),
        on,
        jnp.array([[-4.0], [-5.0]]),
        jnp.array([[True], [False]]),
    )
    outcome = Outcome(
        jnp.log(jnp.array([[[0.25, 0.75]], [[0.5, 0.5]]])),
        jnp.array([[[-0.02, 0.02]], [[-0.02, 0.02]]]),
        jnp.array([[-4.5], [0.0]]),
    )
    batch = Batch(
        inputs={},
        present={"a": jnp.ones(2, bool), "b": jnp.array([True, False])},
        targets=targets,
        log_scale=jnp.log(jnp.array([0.01, 0.01])),
        weight=jnp.ones(2),
        sample_id=jnp.arange(2),
    )
    return outcome, batch


def test_by_hand() -> None:
    outcome, batch = example()
    losses = row_losses(outcome, hard(batch.targets, 2), batch, CONFIG)
    np.testing.assert_allclose(losses["direction"], [-np.log(0.75), -np.log(0.5)], rtol=1e-6)
    np.testing.assert_allclose(losses["volatility"], [0.25, 0], rtol=1e-6)  # the second is masked
    # Unit 0.01·√4 = 0.02. First: errors 3 and 1, pinball 0.3 and 0.9; second: 1 and -1, 0.1 each.
    np.testing.assert_allclose(losses["returns"], [(0.3 + 0.9) / 2, (0.1 + 0.1) / 2], rtol=1e-5)
    assert counts(batch) == {"direction": 2, "returns": 2, "volatility": 1}


def counts(batch: Batch) -> dict[str, float]:
    return {k: float(v) for k, v in label_counts(batch).items()}


def test_soft_labels_by_hand() -> None:
    outcome, batch = example()
    labels = hard(batch.targets, 2)
    soft = dataclasses.replace(labels, direction=jnp.array([[[0.2, 0.8]], [[0.5, 0.5]]]))
    np.testing.assert_allclose(
        row_losses(outcome, soft, batch, CONFIG)["direction"],
        [-0.2 * np.log(0.25) - 0.8 * np.log(0.75), -np.log(0.5)],
        rtol=1e-6,
    )


def test_horizons_add_up() -> None:
    """Two horizons of direction, the second unknown in the first sample."""
    outcome, batch = example()
    t = batch.targets.replace(
        direction=jnp.array([[1, 0], [0, 0]]),
        direction_mask=jnp.array([[True, False], [True, True]]),
    )
    wide = batch.replace(targets=t)
    said = outcome.replace(direction_logits=jnp.repeat(outcome.direction_logits, 2, 1))
    losses = row_losses(said, hard(t, 2), wide, CONFIG)
    np.testing.assert_allclose(losses["direction"], [-np.log(0.75), -2 * np.log(0.5)], rtol=1e-6)
    assert counts(wide)["direction"] == 3


def test_padding_rows_do_not_count() -> None:
    _, batch = example()
    assert counts(batch.replace(weight=jnp.array([0.0, 1.0]))) == {
        "direction": 1,
        "returns": 1,
        "volatility": 0,
    }
