"""Labels by hand: as given, softened by a teacher, and corrected by one."""

import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array

from fusionjax.distill.labels import Labels, believe, hard, soften
from fusionjax.types import Outcome, Targets

ON = jnp.ones((2, 1), bool)


def labels(classes: int = 2) -> Labels:
    """The first sample is of class 1, the second of class 0."""
    return hard(
        Targets(
            jnp.array([[1], [0]]),
            ON,
            jnp.array([[0.02], [-0.01]]),
            ON,
            jnp.array([[-4.0], [-5.0]]),
            ON,
        ),
        classes,
    )


def teacher(*belief: list[float]) -> Outcome:
    return Outcome(
        jnp.log(jnp.array(belief))[:, None] + 3.0,  # a constant that a softmax does not see
        jnp.full((2, 1, 2), 9.0),
        jnp.array([[-4.4], [-4.0]]),
    )


def number(x: float) -> Array:
    return jnp.float32(x)


def test_hard_labels_are_one_hot() -> None:
    made = labels(3)
    assert made.direction.tolist() == [[[0, 1, 0]], [[1, 0, 0]]]
    assert made.direction.dtype == jnp.float32
    np.testing.assert_allclose(made.returns, [[0.02], [-0.01]])
    np.testing.assert_allclose(made.log_volatility, [[-4.0], [-5.0]])


def test_softened_labels_lie_between_label_and_teacher() -> None:
    made = soften(labels(), teacher([0.4, 0.6], [0.2, 0.8]), number(0.25))
    # 0.75·1 + 0.25·0.6 = 0.9 and 0.75·1 + 0.25·0.2 = 0.8.
    np.testing.assert_allclose(made.direction[:, 0], [[0.1, 0.9], [0.8, 0.2]], rtol=1e-6)
    # 0.75·-4 + 0.25·-4.4 = -4.1 and 0.75·-5 + 0.25·-4 = -4.75.
    np.testing.assert_allclose(made.log_volatility, [[-4.1], [-4.75]], rtol=1e-6)
    np.testing.assert_allclose(made.returns, labels().returns)


def test_a_share_of_nothing_softens_nothing_and_of_all_is_the_teacher() -> None:
    said = teacher([0.4, 0.6], [0.2, 0.8])
    none, whole = (soften(labels(), said, number(s)) for s in (0.0, 1.0))
    np.testing.assert_array_equal(none.direction, labels().direction)
    np.testing.assert_array_equal(none.log_volatility, labels().log_volatility)
    np.testing.assert_allclose(whole.direction[:, 0], [[0.4, 0.6], [0.2, 0.8]], rtol=1e-6)
    np.testing.assert_allclose(whole.log_volatility, said.log_volatility)


def test_labels_without_noise_are_believed_whatever_the_teacher_says() -> None:
    made = believe(labels(), teacher([0.999, 0.001], [0.001, 0.999]), number(0.0))
    np.testing.assert_array_equal(made.direction, labels().direction)


def test_belief_is_bayes_rule() -> None:
    made = believe(labels(), teacher([0.4, 0.6], [0.9, 0.1]), number(0.2))
    # Seen class 1: 0.4·0.2 = 0.08 against 0.6·0.8 = 0.48. Seen class 0: 0.9·0.8 = 0.72 against
    # 0.1·0.2 = 0.02.
    np.testing.assert_allclose(
        made.direction[:, 0], [[0.08 / 0.56, 0.48 / 0.56], [0.72 / 0.74, 0.02 / 0.74]], rtol=1e-6
    )
    np.testing.assert_array_equal(made.returns, labels().returns)
    np.testing.assert_array_equal(made.log_volatility, labels().log_volatility)


def test_a_contradicted_label_is_corrected() -> None:
    """A teacher surer than the noise turns the label round; one less sure only dims it."""
    sure = believe(labels(), teacher([0.95, 0.05], [0.5, 0.5]), number(0.1))
    # 0.95·0.1 = 0.095 against 0.05·0.9 = 0.045.
    np.testing.assert_allclose(sure.direction[0, 0], [0.095 / 0.14, 0.045 / 0.14], rtol=1e-6)
    np.testing.assert_allclose(sure.direction[1, 0], [0.9, 0.1], rtol=1e-6)  # no opinion
    unsure = believe(labels(), teacher([0.8, 0.2], [0.5, 0.5]), number(0.1))
    # 0.8·0.1 = 0.08 against 0.2·0.9 = 0.18.
    np.testing.assert_allclose(unsure.direction[0, 0], [0.08 / 0.26, 0.18 / 0.26], rtol=1e-6)


def test_noise_is_shared_by_the_other_classes() -> None:
    made = believe(labels(3), teacher([0.5, 0.25, 0.25], [0.2, 0.4, 0.4]), number(0.2))
    # Seen class 1: 0.5·0.1, 0.25·0.8, 0.25·0.1. Seen class 0: 0.2·0.8, 0.4·0.1, 0.4·0.1.
    first, second = np.array([0.05, 0.2, 0.025]), np.array([0.16, 0.04, 0.04])
    np.testing.assert_allclose(
        made.direction[:, 0], [first / first.sum(), second / second.sum()], rtol=1e-6
    )


@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_beliefs_are_probabilities(noise: float) -> None:
    rng = np.random.default_rng(0)
    said = Outcome(
        jnp.asarray(5 * rng.normal(size=(2, 4, 3)), jnp.float32),
        jnp.zeros((2, 1, 2)),
        jnp.zeros((2, 1)),
    )
    given = hard(
        Targets(
            jnp.asarray(rng.integers(0, 3, (2, 4))),
            jnp.ones((2, 4), bool),
            jnp.zeros((2, 1)),
            ON,
            jnp.zeros((2, 1)),
            ON,
        ),
        3,
    )
    made = np.asarray(believe(given, said, number(noise)).direction)
    assert (made >= 0).all()
    np.testing.assert_allclose(made.sum(-1), 1, rtol=1e-6)
