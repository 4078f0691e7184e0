"""Elimination by hand: what is dropped, what is kept, and how sure days make it."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array
from jax.tree_util import Partial

from benchmarks.measures import selection_rates
from fusionjax.distill import elimination
from fusionjax.distill.elimination import Sessions, enough_shown
from fusionjax.scores import intervals

feature_weights = jax.jit(elimination.feature_weights, static_argnums=1)
DAYS = 40
EACH = np.arange(DAYS)  # every sample is a session of its own
ALL, NONE = np.ones(3, np.float32), np.zeros(3, np.float32)
# In turns; what a day adds to either half of the days is the same.
CLEAR, NOTHING = np.tile([0.5, 0.4], 20), np.zeros(DAYS)


def eliminate(
    loss_of: Partial, asked: np.ndarray = ALL, forced: np.ndarray = NONE, session: np.ndarray = EACH
) -> tuple[list[float], elimination.Worth]:
    sessions = Sessions.of(session, 1)
    kept, _, worth = jax.jit(elimination.eliminate)(loss_of, asked, forced, sessions)
    return kept.tolist(), worth


def worth(*rows: np.ndarray) -> Partial:
    """A loss that rises, sample by sample, by ``rows[m]`` where modality m is not used or not
    the sample's own."""
    return Partial(_risen, np.array(rows, np.float32))


def _risen(table: Array, used: Array, swapped: Array, shift: Array) -> Array:
    del shift
    return 1.0 + (jnp.maximum(1.0 - used, swapped)[:, None] * table).sum(0)


def test_worth_and_error_by_hand() -> None:
    kept, said = eliminate(worth(CLEAR, NOTHING + 0.5, NOTHING + 0.1))
    assert kept == [1, 1, 1]
    np.testing.assert_allclose(said.worth, [0.45, 0.5, 0.1], rtol=1e-5)
    np.testing.assert_allclose(said.earned, said.worth, rtol=1e-5)
    # The same ten cosines and the same error as of an interval over these days.
    by_interval = intervals.cosine_error(CLEAR - 0.45, intervals.cosine_count(DAYS, 1, False))
    np.testing.assert_allclose(said.error, [by_interval, 0, 0], atol=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_the_error_and_the_chance_are_those_of_the_intervals(seed: int) -> None:
    """Samples of unequal days, overlapping labels: the cosines of ``scores.intervals``."""
    rng = np.random.default_rng(seed)
    session = np.sort(rng.integers(0, 300, 1000))
    session = np.unique(session, return_inverse=True)[1]
    x = rng.normal(size=session.max() + 1)[session] + rng.normal(size=1000) + 0.2
    sessions = Sessions.of(session, 5)
    total, count = np.bincount(session, x), np.bincount(session).astype(float)
    e = intervals.ratio(total, count, 5, lasting=False)
    got = sessions.mean_error(jnp.array(x, jnp.float32), jnp.ones(1000))
    np.testing.assert_allclose(got, (e.value, e.error), rtol=1e-3)
    one_sided = sessions.chance(jnp.array(x, jnp.float32), jnp.ones(1000))
    np.testing.assert_allclose(one_sided, e.p_value / 2, rtol=2e-2)
    np.testing.assert_allclose(
        sessions.chance(-jnp.array(x), jnp.ones(1000)), 1 - one_sided, atol=1e-5
    )


def test_what_is_not_missed_goes_and_what_is_stays() -> None:
    kept, said = eliminate(worth(CLEAR, NOTHING, CLEAR))
    assert kept == [1, 0, 1]
    np.testing.assert_allclose(said.worth, [0.45, 0, 0.45], atol=1e-6)


def test_what_could_be_chance_goes() -> None:
    """Above zero by 0.3 standard errors: kept before, as zero-mean noise was half of the times."""
    rng = np.random.default_rng(0)
    noise = rng.normal(size=DAYS)
    noise += 0.05 - noise.mean()
    assert eliminate(worth(CLEAR, noise, CLEAR))[0] == [1, 0, 1]


def test_the_more_are_asked_the_more_each_must_show() -> None:
    """A chance of .045 is enough among two, of which the other is sure, and not among ten."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=DAYS)
    x -= x.mean()
    sessions = Sessions.of(EACH, 1)
    _, error = sessions.mean_error(jnp.array(x), jnp.ones(DAYS))
    row = x + 1.88 * float(error)
    assert 0.04 < float(sessions.chance(jnp.array(row), jnp.ones(DAYS))) < 0.05
    assert eliminate(worth(CLEAR, row), ALL[:2], NONE[:2])[0] == [1, 1]
    ten = worth(CLEAR, row, *[NOTHING] * 8)
    assert eliminate(ten, np.ones(10, np.float32), np.zeros(10, np.float32))[0] == [1] + [0] * 9


def test_harm_goes_first() -> None:
    kept, said = eliminate(worth(NOTHING - 0.5, NOTHING, NOTHING + 0.1))
    assert kept == [0, 0, 1]
    np.testing.assert_allclose(said.worth, [-0.5, 0, 0.1], atol=1e-6)


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_the_last_one_stays_however_little_it_is_worth(value: float) -> None:
    row = NOTHING + value
    assert sum(eliminate(worth(row, row, row))[0]) == 1
    assert eliminate(worth(row), ALL[:1], NONE[:1])[0] == [1]


def test_what_is_not_asked_has_no_weight_and_the_forced_stays() -> None:
    kept, said = eliminate(
        worth(CLEAR, NOTHING + 9.0, NOTHING - 1.0),
        np.array([1, 0, 0], np.float32),
        np.array([0, 0, 1], np.float32),
    )
    assert kept == [1, 0, 1]
    assert (said.worth[1], said.error[1]) == (0, 0)
    assert said.worth[2] == -1, "it is told all the same"


def test_each_is_asked_again_without_what_went() -> None:
    """Two copies: either is missed only when the other is gone, so one goes and one stays."""

    def loss_of(used: Array, swapped: Array, shift: Array) -> Array:
        own = used * (1.0 - swapped)
        return (2.0 - jnp.maximum(own[0], own[1]) - own[2]) * jnp.ones(DAYS)

    kept, said = eliminate(Partial(loss_of))
    assert kept == [0, 1, 1]
    np.testing.assert_allclose(said.worth, [0, 1, 1], atol=1e-6)


def test_samples_of_one_session_count_as_one() -> None:
    """Ten copies of each of 40 days are no more evidence than one."""
    rng = np.random.default_rng(2)
    row = rng.normal(0.3, 1, DAYS)
    many = np.repeat(row, 10)
    _, one = eliminate(worth(row), ALL[:1], NONE[:1])
    _, ten = eliminate(worth(many), ALL[:1], NONE[:1], np.repeat(EACH, 10))
    np.testing.assert_allclose(ten.error, one.error, rtol=1e-4)
    np.testing.assert_allclose(ten.chance, one.chance, rtol=1e-3)
    _, alone = eliminate(worth(many), ALL[:1], NONE[:1], np.arange(400))
    assert alone.chance < one.chance


def test_what_fades_out_inside_the_meta_set_goes() -> None:
    half = DAYS // 2
    fading = np.concatenate([CLEAR[:half] * 4, CLEAR[half:] * -0.5])  # useful on the whole
    assert eliminate(worth(fading, CLEAR, CLEAR))[0] == [0, 1, 1]
    rising = np.concatenate([CLEAR[:half] * -0.1, CLEAR[half:] * 4])
    assert eliminate(worth(rising, CLEAR, CLEAR))[0] == [1, 1, 1]


def test_noise_that_only_damps_the_others_goes() -> None:
    """Without it the loss rises, with another sample's in its place it does not."""

    def loss_of(used: Array, swapped: Array, shift: Array) -> Array:
        own = used * (1.0 - swapped)
        return (3.0 - used[0] - own[1] - own[2]) * jnp.ones(DAYS)

    assert eliminate(Partial(loss_of))[0] == [0, 1, 1]


def test_placebos_are_many_and_of_other_times() -> None:
    """The placebo's rise is the mean over shifts; none is the sample itself."""

    def loss_of(used: Array, swapped: Array, shift: Array) -> Array:
        return jnp.where(swapped[0] > 0, jnp.float32(shift), 0.0) * jnp.ones(90) - used[0]

    _, said = eliminate(Partial(loss_of), ALL[:1], NONE[:1], np.arange(90))
    np.testing.assert_allclose(said.earned, 45)  # 10, 20, … 80


def test_enough_shown_by_hand() -> None:
    session = np.repeat(np.arange(400), 2)
    present = np.zeros((800, 4), bool)
    present[:, 0] = True
    present[::2, 1] = session[::2] < 125  # one short of half a year
    present[::2, 2] = session[::2] < 126
    assert enough_shown(present, session).tolist() == [True, False, True, False]
    short = present[:100]  # of fifty sessions, half are enough
    assert enough_shown(short, session[:100]).tolist() == [True, True, True, False]
    assert not enough_shown(present[:, 3:], session).any()


def test_step_up_by_hand() -> None:
    """Of ten: limits .02 and .04 for one and two, .05 for more."""
    nothing = [0.9] * 8
    assert elimination.step_up(np.array([0.03, 0.039, *nothing])).tolist() == [1, 1] + [0] * 8
    assert elimination.step_up(np.array([0.021, 0.041, *nothing])).tolist() == [0] * 10
    assert elimination.step_up(np.array([0.019, 0.041, *nothing])).tolist() == [1] + [0] * 9
    assert elimination.step_up(np.array([0.049] * 10)).tolist() == [1] * 10


@pytest.mark.parametrize("kind", ["noise", "weak"])
def test_error_and_power_over_ten_modalities(kind: str) -> None:
    """Of ten, two inform, by .02 nats: noise stays in at most 5 %, they in at least 90 %."""
    found = rates_of_ten()
    assert (found.noise <= 0.05) if kind == "noise" else (found.real[2] >= 0.9)


@functools.cache
def rates_of_ten() -> selection_rates.Rates:
    return selection_rates.simulated(selection_rates.World("test", variance=0.17), 40, 5)


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
