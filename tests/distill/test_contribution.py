"""Contributions by hand, and the words for what is odd about them."""

import dataclasses

import jax
import numpy as np
from jax import Array

from fusionjax.distill import contribution
from fusionjax.distill.contribution import Diagnosis, anomalies, diagnose
from fusionjax.types import Encoded, Fused

contributions = jax.jit(contribution.contributions, static_argnums=0)
removals = jax.jit(contribution.removals, static_argnums=0)
H = np.array([[[1, 2], [3, 4]], [[5, 6], [7, 8]]], np.float32)


def encoded(h: np.ndarray, gain: np.ndarray | None = None) -> Encoded:
    zeros = np.zeros(h.shape[:2], np.float32)
    return Encoded(h, np.ones(zeros.shape, bool), zeros, zeros[:, 0], gain)


def test_contributions_by_hand() -> None:
    """ℓ_n = Σ a·g·h: its slope by log g at g = 1 is a·h, and κ the negative of it."""
    a = np.array([[1.0, 0.0], [-2.0, 0.5]], np.float32)

    def loss_of(e: Encoded) -> Array:
        assert e.gain is not None
        return (a[None] * e.gain * e.h).sum((1, 2))

    np.testing.assert_allclose(contributions(loss_of, encoded(H)), -a[None] * H, rtol=1e-6)


def test_removals_by_hand() -> None:
    """ℓ_n = (Σ g·h)²: without a modality the square of the other's sum."""

    def loss_of(e: Encoded) -> Array:
        assert e.gain is not None
        return (e.gain * e.h).sum((1, 2)) ** 2

    expected = [[49 - 100, 9 - 100], [225 - 676, 121 - 676]]
    off, swapped = removals(loss_of, encoded(H, H * 0 + 1))
    np.testing.assert_allclose(off, expected, rtol=1e-6)
    assert not swapped.any(), "a third of two rows is none: each keeps its own"
    three = np.concatenate([H, H[:1] * 2])
    off, swapped = removals(loss_of, encoded(three, three * 0 + 1))
    # The first gets the third's first modality, 2·(1 + 2), beside its own second, 7.
    assert swapped[0, 0] == 13**2 - 10**2


def test_levels_are_scaled_removed_and_swapped_with_their_modality() -> None:
    """ℓ_n = (Σ g·h + 10·a + 100·b)², with levels a of the first modality and none of the second."""
    h = np.concatenate([H, H[:1] * 2])
    first = np.array([[1.0, 2.0], [3.0, 0.0], [0.0, 5.0]], np.float32)
    e = dataclasses.replace(encoded(h, h * 0 + 1), levels=(first, np.zeros((3, 0), np.float32)))

    def loss_of(e: Encoded) -> Array:
        assert e.gain is not None
        reading, none = e.levels
        assert none.shape == (3, 0)
        return ((e.gain * e.h).sum((1, 2)) + reading @ np.array([10.0, 100.0], np.float32)) ** 2

    value = h.sum((1, 2)) + first @ [10, 100]
    kappa = contributions(loss_of, e)
    assert kappa.shape == (3, 2, 3), "beside two features one for the levels"
    np.testing.assert_allclose(kappa[..., :2], -2 * value[:, None, None] * h, rtol=1e-5)
    np.testing.assert_allclose(kappa[:, 0, 2], -2 * value * (first @ [10, 100]), rtol=1e-5)
    assert not kappa[:, 1, 2].any()
    off, swapped = removals(loss_of, e)
    np.testing.assert_allclose(off[:, 0], h[:, 1].sum(1) ** 2 - value**2, rtol=1e-5)
    others = h[:, 1].sum(1) + np.roll(h[:, 0].sum(1) + first @ [10, 100], 1)
    np.testing.assert_allclose(swapped[:, 0], others**2 - value**2, rtol=1e-5)


def test_indicators_by_hand() -> None:
    kappa = np.array([[[1.0, 3.0], [0.0, 0.0]], [[1.0, 1.0], [0.0, 0.0]]])
    present = np.array([[True, True], [True, False]])
    experts = np.zeros((2, 2, 2))
    experts[:, 0, 1] = experts[0, 1, 0] = 1.0  # the first says class 1, the second class 0
    outputs = np.array([[0.0, 1.0], [0.0, 1.0]])
    fused = Fused(
        outputs, np.array([[1.5, 0.5], [0.5, 0.0]]), np.ones((2, 2)), present, experts, None
    )
    rise = np.array([[4.0, 0.0], [2.0, 0.0]])
    d = diagnose(kappa, (rise, rise / 2), fused, slice(2))
    assert d.share.tolist() == [1, 0]
    assert (d.worth.tolist(), d.earned.tolist()) == ([3, 0], [1.5, 0])
    np.testing.assert_allclose(d.error[0], 1 / np.sqrt(2))
    np.testing.assert_allclose(d.within, [0.25 / 1.5**2, 0])  # means 1 and 2
    np.testing.assert_allclose(d.across, np.var([1, 2, 0, 0]) / 0.75**2)
    assert d.weight.tolist() == [1.0, 0.5]
    p = np.array([2, 1]) / 3
    np.testing.assert_allclose(d.entropy, -(p * np.log(p)).sum() / np.log(2))
    np.testing.assert_allclose(d.agreement, 2 / 3)


NAMES = ("price", "text", "source")
HEALTHY = Diagnosis(
    share=np.array([0.5, 0.3, 0.2]),
    worth=np.array([0.05, 0.03, 0.02]),
    error=np.full(3, 0.005),
    earned=np.array([0.05, 0.03, 0.02]),
    earned_error=np.full(3, 0.005),
    within=np.full(3, 0.3),
    across=0.5,
    weight=np.array([1.2, 0.8, 0.4]),
    entropy=0.9,
    agreement=0.8,
)


def odd(**later: object) -> str:
    return "\n".join(anomalies(NAMES, HEALTHY, dataclasses.replace(HEALTHY, **later)))


def test_a_healthy_fusion_is_not_remarked_upon() -> None:
    assert odd() == ""
    assert odd(entropy=1.0) == "", "alike is fine where all earn their place"


def test_each_anomaly_names_the_modality_and_the_cause() -> None:
    assert "text is dead" in odd(share=np.array([0.7, 0.001, 0.299]))
    assert "price dominates" in odd(share=np.array([0.9, 0.05, 0.05]))
    assert "text is in no sample" in odd(weight=np.array([1.0, np.nan, 1.0]))
    leak = odd(worth=np.array([0.05, 0.03, -0.1]))
    assert "source helps in training (+0.0200) and hurts later (-0.1000): over-fitting, a" in leak
    alike = odd(entropy=1.0, earned=np.array([0.05, 0.001, -0.001]))
    assert "weighted alike" in alike
    assert "text, source earn nothing" in alike
    assert "feature-dimension contribution variance" in alike
