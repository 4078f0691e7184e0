"""Labels by hand: as given, and softened by a teacher."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from fusionjax.distill.labels import hard
from fusionjax.distill.labels import soften as softened
from fusionjax.heads.direction import Direction
from fusionjax.heads.returns import Returns
from fusionjax.heads.volatility import Volatility
from fusionjax.types import Labels, Outcome, Targets


def heads(classes: int = 2) -> dict[str, Any]:
    names = ("down", "up", "far up")[:classes]
    return {
        "direction": Direction((1,), 1.0, names, 0.0, 0.0),
        "returns": Returns((1,), 1.0, (0.1, 0.9)),
        "volatility": Volatility((1,), 1.0),
    }


def labels(classes: int = 2) -> Labels:
    """The first sample is of class 1, the second of class 0."""
    label = {
        "direction": jnp.array([[1], [0]]),
        "returns": jnp.array([[0.02], [-0.01]]),
        "volatility": jnp.array([[-4.0], [-5.0]]),
    }
    mask = {name: jnp.ones((2, 1), bool) for name in label}
    return hard(Targets(label, mask), heads(classes))


def soften(labels: Labels, teacher: Outcome, share: Array) -> Labels:
    return softened(labels, teacher, share, heads())


def teacher(*belief: list[float]) -> Outcome:
    return {
        "direction": jnp.log(jnp.array(belief))[:, None] + 3.0,  # a softmax does not see it
        "returns": jnp.full((2, 1, 2), 9.0),
        "volatility": jnp.array([[-4.4], [-4.0]]),
    }


def number(x: float) -> Array:
    return jnp.float32(x)


def test_hard_labels_are_one_hot() -> None:
    result = labels(3)
    assert result["direction"].tolist() == [[[0, 1, 0]], [[1, 0, 0]]]
    assert result["direction"].dtype == jnp.float32
    np.testing.assert_allclose(result["returns"], [[0.02], [-0.01]])
    np.testing.assert_allclose(result["volatility"], [[-4.0], [-5.0]])


def test_softened_labels_lie_between_label_and_teacher() -> None:
    result = soften(labels(), teacher([0.4, 0.6], [0.2, 0.8]), number(0.25))
    # 0.75·1 + 0.25·0.6 = 0.9 and 0.75·1 + 0.25·0.2 = 0.8.
    np.testing.assert_allclose(result["direction"][:, 0], [[0.1, 0.9], [0.8, 0.2]], rtol=1e-6)
    # 0.75·-4 + 0.25·-4.4 = -4.1 and 0.75·-5 + 0.25·-4 = -4.75.
    np.testing.assert_allclose(result["volatility"], [[-4.1], [-4.75]], rtol=1e-6)
    np.testing.assert_allclose(result["returns"], labels()["returns"])


def test_a_share_of_nothing_softens_nothing_and_of_all_is_the_teacher() -> None:
    forecast = teacher([0.4, 0.6], [0.2, 0.8])
    none, full = (soften(labels(), forecast, number(s)) for s in (0.0, 1.0))
    np.testing.assert_array_equal(none["direction"], labels()["direction"])
    np.testing.assert_array_equal(none["volatility"], labels()["volatility"])
    np.testing.assert_allclose(full["direction"][:, 0], [[0.4, 0.6], [0.2, 0.8]], rtol=1e-6)
    np.testing.assert_allclose(full["volatility"], forecast["volatility"])
