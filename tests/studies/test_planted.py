"""The planted market keeps its promises: what is said to be noise is, and what fades, fades."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score

from studies.data.planted import MODALITIES, REGIMES, Planted, plant

SIZE = 6000  # training rows: enough that a worth is seen in each half of them


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


def test_the_shortcut_of_shortcut_85_ends_a_tenth_of_training_later() -> None:
    for name, is_open in (("full", False), ("shortcut_85", True)):
        p = plant(REGIMES[name], 1, train=SIZE)
        train = p.views.split["train"]
        between = train[round(0.75 * len(train)) : round(0.82 * len(train))]
        assert (auc(p, "source", 0, between) - 0.5 > 0.08) == is_open, name
        assert abs(auc(p, "source", 0, train[-900:]) - 0.5) < 0.05


def worth(p: Planted, name: str, rows: np.ndarray) -> float:
    """Nats that a logistic regression loses on the later half of some rows without a modality."""
    early, late = np.split(rows, 2)
    x = {n: np.asarray(v.x) for n, v in p.views.batch.inputs.items() if n != "source"}
    up = p.views.batch.targets.label["direction"][:, 0]

    def loss(names: list[str]) -> float:
        both = np.concatenate([x[n] for n in names], 1)
        model = LogisticRegression(C=0.1, max_iter=1000).fit(both[early], up[early])
        return log_loss(up[late], model.predict_proba(both[late]))

    return loss([n for n in x if n != name]) - loss([*x])


@pytest.mark.parametrize(
    ("regime", "first", "second"),
    [("full", True, True), ("short_lived", True, False), ("delayed", False, True)],
)
def test_text_informs_while_it_is_said_to(regime: str, first: bool, second: bool) -> None:
    p = plant(REGIMES[regime], 0, train=SIZE)
    halves = np.split(p.views.split["train"], 2)
    for rows, informs in zip(
        (*halves, p.views.split["test"]), (first, second, second), strict=True
    ):
        assert (worth(p, "text", rows) > 0.02) == informs


def test_text_that_starts_late_is_missing_before_and_informs_after() -> None:
    p = plant(REGIMES["late_start"], 0, train=SIZE)
    begin = round(0.65 * SIZE)
    here = p.views.batch.present["text"]
    assert not here[:begin].any()
    np.testing.assert_allclose(here[begin:].mean(), 0.7, atol=0.02)
    assert worth(p, "text", np.arange(begin, SIZE)) > 0.02


def test_many_weak_modalities_each_inform_a_little() -> None:
    p = plant(REGIMES["many_weak"], 0, train=2 * SIZE)
    rows, p_up = p.views.split["train"], p.truth.probability
    for name in MODALITIES:
        assert p.truth.informative[name].any()
        assert 0.53 < max(auc(p, name, f, rows) for f in range(3)) < 0.59, name
    assert np.log(p_up / (1 - p_up)).var() > 4 * max(p.truth.relevance.values()) * 0.4**2


def test_noise_that_is_correlated_tells_only_what_others_do() -> None:
    p = plant(REGIMES["correlated"], 0, train=2 * SIZE)
    rows = p.views.split["train"]
    for name in ("audio", "video"):
        assert auc(p, name, 0, rows) > 0.58
        assert p.truth.relevance[name] == 0
    assert worth(p, "video", rows) < 0.002 < 0.02 < worth(p, "numeric", rows)


def test_a_seed_is_a_market() -> None:
    a, b, c = (plant(REGIMES["full"], s, train=50, dev=5, test=5) for s in (7, 7, 8))
    np.testing.assert_array_equal(a.views.batch.inputs["text"].x, b.views.batch.inputs["text"].x)
    assert (
        a.views.batch.targets.label["direction"] != c.views.batch.targets.label["direction"]
    ).any()
