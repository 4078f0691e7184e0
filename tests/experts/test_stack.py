"""Weights of experts: exactly the best one without evidence, nothing for a placebo, gains kept."""

import numpy as np
import pytest

from fusionjax.experts import stack


def squared(y: np.ndarray):  # type: ignore[no-untyped-def]
    return lambda value: (value - y) ** 2


def worlds(seed: int, days: int = 250, stocks: int = 5) -> tuple[np.ndarray, ...]:
    """A label, its day and the part of it that can be known; a day's noise is shared."""
    rng = np.random.default_rng(seed)
    day = np.repeat(np.arange(days), stocks)
    known = rng.normal(size=len(day))
    noise = rng.normal(size=days)[day] + rng.normal(size=len(day))
    return known + noise, day, known


def test_a_change_that_is_no_better_is_not_made() -> None:
    """The share of worlds in which a worthless change gets any weight, and what that costs."""
    shares, costs = [], []
    for seed in range(200):
        y, day, known = worlds(seed)
        noise = 0.3 * np.random.default_rng(seed + 10_000).normal(size=len(y))
        losses = np.stack([squared(y)(known + share * noise) for share in stack.SHARES])
        share = stack.trusted(losses, day, 1)
        shares.append(share > 0)
        costs.append((share * noise) ** 2)
    assert np.mean(shares) < 0.05
    assert np.mean(costs) < 0.001


def test_a_change_that_helps_is_made_in_part_or_whole() -> None:
    y, day, known = worlds(1)
    whole = np.stack([squared(y)(share * known) for share in stack.SHARES])
    assert stack.trusted(whole, day, 1) > 0.8
    doubled = np.stack([squared(y)(share * 2 * known) for share in stack.SHARES])
    assert 0.3 < stack.trusted(doubled, day, 1) < 0.7


def test_a_placebo_gets_no_weight() -> None:
    weights = []
    for seed in range(100):
        y, day, known = worlds(seed)
        placebo = np.random.default_rng(seed + 99).normal(size=len(y))
        weights.append(stack.weigh(np.stack([known, placebo], 1), squared(y), day, 1, 0))
    assert (np.array(weights) == [1, 0]).all(1).mean() >= 0.95


def test_experts_that_err_apart_share_the_weight() -> None:
    y, day, known = worlds(3)
    rng = np.random.default_rng(4)
    values = known[:, None] + rng.normal(size=(len(y), 2))
    weight = stack.weigh(values, squared(y), day, 1, 0)
    assert weight.min() > 0.3
    assert weight.sum() == pytest.approx(1)
    together = stack.combined(values, weight, 0)
    assert squared(y)(together).mean() < min(squared(y)(values.T).mean(1))


def test_the_first_expert_stays_unless_others_are_shown_to_be_better() -> None:
    y, day, known = worlds(5)
    base = np.zeros_like(y)
    rng = np.random.default_rng(6)
    weight = stack.weigh(
        np.stack([base, 0.2 * rng.normal(size=len(y))], 1), squared(y), day, 1, 0, firm=True
    )
    np.testing.assert_array_equal(weight, [1, 0])
    weight = stack.weigh(np.stack([base, known], 1), squared(y), day, 1, 0, firm=True)
    assert weight[1] > 0.8


def test_quantiles_are_combined_and_a_missing_expert_is_left_out() -> None:
    values = np.array([[[1.0, 2.0], [3.0, 6.0]], [[np.nan, np.nan], [3.0, 6.0]]])
    both = stack.combined(values, np.array([0.5, 0.5]), 0)
    np.testing.assert_allclose(both, [[2, 4], [3, 6]])
    alone = stack.combined(values, np.array([1.0, 0.0]), 1)
    np.testing.assert_array_equal(alone, [[1, 2], [3, 6]])
    assert np.isnan(stack.combined(values[1:, :1], np.array([1.0]), 0)).all()


def test_an_expert_with_gaps_counts_by_the_rows_it_has() -> None:
    y, day, known = worlds(7)
    rng = np.random.default_rng(8)
    has = rng.random(len(y)) < 0.5
    values = np.stack([np.zeros_like(y), np.where(has, known, np.nan)], 1)
    weight = stack.weigh(values, squared(y), day, 1, 0)
    assert weight[1] > 0.8
    together = stack.combined(values, weight, 0)
    np.testing.assert_array_equal(together[~has], 0)
    noise = np.stack([known, np.where(has, rng.normal(size=len(y)), np.nan)], 1)
    np.testing.assert_array_equal(stack.weigh(noise, squared(y), day, 1, 0), [1, 0])
