"""Metrics by hand and against scikit-learn; intervals that cover what they should."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, log_loss, matthews_corrcoef

from fusionjax.evaluate import bootstrap, metrics


def test_by_hand() -> None:
    label = np.array([1, 1, 1, 0, 0, 0])
    up = np.array([0.9, 0.8, 0.4, 0.3, 0.6, 0.1])  # calls: 2 of 3 ups, 2 of 3 downs
    sums = metrics.direction_sums(label, up).sum(0)
    assert sums[:4].tolist() == [2, 2, 1, 1]
    np.testing.assert_allclose(metrics.accuracy(sums), 4 / 6)
    np.testing.assert_allclose(metrics.mcc(sums), (4 - 1) / 9)
    volatility = metrics.volatility_sums(np.array([0.0, 1.0]), np.array([1.0, 3.0])).sum(0)
    np.testing.assert_allclose(metrics.mean_squared_error(volatility), 2.5)


@given(st.integers(0, 1000))
def test_against_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    label, up = rng.integers(0, 2, 60), rng.uniform(0.01, 0.99, 60)
    label[:2] = [0, 1]
    sums = metrics.direction_sums(label, up).sum(0)
    np.testing.assert_allclose(metrics.accuracy(sums), accuracy_score(label, up > 0.5))
    np.testing.assert_allclose(metrics.mcc(sums), matthews_corrcoef(label, up > 0.5), atol=1e-12)
    np.testing.assert_allclose(metrics.log_loss(sums), log_loss(label, up))


def test_one_class_only_has_no_correlation() -> None:
    sums = metrics.direction_sums(np.array([1, 1]), np.array([0.9, 0.9])).sum(0)
    assert metrics.mcc(sums) == 0


def test_days_add_up() -> None:
    day = np.array(["2020-01-02", "2020-01-03", "2020-01-02"], "datetime64[D]")
    out = metrics.by_day(np.array([[1.0], [10.0], [100.0]]), day)
    assert out.tolist() == [[101.0], [10.0]]


def test_intervals_respect_that_samples_of_a_day_move_together() -> None:
    """Forty copies of one coin a day carry the information of one coin."""
    rng = np.random.default_rng(0)
    hits = rng.integers(0, 2, 100)
    label = np.repeat(1, 4000)
    up = np.repeat(hits, 40).astype(float)
    day = np.repeat(np.datetime64("2020-01-01") + np.arange(100), 40)
    days = metrics.by_day(metrics.direction_sums(label, up), day)
    low, high = bootstrap.interval(metrics.accuracy, bootstrap.resampled_sums(days, 1, 2000))
    wanted = 1.96 * np.sqrt(hits.mean() * (1 - hits.mean()) / 100)
    np.testing.assert_allclose((high - low) / 2, wanted, rtol=0.1)


def test_coverage_of_the_interval_over_repeated_worlds() -> None:
    covered = 0
    for world in range(200):
        rng = np.random.default_rng(world)
        right = (rng.uniform(size=250) < 0.53).astype(float)
        days = metrics.direction_sums(np.ones(250, int), right)
        low, high = bootstrap.interval(
            metrics.accuracy, bootstrap.resampled_sums(days, 5, 500, seed=world)
        )
        covered += low <= 0.53 <= high
    assert 0.88 <= covered / 200 <= 0.99


def test_blocks_are_consecutive_days() -> None:
    days = np.eye(20)
    drawn = bootstrap.resampled_sums(days, 5, 50)
    assert (drawn.sum(1) == 20).all()
    # Whole blocks of five: each draw is four of them, so counts change at most eight times around.
    assert (np.abs(np.diff(drawn, axis=1, append=drawn[:, :1])) > 0).sum(1).max() <= 8


@pytest.mark.parametrize(
    ("skill", "expected"), [(0.9, "better"), (0.5, "not distinguishable"), (0.1, "worse")]
)
def test_verdicts(skill: float, expected: str) -> None:
    rng = np.random.default_rng(1)
    label = rng.integers(0, 2, 500)

    def drawn(p: float) -> np.ndarray:
        call = np.where(rng.uniform(size=500) < p, label, 1 - label).astype(float)
        return bootstrap.resampled_sums(metrics.direction_sums(label, call), 5, 1000)

    assert bootstrap.verdict(metrics.mcc, drawn(skill), drawn(0.5), True) == expected
