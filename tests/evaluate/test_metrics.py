"""Metrics by hand and against scikit-learn and scipy."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as oracle

from fusionjax.scores import metrics


def values(scores: dict, days: int = 1) -> dict[str, float]:
    return {k: metrics.point(s, days) for k, s in scores.items()}


def test_classification_by_hand() -> None:
    label = np.array([1, 1, 1, 0, 0, 0])
    up = np.array([0.9, 0.8, 0.4, 0.3, 0.6, 0.1])  # calls: 2 of 3 ups, 2 of 3 downs
    got = values(metrics.classification(label, np.stack([1 - up, up], 1), np.zeros(6, int), 1))
    for name in ("accuracy", "balanced accuracy", "precision", "recall", "F1"):
        np.testing.assert_allclose(got[name], 4 / 6)
    np.testing.assert_allclose(got["MCC"], (4 - 1) / 9)
    np.testing.assert_allclose(got["Brier"], (0.01 + 0.04 + 0.36 + 0.09 + 0.36 + 0.01) / 6)
    # 0.9, 0.8 > all; 0.4 > 0.3, 0.1: 8 of the 9 pairs are in order.
    np.testing.assert_allclose(got["AUC"], 8 / 9)
    # Confidences .9, .8, .6, .7, .6, .9: in bins 6 (twice, both wrong), 7 (right), 8 and 9 (right).
    wanted = 100 * (1.2 + 0.3 + 0.2 + 0.2) / 6
    np.testing.assert_allclose(got["ECE"], wanted)


@given(st.integers(0, 1000), st.integers(2, 4))
@settings(max_examples=40, deadline=None)
def test_classification_against_scikit_learn(seed: int, classes: int) -> None:
    rng = np.random.default_rng(seed)
    label = np.concatenate([np.arange(classes), rng.integers(0, classes, 60)])
    p = np.round(rng.dirichlet(np.ones(classes), len(label)), 2) + 1e-3  # ties among scores
    p /= p.sum(1, keepdims=True)
    call = p.argmax(1)
    got = values(metrics.classification(label, p, np.zeros(len(label), int), 1))
    kind = {"average": "macro", "zero_division": 0, "labels": range(classes)}
    np.testing.assert_allclose(got["accuracy"], oracle.accuracy_score(label, call))
    np.testing.assert_allclose(
        got["balanced accuracy"], oracle.balanced_accuracy_score(label, call)
    )
    np.testing.assert_allclose(got["precision"], oracle.precision_score(label, call, **kind))
    np.testing.assert_allclose(got["recall"], oracle.recall_score(label, call, **kind))
    np.testing.assert_allclose(got["F1"], oracle.f1_score(label, call, **kind))
    np.testing.assert_allclose(got["MCC"], oracle.matthews_corrcoef(label, call), atol=1e-12)
    np.testing.assert_allclose(got["log loss"], oracle.log_loss(label, p))
    square = oracle.brier_score_loss(label, p, scale_by_half=True, labels=range(classes))
    np.testing.assert_allclose(got["Brier"], square)
    if classes == 2:
        np.testing.assert_allclose(got["AUC"], oracle.roc_auc_score(label, p[:, 1]))


@given(st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_a_day_drawn_twice_counts_as_its_samples_twice(seed: int) -> None:
    rng = np.random.default_rng(seed)
    days, day = 6, np.repeat(np.arange(6), 8)
    label, up = rng.integers(0, 2, 48), np.round(rng.uniform(size=48), 1)
    forward = rng.normal(size=48)
    at = rng.integers(days, size=(5, days))
    weights = np.stack([np.bincount(row, minlength=days) for row in at]).astype(float)
    scores = metrics.classification(label, np.stack([1 - up, up], 1), day, days)
    scores |= metrics.ranking(up, forward, day, days)
    for run in range(5):
        rows = np.concatenate([np.flatnonzero(day == d) for d in at[run]])
        again = np.repeat(np.arange(days), 8)
        once = metrics.classification(label[rows], np.stack([1 - up, up], 1)[rows], again, days)
        once |= metrics.ranking(up[rows], forward[rows], again, days)
        del once["ICIR"], once["MCC"]  # their denominators are the period's own
        for name in once:
            score = scores[name]
            got, wanted = score(weights)[run], metrics.point(once[name], days)
            np.testing.assert_allclose(got, wanted, atol=1e-12, err_msg=name)


def test_one_class_only_has_no_correlation() -> None:
    p = np.array([[0.1, 0.9], [0.1, 0.9]])
    got = values(metrics.classification(np.array([1, 1]), p, np.zeros(2, int), 1))
    assert got["MCC"] == 0
    assert np.isnan(got["AUC"])


def test_information_coefficients_by_day() -> None:
    rng = np.random.default_rng(0)
    day = np.repeat(np.arange(3), (6, 7, 3))  # the third day has too few stocks
    signal, after = rng.normal(size=(2, 16))
    signal[:2] = signal[0]  # a tie
    got = values(metrics.ranking(signal, after, day, 3), 3)
    own = [stats.pearsonr(signal[day == d], after[day == d]).statistic for d in (0, 1)]
    ranked = [stats.spearmanr(signal[day == d], after[day == d]).statistic for d in (0, 1)]
    np.testing.assert_allclose(got["IC"], np.mean(own))
    np.testing.assert_allclose(got["RankIC"], np.mean(ranked))
    np.testing.assert_allclose(got["ICIR"], np.mean(own) / np.std(own))


def test_one_stock_has_one_correlation_over_time() -> None:
    rng = np.random.default_rng(0)
    signal, after = rng.normal(size=(2, 30))
    got = values(metrics.ranking(signal, after, np.arange(30), 30), 30)
    np.testing.assert_allclose(got["IC"], stats.pearsonr(signal, after).statistic)
    np.testing.assert_allclose(got["RankIC"], stats.spearmanr(signal, after).statistic)
    assert "ICIR" not in got


def test_errors_by_hand() -> None:
    once = np.zeros(2, int)
    got = values(metrics.regression(np.array([0.0, 1.0]), np.array([1.0, 3.0]), once, 1))
    assert (got["MSE"], got["MAE"]) == (2.5, 1.5)


def test_quantiles_by_hand_and_against_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    levels, y = (0.1, 0.5, 0.9), rng.normal(size=50)
    quantiles = np.sort(rng.normal(size=(50, 3)), 1)
    got = values(metrics.distribution(y, quantiles, levels, np.zeros(50, int), 1))
    each = [oracle.mean_pinball_loss(y, quantiles[:, i], alpha=q) for i, q in enumerate(levels)]
    np.testing.assert_allclose(got["pinball"], np.mean(each))
    np.testing.assert_allclose(
        got["CRPS"], 2 * (0.4 * (each[0] + each[1]) / 2 + 0.4 * (each[1] + each[2]) / 2)
    )
    inside = (y >= quantiles[:, 0]) & (y <= quantiles[:, 2])
    np.testing.assert_allclose(got["coverage"], inside.mean())
    gaps = [abs((y <= quantiles[:, i]).mean() - q) for i, q in enumerate(levels)]
    np.testing.assert_allclose(got["PIT distance"], max(gaps))


def test_crps_of_many_quantiles_is_that_of_the_distribution() -> None:
    """Of a standard normal: Gneiting & Raftery (2007), eq. 5."""
    levels = tuple((np.arange(2000) + 0.5) / 2000)
    y = np.array([-1.0, 0.3, 2.0])
    quantiles = np.tile(stats.norm.ppf(levels), (3, 1))
    got = values(metrics.distribution(y, quantiles, levels, np.zeros(3, int), 1))["CRPS"]
    exact = y * (2 * stats.norm.cdf(y) - 1) + 2 * stats.norm.pdf(y) - 1 / np.sqrt(np.pi)
    np.testing.assert_allclose(got, exact.mean(), rtol=2e-3)
