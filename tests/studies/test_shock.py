"""The simulated yardstick: it is as hard as the published one, and ours reaches its bars."""

import numpy as np
import pytest
from scipy import stats

from studies.streams import shock

BEGIN = 1100  # the first test day


@pytest.fixture(scope="module")
def rows() -> dict[str, shock.ScenarioScores]:
    return {row.method: row for row in shock.study(range(20))}


def test_static_intervals_fail_as_published(rows: dict[str, shock.ScenarioScores]) -> None:
    static = rows["split conformal"]
    np.testing.assert_allclose(static.coverage.mean(), 0.842, atol=0.005)
    np.testing.assert_allclose(static.worst.mean(), 0.508, atol=0.01)


def test_ours_reaches_the_published_bars(rows: dict[str, shock.ScenarioScores]) -> None:
    ours = rows["adaptive, normalised"]
    assert round(ours.coverage.mean(), 3) >= 0.9
    assert ours.worst.mean() >= 0.868
    assert ours.coverage.std() < 0.002


def test_volatility_and_adaptation_each_earn_their_place(
    rows: dict[str, shock.ScenarioScores],
) -> None:
    ours = rows["adaptive, normalised"]
    for method in ("split conformal", "split conformal, normalised", "adaptive"):
        assert stats.ttest_rel(ours.worst, rows[method].worst).statistic > 4


def test_ours_is_not_bought_with_width(rows: dict[str, shock.ScenarioScores]) -> None:
    """It covers more than relative split conformal intervals do and is hardly wider."""
    width = rows["adaptive, normalised"].width / rows["split conformal, normalised"].width
    assert width.mean() < 1.1


def test_a_row_reads_as_mean_and_deviation() -> None:
    row = shock.ScenarioScores(
        "x", np.array([0.8, 1.0]), np.array([0.5, 0.5]), np.array([3.0, 4.0])
    )
    assert str(row) == "x | 0.900 ± 0.100 | 0.500 ± 0.000 | 3.500 ± 0.500"


def test_returns_are_fat_tailed_and_shocked_twice() -> None:
    """Unconditional variance .02 / (1 - .05 - .93) = 1; 2.6 times the volatility in two years."""
    returns = np.stack([shock.simulate(s) for s in range(100, 140)])
    shocked = np.zeros(4100, bool)
    for since in (750, 1875):
        shocked[BEGIN + since : BEGIN + since + 250] = True
    calm = returns[:, ~shocked]
    np.testing.assert_allclose((calm**2).mean(), 1, rtol=0.1)
    assert stats.kurtosis(calm.ravel()) > 3
    np.testing.assert_allclose(
        np.median(np.abs(returns[:, shocked])) / np.median(np.abs(calm)), 2.6, rtol=0.1
    )


def test_a_seed_is_a_world() -> None:
    np.testing.assert_array_equal(shock.simulate(3), shock.simulate(3))
    assert (shock.simulate(3) != shock.simulate(4)).any()


def test_half_widths_know_the_days_before_only() -> None:
    """A wild day changes nothing issued up to it, and widens what follows where that may adapt."""
    returns = shock.simulate(0)
    wild = returns.copy()
    wild[BEGIN + 1000] = 50.0
    before, after = shock._half_widths(returns), shock._half_widths(wild)
    for method in before:
        np.testing.assert_array_equal(after[method][:1001], before[method][:1001])
    later = slice(1001, 1020)
    ours = "adaptive, normalised"
    assert (after[ours][later] > before[ours][later]).all()
    np.testing.assert_array_equal(after["split conformal"], before["split conformal"])


def test_worst_window_by_hand() -> None:
    hit = np.array([1, 1, 0, 1, 0, 0, 1], bool)
    assert shock.worst_window_coverage(hit, 3) == 1 / 3
    assert shock.worst_window_coverage(hit, 4) == 1 / 4
    assert shock.worst_window_coverage(hit) == 4 / 7
