"""Intervals, verdicts and what they can detect: by hand, and as often wrong as they say."""

import math

import numpy as np
import pytest
from scipy import fft, stats

from fusionjax.scores import intervals, metrics
from fusionjax.scores.intervals import ByDay, Estimate


def calls(right: np.ndarray) -> metrics.Score:
    """The accuracy of one call a day."""
    p = np.stack([1 - right, right], 1).astype(float)
    return metrics.called(np.ones(len(right), int), p, np.arange(len(right)), len(right))[
        "accuracy"
    ]


def estimate(score: metrics.Score, days: int, horizon: int = 1) -> Estimate:
    influence = intervals.influences(score, days, np.arange(days))
    return Estimate.of(metrics.point(score, days), influence, horizon, lasting=False)


def test_the_error_of_a_mean_by_hand_and_against_scipy() -> None:
    x = np.array([1.0, 2.0, 4.0, 5.0])
    first = np.cos(np.pi * (np.arange(4) + 0.5) / 4) * np.sqrt(2 / 4)
    np.testing.assert_allclose(intervals.cosine_error(x, 1), abs(first @ x) / 2)
    rng = np.random.default_rng(0)
    worlds = rng.normal(size=(3, 50))
    waves = fft.dct(worlds, norm="ortho", axis=1)[:, 1:8]
    wanted = np.sqrt((waves**2).mean(1) / 50)
    np.testing.assert_allclose(intervals.cosine_error(worlds, 7), wanted)
    # All cosines together are the plain standard error of independent values.
    np.testing.assert_allclose(
        intervals.cosine_error(worlds, 49), worlds.std(1, ddof=1) / np.sqrt(50)
    )


def test_the_influence_of_a_mean_is_its_deviation() -> None:
    right = np.random.default_rng(0).integers(0, 2, 40)
    got = intervals.influences(calls(right), 40, np.arange(40))
    np.testing.assert_allclose(got, right - right.mean(), atol=1e-12)


def test_days_without_samples_tell_nothing() -> None:
    """A part of the period is judged by its own days."""
    rng = np.random.default_rng(0)
    inside = np.arange(40, 100)
    values = rng.normal(size=60)
    scores = metrics.regression(values, np.zeros(60), inside, 120)["MSE"]
    alone = metrics.regression(values, np.zeros(60), np.arange(60), 60)["MSE"]
    got = intervals.influences(scores, 120, inside)
    np.testing.assert_allclose(got, intervals.influences(alone, 60, np.arange(60)))


def test_intervals_respect_that_samples_of_a_day_move_together() -> None:
    """Forty copies of one coin a day carry the information of one coin."""
    hits = np.random.default_rng(0).integers(0, 2, 100)
    up, day = np.repeat(hits, 40).astype(float), np.repeat(np.arange(100), 40)
    scores = metrics.called(np.repeat(1, 4000), np.stack([1 - up, up], 1), day, 100)
    got, alone = estimate(scores["accuracy"], 100), estimate(calls(hits), 100)
    np.testing.assert_allclose(got.interval(), alone.interval())


@pytest.mark.parametrize(
    ("days", "horizon", "lasting", "given"),
    [
        (11, 1, False, False),
        (12, 1, False, True),
        (59, 5, False, False),
        (60, 5, False, True),
        (62, 1, True, False),
        (63, 5, True, True),
        (119, 10, True, False),
    ],
)
def test_too_few_days_have_no_interval(days: int, horizon: int, lasting: bool, given: bool) -> None:
    x = np.random.default_rng(0).normal(size=days)
    got = Estimate.of(0.1, x, horizon, lasting)
    assert np.isfinite(got.interval()).all() == given
    assert math.isfinite(got.detectable) == given
    assert math.isnan(got.p_value) != given
    needed = intervals.least_days(horizon, lasting)
    assert (days >= needed) == given
    if not given:
        assert intervals.verdict(got, True, needed) == f"too few days (about {needed} needed)"


def test_a_metric_that_a_day_leaves_undefined_has_no_interval() -> None:
    got = Estimate.of(0.5, np.append(np.zeros(99), np.nan), 1, lasting=False)
    assert got.interval() == (-math.inf, math.inf)


def test_p_values_and_intervals_agree() -> None:
    x = np.random.default_rng(0).normal(size=100)
    error = Estimate.of(0.0, x, 1, lasting=True)
    edge = Estimate(error.interval()[1], error.error, error.freedom)
    np.testing.assert_allclose(edge.p_value, 0.05)
    np.testing.assert_allclose(edge.interval()[0], 0, atol=1e-12)
    assert Estimate(0.2, 0.0, 3.0).p_value == 0
    assert Estimate(0.0, 0.0, 3.0).p_value == 1, "two that are equal each day"


@pytest.mark.parametrize(
    ("skill", "expected"), [(0.9, "better"), (0.5, "not distinguishable"), (0.1, "worse")]
)
@pytest.mark.parametrize("sign", [1, -1])
def test_verdicts(skill: float, expected: str, sign: int) -> None:
    rng = np.random.default_rng(1)
    ours, theirs = (calls(rng.uniform(size=500) < p) for p in (skill, 0.5))

    def gap(weight: np.ndarray) -> np.ndarray:
        return sign * (ours(weight) - theirs(weight))

    assert intervals.verdict(estimate(gap, 500), sign > 0, 12) == expected


def test_the_detectable_effect_is_found_four_times_in_five() -> None:
    """A coin with just that edge is told from a fair one in about 80 % of worlds."""
    days, worlds = 400, 400
    rng = np.random.default_rng(0)
    edge = np.mean([estimate(calls(rng.uniform(size=days) < 0.5), days).detectable for _ in "abc"])
    np.testing.assert_allclose(edge, 2.8 * 0.5 / np.sqrt(days), rtol=0.1)
    found = 0
    for _ in range(worlds):
        low, _ = estimate(calls(rng.uniform(size=days) < 0.5 + edge), days).interval()
        found += low > 0.5
    assert 0.74 < found / worlds < 0.86
    three = Estimate(0.0, 1.0, 3.0)
    at = stats.nct.sf(stats.t.ppf(0.975, 3), 3, three.detectable)
    np.testing.assert_allclose(at, 0.8, atol=1e-6)


def test_means_by_day_by_hand() -> None:
    rng = np.random.default_rng(0)
    day = np.repeat(np.arange(80), 3)
    values, keep = rng.normal(size=240), rng.uniform(size=240) < 0.9
    mean, low, high = ByDay(day, 80, 1, 0.99).mean(values, keep)
    np.testing.assert_allclose(mean, values[keep].mean())
    np.testing.assert_allclose((low + high) / 2, mean)
    assert ByDay(day, 80, 1, 0.99).mean(values, day < 50)[1:] == (-math.inf, math.inf)
