"""The planted market keeps its promises: what is said to be noise is, and what fades, fades."""

import numpy as np
from sklearn.metrics import roc_auc_score

from studies.data.planted import MODALITIES, REGIMES, Planted, plant


def auc(p: Planted, name: str, feature: int, rows: np.ndarray) -> float:
    """How well one feature alone tells the label, 0.5 = not at all."""
    here = rows[p.views.batch.present[name][rows]]
    up = p.views.batch.targets.label["direction"][here, 0]
    return roc_auc_score(up, p.views.batch.inputs[name].x[here, feature])


def test_what_is_informative_is_and_what_is_noise_is_not() -> None:
    p = plant(REGIMES["full"], 0)
    test = p.views.split["test"]
    assert p.views.names == MODALITIES
    for name in MODALITIES:
        told = [abs(auc(p, name, f, test) - 0.5) for f in range(len(p.truth.informative[name]))]
        for value, informative in zip(told, p.truth.informative[name], strict=True):
            redundant = name == "chart" and value > 0.04 and not informative
            assert informative or redundant or value < 0.04, name
        if p.truth.informative[name].any():
            assert max(told) > 0.08


def test_the_shortcut_fades_inside_training() -> None:
    p = plant(REGIMES["full"], 1)
    train = p.views.split["train"]
    early, late = (auc(p, "source", 0, rows) for rows in (train[:500], train[-600:]))
    assert early > 0.95
    assert abs(late - 0.5) < 0.06


def test_relevance_is_what_a_modality_shows_of_the_log_odds() -> None:
    truth = plant(REGIMES["full"], 0).truth
    wanted = {
        "numeric": 0.49 + 0.36 + 0.16 + 0.7 * 0.25 / 2,
        "text": 0.7 * (0.49 + 0.25 * 0.61 + 0.16 + 0.25 / 2),  # E tanh²(2z) = .61
        "chart": 0.7 * (0.49 + 0.25 + 0.16),
    }
    assert list(truth.relevance) == list(MODALITIES)
    for name, value in truth.relevance.items():
        np.testing.assert_allclose(value, wanted.get(name, 0.0), rtol=0.05)


def test_shares_missing_corrupted_and_flipped() -> None:
    p = plant(REGIMES["noisy_labels"], 2)
    shares = {name: 1 - here.mean() for name, here in p.views.batch.present.items()}
    np.testing.assert_allclose([shares["text"], shares["audio"]], [0.3, 0.5], atol=0.02)
    assert sum(shares[n] for n in ("numeric", "chart", "video", "source")) == 0
    np.testing.assert_allclose(p.truth.corrupted.mean(), 0.3, atol=0.02)
    train, test = p.views.split["train"], p.views.split["test"]
    np.testing.assert_allclose(p.truth.flipped[train].mean(), 0.25, atol=0.03)
    assert not p.truth.flipped[test].any()


def test_drift_reverses_the_chart_half_way() -> None:
    p = plant(REGIMES["drift"], 3)
    train = p.views.split["train"]
    clean = train[~p.truth.corrupted[train]]
    half = len(train) // 2
    assert auc(p, "chart", 0, clean[clean < half]) < 0.42
    assert auc(p, "chart", 0, clean[clean >= half]) > 0.58


def test_a_seed_is_a_market() -> None:
    a, b, c = (plant(REGIMES["full"], s, train=50, dev=5, test=5) for s in (7, 7, 8))
    np.testing.assert_array_equal(a.views.batch.inputs["text"].x, b.views.batch.inputs["text"].x)
    assert (
        a.views.batch.targets.label["direction"] != c.views.batch.targets.label["direction"]
    ).any()
