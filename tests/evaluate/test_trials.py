"""What many trials do, by hand, by the papers' examples, and and against purgedcv."""

import numpy as np
import purgedcv
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from fusionjax.errors import InputError
from fusionjax.scores.trials import (
    deflated_sharpe,
    overfitting_probability,
    probabilistic_sharpe,
    sharpe_std,
)

GOOD = np.array([0.1, -0.2, 0.3, 0.1, 0.2])


def test_a_sharpe_ratio_by_hand() -> None:
    returns = np.array([0.0, 2.0])  # Sharpe 1, skew 0, kurtosis 1, T - 1 = 1: a standard error of 1
    np.testing.assert_allclose(sharpe_std(returns), 1)
    np.testing.assert_allclose(probabilistic_sharpe(returns), 0.841345, atol=1e-6)  # 1 sigma
    np.testing.assert_allclose(probabilistic_sharpe(returns, 1.0), 0.5)


def test_the_standard_error_is_the_spread_over_repeated_worlds() -> None:
    """Of skewed returns, for which that of normal ones, √((1 + SR²/2) / T), is a third too low."""
    worlds = 1.5 - np.random.default_rng(0).gamma(1.0, size=(4000, 250))
    errors = [sharpe_std(w) for w in worlds]
    np.testing.assert_allclose(np.mean(errors), (worlds.mean(1) / worlds.std(1)).std(), rtol=0.05)


@pytest.mark.parametrize(
    ("trials", "points", "counts", "expected"),
    [
        # Two points with skew -3 and kurtosis 10, after 100 trials and after 46.
        (100, (0.3028, -3.3028), (1145, 105), 0.9004),
        (46, (0.3028, -3.3028), (1145, 105), 0.9505),
        # Three points with a normal's skew and kurtosis, 0 and 3.
        (88, (-(3**0.5), 0.0, 3**0.5), (208, 834, 208), 0.9505),
    ],
)
def test_the_numerical_example_of_the_paper(
    trials: int, points: tuple[float, ...], counts: tuple[int, ...], expected: float
) -> None:
    """Sharpe 2.5 a year of 250 days, over five years; variance across trials 1/2 a year."""
    returns = np.repeat(points, counts)
    returns = (returns - returns.mean()) / returns.std() + 2.5 / 250**0.5
    sharpes = stats.zscore(np.arange(trials, dtype=float), ddof=1) * (0.5 / 250) ** 0.5
    np.testing.assert_allclose(deflated_sharpe(returns, sharpes), expected, atol=1e-4)


@pytest.mark.parametrize("trials", [2, 7, 300])
def test_deflation_against_purgedcv(trials: int) -> None:
    """purgedcv corrects skew and kurtosis for bias, we do not: its z is put on our moments."""
    rng = np.random.default_rng(trials)
    returns = 0.6 - rng.gamma(1.0, size=40) / 2
    sharpes = rng.normal(0, 0.1, trials)
    theirs = purgedcv.deflated_sharpe_ratio_full(returns, trials, sharpes.var(ddof=1))

    def spread(skew: float, kurtosis: float) -> float:
        ratio = theirs.observed_sr
        return np.sqrt(1 - skew * ratio + (kurtosis - 1) / 4 * ratio**2)

    plain = spread(stats.skew(returns), stats.kurtosis(returns, fisher=False))
    z = stats.norm.ppf(theirs.dsr) * spread(theirs.skew, theirs.kurt) / plain
    np.testing.assert_allclose(deflated_sharpe(returns, sharpes), stats.norm.cdf(z))


def test_overfitting_by_hand() -> None:
    def halves(*sharpes: tuple[float, float]) -> np.ndarray:
        """Trials of two periods a half, one below and one above the half's Sharpe ratio."""
        return np.repeat(np.array(sharpes).T, 2, axis=0) + np.array([[-1.0], [1.0], [-1.0], [1.0]])

    assert overfitting_probability(halves((2, 2), (1, 1)), 2) == 0  # the best stays so
    assert overfitting_probability(halves((2, 1), (1, 2)), 2) == 1  # the best turns worst
    # The best turns median: a logit of 0, not better than the median.
    assert overfitting_probability(halves((3, 2), (2, 3), (1, 1)), 2) == 1
    # The first half's best stays above the median of four, the second's falls below it.
    assert overfitting_probability(halves((4, 3), (1, 4), (3, 2), (2, 1)), 2) == 0.5


@given(st.integers(0, 1000), st.integers(2, 7), st.sampled_from([2, 4, 6]), st.integers(6, 40))
def test_overfitting_against_purgedcv(seed: int, trials: int, blocks: int, periods: int) -> None:
    """purgedcv counts logits below 0; the paper's integral, as we do, includes 0."""
    rng = np.random.default_rng(seed)
    returns = rng.normal(size=(periods, trials)) + rng.normal(0, 0.3, trials)
    flat, copy = np.full(periods, 0.1), returns[:, 0]
    returns = np.column_stack([returns, *[flat] * (seed % 2), *[copy] * (seed % 3)])
    theirs = purgedcv.probability_of_backtest_overfitting(returns.T, blocks)
    np.testing.assert_allclose(
        overfitting_probability(returns, blocks), (theirs.logits <= 0).mean()
    )


def test_sixteen_blocks_tell_chance_from_skill() -> None:
    rng = np.random.default_rng(0)
    chance = [overfitting_probability(rng.normal(size=(160, 10))) for _ in range(40)]
    assert 0.4 < np.mean(chance) < 0.6
    assert overfitting_probability(rng.normal(size=(160, 10)) + np.eye(10)[0]) < 0.01


@pytest.mark.parametrize("statistic", [sharpe_std, probabilistic_sharpe])
@pytest.mark.parametrize(
    "x", [[], [1.0], [0.0] * 9, [0.1] * 6, [0.1, np.nan, 0.2], [0.1, np.inf, 0.2]]
)
def test_what_does_not_vary_has_no_statistic(statistic: object, x: list[float]) -> None:
    assert np.isnan(statistic(np.array(x)))  # type: ignore[operator]


def test_an_expansion_without_spread_says_nothing() -> None:
    # Sharpe √3, skew 2/√3, kurtosis 7/3: 1 - 2 + (7/3 - 1)/4 · 3 = 0.
    returns = np.array([1.0, 1.0, 1.0, 3.0])
    assert np.isnan(sharpe_std(returns))
    assert np.isnan(probabilistic_sharpe(returns))


@pytest.mark.parametrize("sharpes", [[], [0.1], [0.1] * 6, [0.1, np.nan]])
def test_deflation_needs_two_trials_that_differ(sharpes: list[float]) -> None:
    assert np.isnan(deflated_sharpe(GOOD, np.array(sharpes)))
    assert np.isnan(deflated_sharpe(np.full(9, 0.1), np.array([0.1, 0.2])))
    assert 0 < deflated_sharpe(GOOD, np.array([0.1, 0.2])) < 1


@pytest.mark.parametrize(
    "returns",
    [
        np.zeros((20, 0)),
        np.arange(20.0)[:, None],
        np.zeros((20, 3)),
        np.full((20, 3), [0.1, 0.2, 0.3]),
        np.repeat(np.random.default_rng(0).normal(size=(20, 1)), 9, axis=1),
        np.where(np.eye(20, 3) > 0, np.nan, np.random.default_rng(0).normal(size=(20, 3))),
    ],
    ids=["no trial", "one trial", "no returns", "constants", "copies", "missing"],
)
def test_overfitting_needs_two_trials_that_differ(returns: np.ndarray) -> None:
    assert np.isnan(overfitting_probability(returns, 4))


@pytest.mark.parametrize("blocks", [0, 3, 22])
def test_blocks_that_cannot_be_halved_or_filled_are_refused(blocks: int) -> None:
    with pytest.raises(InputError, match=f"blocks is {blocks}: expected an even number from 2 to"):
        overfitting_probability(np.ones((20, 2)), blocks)
