"""Calibration by hand, against MAPIE and scikit-learn, and blind to what has not matured."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mapie.conformity_scores import AbsoluteConformityScore
from mapie.regression import (
    ConformalizedQuantileRegressor,
    SplitConformalRegressor,
    TimeSeriesRegressor,
)
from scipy import special, stats
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.metrics import log_loss

from fusionjax.errors import InputError
from fusionjax.scores import calibration
from fusionjax.scores.calibration import Intervals


class Says(RegressorMixin, BaseEstimator):
    """A fitted regressor that always says the same."""

    def __init__(self, value: float = 0.0) -> None:
        self.value = value
        self.fitted_ = True

    def fit(self, x: np.ndarray, y: np.ndarray) -> "Says":
        return self

    def predict(self, x: np.ndarray) -> np.ndarray:
        return np.full(len(x), self.value)


def conformal(
    low: np.ndarray,
    high: np.ndarray,
    y: np.ndarray,
    scale: np.ndarray,
    start: np.ndarray,
    end: np.ndarray,
    **settings: float,
) -> tuple[np.ndarray, np.ndarray]:
    raw = Intervals(low, high, y, scale)
    return calibration.adaptive_conformal(raw, start, end, **settings)


def panel(seed: int, samples: int = 300, sessions: int = 40) -> dict[str, np.ndarray]:
    """Samples in no order, a few a session, with horizons of one to seven sessions and gaps."""
    rng = np.random.default_rng(seed)
    start = rng.integers(0, sessions, samples)
    low = -rng.uniform(0, 1, samples)
    y = rng.standard_t(4, samples) * rng.uniform(0.5, 3, sessions)[start]
    return {
        "low": low,
        "high": low + rng.uniform(0, 2, samples),
        "y": np.where(rng.uniform(size=samples) < 0.1, np.nan, y),
        "scale": rng.uniform(0.5, 2, samples),
        "start": start,
        "end": start + rng.integers(1, 8, samples),
    }


# Temperature


def test_temperature_by_hand() -> None:
    """Log odds of 2, right three times in four: sigmoid(2 / T) = 3/4 where 2 / T = log 3."""
    got = calibration.temperature(np.array([2.0, 2.0, -2.0, -2.0]), np.array([1, 0, 0, 0]))
    np.testing.assert_allclose(got, 2 / math.log(3), rtol=1e-4)


@given(st.integers(0, 1000), st.floats(0.2, 5))
@settings(max_examples=10, deadline=None)
def test_no_other_temperature_has_less_log_loss_by_scikit_learn(seed: int, loud: float) -> None:
    rng = np.random.default_rng(seed)
    true = rng.normal(size=80)
    label = (rng.uniform(size=80) < special.expit(true)).astype(int)

    def loss(t: float) -> float:
        return log_loss(label, special.expit(loud * true / t), labels=[0, 1])

    best = loss(calibration.temperature(loud * true, label))
    assert best <= min(loss(t) for t in np.geomspace(1 / 20, 20, 100)) + 1e-9


def test_overconfident_odds_are_cooled_and_call_the_same() -> None:
    rng = np.random.default_rng(0)
    true = rng.normal(size=20_000)
    label = (rng.uniform(size=20_000) < special.expit(true)).astype(int)
    got = calibration.temperature(3 * true, label)
    np.testing.assert_allclose(got, 3, rtol=0.05)
    np.testing.assert_array_equal(special.expit(3 * true / got) > 0.5, true > 0)


@pytest.mark.parametrize(("label", "wanted"), [([1, 0], 1 / 20), ([0, 1], 20.0)])
def test_temperature_is_bounded_where_all_are_right_or_wrong(label: list, wanted: float) -> None:
    got = calibration.temperature(np.array([0.3, -0.2]), np.array(label))
    np.testing.assert_allclose(got, wanted, rtol=1e-3)


def test_temperature_of_nothing_is_an_error() -> None:
    with pytest.raises(InputError, match="0 labels"):
        calibration.temperature(np.zeros(0), np.zeros(0, int))


def test_blocks_use_the_labels_matured_before_them() -> None:
    """One sample a session, known five later: 255 of them before 260, 275 before 280."""
    rng = np.random.default_rng(0)
    start = np.arange(300)
    logit, label = rng.normal(size=300), rng.integers(0, 2, 300)
    known = np.ones(300, bool)
    got = calibration.prequential_temperature(logit, label, known, start, start + 5)
    assert (got[:260] == 1).all()
    assert (got[260:280] == calibration.temperature(logit[:255], label[:255])).all()
    assert (got[280:] == calibration.temperature(logit[:275], label[:275])).all()
    known[:5] = False  # 250 are left before 260
    got = calibration.prequential_temperature(logit, label, known, start, start + 5)
    assert (got[260:280] == calibration.temperature(logit[5:255], label[5:255])).all()
    known[5] = False
    got = calibration.prequential_temperature(logit, label, known, start, start + 5)
    assert (got[:280] == 1).all()
    assert (got[280:] == calibration.temperature(logit[6:275], label[6:275])).all()


def temperature_is_blind(seed: int, now: int, leak: bool) -> bool:
    """Whether ``now``'s temperature is the same to the bit, whatever matures later.

    Args:
      seed: of the panel and its odds, three times too loud.
      now: session.
      leak: tells the function that labels mature when the forecast is made.
    """
    rng, p = np.random.default_rng(seed), panel(seed, samples=1200)
    logit, known = 3 * rng.normal(size=1200), rng.uniform(size=1200) < 0.9
    label = (rng.uniform(size=1200) < special.expit(logit / 3)).astype(int)
    ask, later = p["start"] == now, p["end"] > now
    rows = [logit, label, known, p["start"], p["start" if leak else "end"]]
    whole = calibration.prequential_temperature(*rows, every=5)[ask]
    assert (whole > 1).all()  # enough had matured
    rows[1] = np.where(later, 1 - label, label)
    changed = calibration.prequential_temperature(*rows, every=5)[ask]
    keep = ~later | ask
    gone = calibration.prequential_temperature(*(r[keep] for r in rows), every=5)[ask[keep]]
    return (changed == whole).all() and (gone == whole).all()


@given(st.integers(0, 1000), st.integers(20, 39))
@settings(max_examples=25, deadline=None)
def test_temperature_is_blind_to_what_matures_later(seed: int, now: int) -> None:
    assert temperature_is_blind(seed, now, leak=False)
    assert not temperature_is_blind(seed, now, leak=True)


# Conformal intervals


def test_split_conformal_by_hand() -> None:
    """Rank ⌈(S + 1) level⌉: of 9 and of 8 the ninth, of 19 the eighteenth, of 3 the second."""
    assert calibration.split_conformal(np.arange(9.0), 0.9) == 8
    assert calibration.split_conformal(np.arange(19.0)[::-1], 0.9) == 17
    assert calibration.split_conformal(np.arange(8.0), 0.9) == math.inf
    assert calibration.split_conformal(np.array([3.0, 1.0, 2.0]), 0.5) == 2
    assert calibration.split_conformal(np.zeros(0), 0.5) == math.inf
    # 100 × .55 is 55.000000000000007 to a computer; the 56th score would be one too many.
    assert calibration.split_conformal(np.arange(99.0), 0.55) == 54


@given(st.integers(0, 1000), st.integers(20, 300), st.sampled_from([0.5, 0.75, 0.8, 0.9, 0.95]))
@settings(max_examples=40, deadline=None)
def test_split_conformal_against_mapie(seed: int, count: int, level: float) -> None:
    y = np.random.default_rng(seed).standard_t(3, count)
    x = np.zeros((count, 1))
    oracle = SplitConformalRegressor(Says(), confidence_level=level, prefit=True)
    _, interval = oracle.conformalize(x, y).predict_interval(x[:1])
    assert calibration.split_conformal(np.abs(y), level) == interval[0, 1, 0]


def test_split_conformal_covers_exchangeable_samples() -> None:
    """The 90th of 99 scores is above a hundredth with probability 90/100 exactly."""
    score = np.random.default_rng(0).exponential(size=(4000, 100))
    hits = sum(s[99] <= calibration.split_conformal(s[:99], 0.9) for s in score)
    assert stats.binomtest(int(hits), 4000, 0.9).pvalue > 0.01


def test_adaptive_conformal_by_hand() -> None:
    """One sample a session, known the next; half to be covered, rate .1, scores of 3 sessions.

    Session 0: no score, raw. 1: of {1} the first; it was issued raw, so α stays .5. 2: 3 was
    outside 1, α = .45; of {1, 3} rank ⌈3 × .55⌉ = 2. 3: 2 was inside 3, α = .5; of {1, 2, 3} rank
    ⌈4 × .5⌉ = 2. 4: 4 was outside 2, α = .45; of {2, 3, 4} rank ⌈4 × .55⌉ = 3. 5: unknown, so α
    stays; of {2, 4}, as 3 matured in session 2, rank ⌈3 × .55⌉ = 2.
    """
    y, day = np.array([1.0, 3.0, -2.0, 4.0, np.nan, 9.0]), np.arange(6)
    scale = np.array([1.0, 1.0, 1.0, 1.0, 2.0, 1.0])
    y[4:] *= scale[4:]
    low, high = conformal(
        np.zeros(6), np.zeros(6), y, scale, day, day + 1, level=0.5, rate=0.1, window=3
    )
    np.testing.assert_array_equal(high, [0, 1, 3, 2, 4 * 2, 4])
    np.testing.assert_array_equal(low, -high)


def test_conformalised_quantiles_against_mapie() -> None:
    rng = np.random.default_rng(0)
    y, x = rng.standard_t(3, 101), np.zeros((101, 1))
    oracle = ConformalizedQuantileRegressor([Says(-1.0), Says(1.5), Says(0.2)], 0.9, prefit=True)
    _, interval = oracle.conformalize(x[:100], y[:100]).predict_interval(
        x[100:], symmetric_correction=True
    )
    start = np.where(np.arange(101) < 100, 0, 1)
    got = conformal(np.full(101, -1.0), np.full(101, 1.5), y, np.ones(101), start, start + 1)
    np.testing.assert_allclose([got[0][100], got[1][100]], interval[0, :, 0], rtol=1e-12)


@pytest.mark.filterwarnings("ignore:\\s*This function behavior has been changed")
@pytest.mark.parametrize("rate", [0.0, 0.005, 0.01])
def test_adaptive_conformal_against_mapie(rate: float) -> None:
    """One series, its outcome known the next day, after 100 calibration scores without intervals.

    MAPIE keeps as many scores as it began with, so the window is 100. It raises where α asks for
    certainty, with a symmetric score, so rates are low.
    """
    rng = np.random.default_rng(1)
    first, count = 100, 350
    y, x = rng.standard_t(4, count) * np.linspace(1, 3, count), np.zeros((count, 1))
    oracle = TimeSeriesRegressor(
        Says(), method="aci", cv="prefit", conformity_score=AbsoluteConformityScore(sym=True)
    ).fit(x[:first], y[:first])
    wanted = np.empty((count, 2))
    for t in range(first, count):
        now = x[t : t + 1], y[t : t + 1]
        wanted[t] = oracle.predict(now[0], confidence_level=0.9)[1][0, :, 0]
        oracle.adapt_conformal_inference(*now, gamma=rate, confidence_level=0.9)
        oracle.update(*now)
    day, zero = np.arange(count), np.zeros(count)
    start = np.where(day < first, -1, day)
    low, high = conformal(zero, zero, y, zero + 1, start, day + 1, rate=rate, window=first)
    np.testing.assert_array_equal(low[first:], wanted[first:, 0])
    np.testing.assert_array_equal(high[first:], wanted[first:, 1])


@given(st.integers(0, 1000), st.sampled_from([0.0, 0.05, 0.5]), st.sampled_from([3, 10, 99]))
@settings(max_examples=40, deadline=None)
def test_a_panel_with_gaps_and_delays_follows_the_definition(
    seed: int, rate: float, window: int
) -> None:
    """A diary: what is known at each close is looked up anew, sample by sample."""
    p = panel(seed)
    p["start"] *= 2  # sessions without a decision
    p["end"] += p["start"] // 2
    low, high, y, scale, start, end = p.values()
    alpha, issued = 0.2, {}
    for now in range(max(end) + 1):
        known = [i for i in range(len(y)) if end[i] <= now and not np.isnan(y[i])]
        misses = [
            not issued[i][0] <= y[i] <= issued[i][1]
            for i in known
            if end[i] == now and issued[i][2]
        ]
        if misses:
            alpha = min(max(alpha + rate * (0.2 - sum(misses) / len(misses)), 0), 1)
        scores = sorted(
            max(low[i] - y[i], y[i] - high[i]) / scale[i] for i in known if end[i] > now - window
        )
        for i in np.flatnonzero(start == now):
            issued[i] = low[i], high[i], False
            if len(scores) >= 4:  # of fewer, ⌈.8 (n + 1)⌉ is more than n
                rank = math.ceil((len(scores) + 1) * (1 - alpha) - 1e-9)
                margin = scores[min(max(rank, 1), len(scores)) - 1] * scale[i]
                middle = (low[i] + high[i]) / 2
                issued[i] = min(low[i] - margin, middle), max(high[i] + margin, middle), True
    got = conformal(**p, level=0.8, rate=rate, window=window)
    wanted = np.array([issued[i][:2] for i in range(len(y))])
    np.testing.assert_array_equal(np.stack(got, 1), wanted)


def blind(p: dict[str, np.ndarray], now: int, end: np.ndarray) -> bool:
    """Whether ``now``'s intervals are the same to the bit, whatever matures later, or nothing.

    Args:
      p: the panel.
      now: session.
      end: when the function is told that labels mature.
    """
    ask, later = p["start"] == now, p["end"] > now
    told = p | {"end": end}
    whole = np.stack(conformal(**told, rate=0.1))[:, ask]
    changed = told | {"y": np.where(later, 100.0, p["y"])}
    unknown = told | {"y": np.where(later, np.nan, p["y"])}
    keep = ~later | ask
    gone = {k: v[keep] for k, v in unknown.items()}
    others = [
        np.stack(conformal(**q, rate=0.1))[:, mine]
        for q, mine in ((changed, ask), (unknown, ask), (gone, ask[keep]))
    ]
    return all((o == whole).all() for o in others)


@given(st.integers(0, 1000), st.integers(0, 39))
@settings(max_examples=40, deadline=None)
def test_intervals_are_blind_to_what_matures_later(seed: int, now: int) -> None:
    p = panel(seed)
    assert blind(p, now, p["end"])


def test_labels_known_too_soon_are_noticed() -> None:
    p = panel(0)
    assert not any(blind(p, now, p["start"]) for now in range(5, 40))


def test_a_leak_would_cover_every_day_alike() -> None:
    """Days as wild as they like: an honest interval misses the wild ones, a leaked one does not."""
    rng = np.random.default_rng(0)
    start = np.repeat(np.arange(200), 50)
    y = rng.normal(size=10_000) * rng.lognormal(sigma=1, size=200)[start]
    zero = np.zeros(10_000)

    def by_day(end: np.ndarray) -> np.ndarray:
        low, high = conformal(zero, zero, y, zero + 1, start, end, window=1)
        return ((low <= y) & (y <= high)).reshape(200, 50)[20:].mean(1)

    assert by_day(start + 1).min() < 0.5
    assert by_day(start).min() >= 0.9


@given(st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_the_order_of_samples_does_not_matter(seed: int) -> None:
    p = panel(seed)
    order = np.random.default_rng(seed).permutation(len(p["y"]))
    shuffled = conformal(**{k: v[order] for k, v in p.items()})
    whole = conformal(**p)
    np.testing.assert_array_equal(np.stack(shuffled), np.stack(whole)[:, order])


@given(st.integers(0, 1000))
@settings(max_examples=10, deadline=None)
def test_exchangeable_days_are_covered_as_often_as_said(seed: int) -> None:
    rng = np.random.default_rng(seed)
    y, day, zero = rng.standard_t(4, 3000), np.arange(3000), np.zeros(3000)
    _, high = conformal(zero, zero, y, zero + 1, day, day + 1)
    hits = int((np.abs(y) <= high)[500:].sum())
    assert stats.binomtest(hits, 2500, 0.9).pvalue > 1e-4


def test_certainty_is_the_largest_score_and_never_infinite() -> None:
    """Each day beyond all before it: always missed, so that α is soon 0."""
    y, day, zero = np.arange(1.0, 41), np.arange(40), np.zeros(40)
    _, high = conformal(zero, zero, y, zero + 1, day, day + 1, rate=0.5)
    np.testing.assert_array_equal(high[12:], y[11:-1])


def test_an_interval_narrowed_beyond_its_middle_is_its_middle() -> None:
    """Nine outcomes at the centre of [-4, 4], then a raw interval of [0, 2]."""
    low, high = np.r_[np.full(9, -4.0), 0.0], np.r_[np.full(9, 4.0), 2.0]
    start = np.r_[np.zeros(9, int), 1]
    got = conformal(low, high, np.zeros(10), np.ones(10), start, start + 1)
    assert (got[0][9], got[1][9]) == (1, 1)


def test_bad_levels_and_scales_are_errors() -> None:
    p = panel(0)
    with pytest.raises(InputError, match="level is 90"):
        calibration.split_conformal(np.zeros(5), 90.0)
    with pytest.raises(InputError, match="level is 1"):
        conformal(**p, level=1.0)
    p["scale"][7] = np.nan
    with pytest.raises(InputError, match="scale is nan at sample 7"):
        conformal(**p)


# Risk and coverage


def test_risk_coverage_by_hand() -> None:
    """The two at .8 count half a mistake each: risks 0, .5/2, 1/3, 2/4."""
    share, risk = calibration.risk_coverage(
        np.array([0.1, 0.8, 0.9, 0.8]), np.array([1.0, 1.0, 0.0, 0.0])
    )
    np.testing.assert_allclose(share, [0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(risk, [0, 0.25, 1 / 3, 0.5])
    area = calibration.aurc(np.array([0.1, 0.8, 0.9, 0.8]), np.array([1.0, 1.0, 0.0, 0.0]))
    np.testing.assert_allclose(area, (0.25 + 1 / 3 + 0.5) / 4)


@given(st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_risk_coverage_is_the_mean_over_all_orders_of_equals(seed: int) -> None:
    rng = np.random.default_rng(seed)
    confidence, loss = rng.integers(0, 3, 6) / 2, rng.exponential(size=6)
    curves = []
    for order in map(list, itertools.permutations(range(6))):
        taken = sorted(order, key=lambda i: -confidence[i])  # stable: equals stay in this order
        curves.append(np.cumsum(loss[taken]) / np.arange(1, 7))
    _, risk = calibration.risk_coverage(confidence, loss)
    np.testing.assert_allclose(risk, np.mean(curves, 0))
    order = rng.permutation(6)
    _, again = calibration.risk_coverage(confidence[order], loss[order])
    np.testing.assert_allclose(again, risk)
