"""The loss by hand, and what masks and weights do to it."""

import functools
from pathlib import Path

import jax
import numpy as np
from conftest import small

from fusionjax.configs import demo
from fusionjax.distill.labels import hard
from fusionjax.train.loss import label_counts, row_losses
from fusionjax.types import Batch, Outcome, Targets

f32 = functools.partial(np.array, dtype=np.float32)

CONFIG = small(
    demo.get_config(),
    Path(),
    targets__returns__horizons=(4,),
    targets__returns__quantiles=(0.1, 0.9),
)


def example() -> tuple[Outcome, Batch]:
    on = np.ones((2, 1), bool)
    targets = Targets(
        {
            "direction": np.array([[1], [0]], np.int32),
            "returns": f32([[0.04], [0.0]]),
            "volatility": f32([[-4.0], [-5.0]]),
        },
        {"direction": on, "returns": on, "volatility": np.array([[True], [False]])},
    )
    outcome = {
        "direction": np.log(f32([[[0.25, 0.75]], [[0.5, 0.5]]])),
        "returns": f32([[[-0.02, 0.02]], [[-0.02, 0.02]]]),
        "volatility": f32([[-4.5], [0.0]]),
    }
    batch = Batch(
        inputs={},
        present={"a": np.ones(2, bool), "b": np.array([True, False])},
        targets=targets,
        log_scale=np.log(f32([0.01, 0.01])),
        weight=f32([1, 1]),
        sample_id=np.arange(2, dtype=np.int32),
    )
    return outcome, batch


@jax.jit
def found(outcome: Outcome, batch: Batch, soft: np.ndarray | None = None) -> dict:
    labels = hard(batch.targets, CONFIG.targets)
    if soft is not None:
        labels |= {"direction": soft}
    return row_losses(outcome, labels, batch, CONFIG.targets)


def test_by_hand() -> None:
    outcome, batch = example()
    losses = found(outcome, batch)
    np.testing.assert_allclose(losses["direction"], [-np.log(0.75), -np.log(0.5)], rtol=1e-6)
    np.testing.assert_allclose(losses["volatility"], [0.25, 0], rtol=1e-6)  # the second is masked
    # Unit 0.01·√4 = 0.02. First: errors 3 and 1, pinball 0.3 and 0.9; second: 1 and -1, 0.1 each.
    np.testing.assert_allclose(losses["returns"], [(0.3 + 0.9) / 2, (0.1 + 0.1) / 2], rtol=1e-5)
    assert counts(batch) == {"direction": 2, "returns": 2, "volatility": 1}


def counts(batch: Batch) -> dict[str, float]:
    return {k: float(v) for k, v in _counts(batch).items()}


_counts = jax.jit(label_counts)


def test_soft_labels_by_hand() -> None:
    outcome, batch = example()
    soft = f32([[[0.2, 0.8]], [[0.5, 0.5]]])
    np.testing.assert_allclose(
        found(outcome, batch, soft)["direction"],
        [-0.2 * np.log(0.25) - 0.8 * np.log(0.75), -np.log(0.5)],
        rtol=1e-6,
    )


def test_horizons_add_up() -> None:
    """Two horizons of direction, the second unknown in the first sample."""
    outcome, batch = example()
    t = batch.targets
    two = {"direction": np.array([[1, 0], [0, 0]], np.int32)}
    known = {"direction": np.array([[True, False], [True, True]])}
    wide = batch.replace(targets=Targets(t.label | two, t.mask | known))
    said = outcome | {"direction": np.repeat(outcome["direction"], 2, 1)}
    losses = found(said, wide)
    np.testing.assert_allclose(losses["direction"], [-np.log(0.75), -2 * np.log(0.5)], rtol=1e-6)
    assert counts(wide)["direction"] == 3


def test_padding_rows_do_not_count() -> None:
    _, batch = example()
    assert counts(batch.replace(weight=f32([0, 1]))) == {
        "direction": 1,
        "returns": 1,
        "volatility": 0,
    }
