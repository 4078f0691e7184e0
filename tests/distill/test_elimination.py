"""Elimination by hand: what is dropped, what is kept, and how sure days make it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array
from jax.tree_util import Partial

from fusionjax.distill import elimination

eliminate = jax.jit(elimination.eliminate, static_argnums=3)
feature_weights = jax.jit(elimination.feature_weights, static_argnums=1)
EACH = np.arange(4, dtype=np.int32)  # every sample is a session of its own
ALL = np.ones(3, np.float32)


def worth(*rows: list[float]) -> Partial:
    """A loss that rises, sample by sample, by ``rows[m]`` where modality m is not used or not
    the sample's own."""
    return Partial(_risen, np.array(rows, np.float32))


def _risen(table: Array, used: Array, swapped: Array) -> Array:
    return 1.0 + (jnp.maximum(1.0 - used, swapped)[:, None] * table).sum(0)


def test_worth_and_error_by_hand() -> None:
    loss_of = worth([0.1, 0.2, 0.3, 0.4], [0.5] * 4, [0.0, 0.0, 1.0, 1.0])
    kept, rise, error = eliminate(loss_of, ALL, EACH, 1.0)
    assert kept.tolist() == [1, 1, 1]
    np.testing.assert_allclose(rise, [0.25, 0.5, 0.5], rtol=1e-5)
    # Deviations -0.15, -0.05, 0.05, 0.15: √0.05 / 4. None. ±0.5: √1 / 4.
    np.testing.assert_allclose(error, [np.sqrt(0.05) / 4, 0, 0.25], atol=1e-6)


def test_what_is_not_missed_goes_and_what_is_stays() -> None:
    nothing, clear = [0.0] * 4, [0.5, 0.4, 0.5, 0.4]
    kept, rise, _ = eliminate(worth(clear, nothing, clear), ALL, EACH, 1.0)
    assert kept.tolist() == [1, 0, 1]
    np.testing.assert_allclose(rise, [0.45, 0, 0.45], atol=1e-6)


def test_harm_goes_first() -> None:
    kept, rise, _ = eliminate(worth([-0.5] * 4, [0.0] * 4, [0.1] * 4), ALL, EACH, 1.0)
    assert kept.tolist() == [0, 0, 1]
    np.testing.assert_allclose(rise, [-0.5, 0, 0.1], atol=1e-6)


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_the_last_one_stays_however_little_it_is_worth(value: float) -> None:
    kept, *_ = eliminate(worth([value] * 4, [value] * 4, [value] * 4), ALL, EACH, 1.0)
    assert kept.sum() == 1
    alone, *_ = eliminate(worth([value] * 4), ALL[:1], EACH, 1.0)
    assert alone.tolist() == [1]


def test_what_was_dropped_before_stays_dropped_and_is_not_asked() -> None:
    kept, rise, error = eliminate(
        worth([0.5] * 4, [9.0] * 4, [0.5] * 4), np.array([1, 0, 1], np.float32), EACH, 1.0
    )
    assert kept.tolist() == [1, 0, 1]
    assert (rise[1], error[1]) == (0, 0)


def test_each_is_asked_again_without_what_went() -> None:
    """Two copies: either is missed only when the other is gone, so one goes and one stays."""

    def loss_of(used: Array, swapped: Array) -> Array:
        own = used * (1.0 - swapped)
        return (2.0 - jnp.maximum(own[0], own[1]) - own[2]) * jnp.ones(4)

    kept, rise, _ = eliminate(Partial(loss_of), ALL, EACH, 1.0)
    assert kept.tolist() == [0, 1, 1]
    np.testing.assert_allclose(rise, [0, 1, 1], atol=1e-6)


def test_the_margin_is_in_standard_errors() -> None:
    loss_of = worth([0.0, 0.0, 1.0, 1.0], [5.0] * 4, [5.0] * 4)  # 0.5 ± 0.25
    assert eliminate(loss_of, ALL, EACH, 1.9)[0].tolist() == [1, 1, 1]
    assert eliminate(loss_of, ALL, EACH, 2.1)[0].tolist() == [0, 1, 1]
    assert eliminate(loss_of, ALL, EACH, 0.0)[0].tolist() == [1, 1, 1]


def test_samples_of_one_session_count_as_one() -> None:
    """0.5 ± 0.25 by sample. Two days that agree inside and differ: ±0.35; two balanced days: ±0."""
    loss_of = worth([0.0, 0.0, 1.0, 1.0], [5.0] * 4, [5.0] * 4)
    for session, expected in (
        ([0, 1, 2, 3], 0.25),
        ([0, 0, 1, 1], np.sqrt(1.0 + 1.0) / 4),  # sums of a day: -1 and +1
        ([0, 1, 0, 1], 0.0),
        ([3, 3, 1, 1], np.sqrt(2.0) / 4),  # numbers of sessions may have gaps
    ):
        _, rise, error = eliminate(loss_of, ALL, np.array(session), 0.0)
        np.testing.assert_allclose([rise[0], error[0]], [0.5, expected], atol=1e-6)
    by_day, by_sample = (
        eliminate(loss_of, ALL, np.array(s), 1.5)[0].tolist() for s in ([0, 0, 1, 1], [0, 1, 2, 3])
    )
    assert (by_day, by_sample) == ([0, 1, 1], [1, 1, 1])


def test_what_fades_out_inside_the_meta_set_goes() -> None:
    fading = worth([2.0, 2.0, -0.1, -0.1], [0.1] * 4, [0.1] * 4)  # useful on the whole, not lately
    assert eliminate(fading, ALL, EACH, 0.0)[0].tolist() == [0, 1, 1]
    unsure = worth([2.0, 2.0, 0.5, -0.6], [0.1] * 4, [0.1] * 4)  # lately -0.05 ± 0.39
    assert eliminate(unsure, ALL, EACH, 0.0)[0].tolist() == [1, 1, 1]
    rising = worth([-0.1, -0.1, 2.0, 2.0], [0.1] * 4, [0.1] * 4)
    assert eliminate(rising, ALL, EACH, 0.0)[0].tolist() == [1, 1, 1]


def test_noise_that_only_damps_the_others_goes() -> None:
    """Without it the loss rises, with another sample's in its place it does not."""

    def loss_of(used: Array, swapped: Array) -> Array:
        own = used * (1.0 - swapped)
        return (3.0 - used[0] - own[1] - own[2]) * jnp.ones(4)

    assert eliminate(Partial(loss_of), ALL, EACH, 0.0)[0].tolist() == [0, 1, 1]


def test_feature_weights_by_hand() -> None:
    """One modality, four features, two samples: κ and what is lost without each to second order."""
    kappa = np.array([[[0.2, 0.4, -0.2, 0.0]], [[0.2, -0.4, -0.2, 0.0]]], np.float32)
    worth = np.array([0.2 + 0.02, 0.08, 0.0, 0.0])  # the third would be -0.2 + 0.02
    weight = worth / (worth + 0.1)
    np.testing.assert_allclose(feature_weights(kappa, 0.4)[0], weight / weight.max(), rtol=1e-6)


def test_a_feature_that_was_fitted_to_noise_gets_no_weight() -> None:
    """A logistic model with one true and one spurious weight, judged on fresh samples."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(20_000, 2))
    up = rng.random(20_000) < 1 / (1 + np.exp(-x[:, 0]))
    weight = np.array([1.0, 0.3])
    residual = up - 1 / (1 + np.exp(-(x @ weight)))
    kappa = residual[:, None] * x * weight  # -∂ℓ/∂log g
    true, spurious = feature_weights(kappa[:, None].astype(np.float32), 0.02)[0].tolist()
    assert true > 0.8
    assert spurious == 0


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_model_that_is_too_sure_or_not_sure_enough_is_judged_as_if_it_were(seed: int) -> None:
    """At half and at 1.25 times its scale the spurious feature still gets nothing.

    One Newton step reaches no farther: at twice the scale, where the squared slope is far above
    the curvature, it would get something.
    """
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(20_000, 2))
    up = rng.random(20_000) < 1 / (1 + np.exp(-x[:, 0]))
    for scale in (0.5, 1.25):
        weight = scale * np.array([1.0, 0.3])
        kappa = (up - 1 / (1 + np.exp(-(x @ weight))))[:, None] * x * weight
        true, spurious = feature_weights(kappa[:, None].astype(np.float32), 0.02)[0].tolist()
        np.testing.assert_allclose([true, spurious], [1, 0], rtol=1e-6)


def test_where_no_feature_earns_anything_all_stay() -> None:
    assert feature_weights(np.zeros((4, 2, 3), np.float32), 0.1).tolist() == [[1.0] * 3] * 2
