"""False alarms come as seldom as asked; changes are found, dated and sized, distances measured."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal, stats

from fusionjax.adapt import drift, shift
from fusionjax.adapt.drift import Alarm, DriftDetectors
from fusionjax.adapt.signals import ReferenceProfile
from fusionjax.errors import InputError

REFERENCE = np.random.default_rng(0).normal(5.0, 2.0, 400)


def watched(watch: DriftDetectors, values: np.ndarray, start: int = 0) -> list[Alarm]:
    return [a for t, x in enumerate(values, start) for a in watch.update({"x": float(x)}, str(t))]


@pytest.mark.parametrize("detector", ["PageHinkley", "ADWIN"])
@pytest.mark.parametrize("asked", [500.0, 2000.0])
def test_false_alarms_come_as_seldom_as_asked(detector: str, asked: float) -> None:
    threshold = drift.sensitivity(detector, asked)
    # 600 streams: a standard error of 4 %.
    got = drift.measured_run_length(detector, threshold, streams=600, seed=2)
    assert got == pytest.approx(asked, rel=0.2)


@pytest.mark.parametrize("asked", [250.0, 1000.0, 5000.0, 20_000.0, 400_000.0])
def test_thresholds_agree_with_the_theory_of_cusum(asked: float) -> None:
    # Siegmund (1985): a one-sided chart with slack k and threshold h runs (e^2kb - 2kb - 1)/2k²
    # sessions with b = h + 1.166; two sides alarm twice as often.
    slope = 2 * 0.25 * (drift.sensitivity("PageHinkley", asked) + 1.166)
    assert (math.exp(slope) - slope - 1) / (2 * 0.25**2) / 2 == pytest.approx(asked, rel=0.12)


def test_kswin_does_not_alarm_more_often_than_asked() -> None:
    got = drift.measured_run_length("KSWIN", drift.sensitivity("KSWIN", 100.0), 40, 2)
    assert 75 < got < 300


def test_a_watch_shares_its_run_length_among_its_series() -> None:
    rng = np.random.default_rng(3)
    first = []
    for _ in range(120):
        watch = DriftDetectors.from_reference(
            {k: rng.normal(size=1000) for k in "abcd"}, run_length=100.0
        )
        session = 0
        while not watch.update(dict(zip("abcd", rng.normal(size=4), strict=True)), ""):
            session += 1
        first.append(session)
    assert np.mean(first) == pytest.approx(100, rel=0.3)


@given(st.integers(0, 250), st.sampled_from(["PageHinkley", "ADWIN"]), st.integers(0, 5))
@settings(max_examples=30, deadline=None)
def test_a_restored_watch_raises_the_same_alarms(split: int, detector: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(5.0, 2.0, 250) + np.repeat([0, 4, -2, 6, 0], 50)
    values[rng.random(250) < 0.1] = np.nan
    whole = DriftDetectors.from_reference({"x": REFERENCE}, detector, 600.0)
    wanted = watched(whole, values)
    assert len(wanted) >= 3
    part = DriftDetectors.from_reference({"x": REFERENCE}, detector, 600.0)
    got = watched(part, values[:split])
    state = json.loads(json.dumps(part.to_json(), allow_nan=False))
    written = json.dumps(state)
    restored = DriftDetectors.from_json(state)
    assert got + watched(restored, values[split:], split) == wanted
    assert restored.to_json() == whole.to_json()
    assert json.dumps(state) == written


def test_kswin_is_restored_in_the_middle_of_its_window() -> None:
    values = np.random.default_rng(1).normal(5.0, 2.0, 120) + np.repeat([0, 6], 60)
    whole, part = (
        DriftDetectors.from_reference({"x": REFERENCE}, "KSWIN", 600.0) for _ in range(2)
    )
    wanted = watched(whole, values)
    assert wanted
    got = watched(part, values[:63])
    assert got + watched(DriftDetectors.from_json(part.to_json()), values[63:], 63) == wanted


@pytest.mark.parametrize("jump", [3.0, -3.0])
def test_a_step_is_dated_sized_and_then_the_new_level(jump: float) -> None:
    watch = DriftDetectors.from_reference({"x": REFERENCE})
    values = 5.0 + 2.0 * stats.norm.ppf(np.random.default_rng(0).uniform(0.2, 0.8, 300))
    values[100:] += 2.0 * jump
    (alarm,) = watched(watch, values)
    assert alarm.since == "100"
    assert int(alarm.session) < 110
    assert alarm.size == pytest.approx(jump, abs=0.4)
    assert watch.to_json()["series"]["x"]["mean"] == pytest.approx(5.0 + 2.0 * jump, abs=1.0)


def test_the_change_point_is_the_likeliest_of_all_splits() -> None:
    rng = np.random.default_rng(5)
    kept = rng.normal(size=40) + np.repeat([0.0, 1.0], 20)
    series = drift._Series(0.0, 1.0, 0.0, 7, None, [str(t) for t in range(40)], kept.tolist())
    past = np.append(np.zeros(7), kept)  # the reference is seven sessions at 0
    squares = [past[:k].var() * k + past[k:].var() * (47 - k) for k in range(7, 47)]
    at = int(np.argmin(squares))
    alarm = series.restart("x")
    assert alarm.since == str(at)
    assert alarm.size == pytest.approx(kept[at:].mean() - past[: 7 + at].mean())
    assert series.mean == pytest.approx(kept[at:].mean())
    assert series.before == pytest.approx(kept[-1] - kept[at:].mean())  # from the new level


def test_a_change_before_the_first_session_is_seen() -> None:
    values = np.random.default_rng(1).normal(7.0, 2.0, 60)
    alarms = watched(DriftDetectors.from_reference({"x": REFERENCE}), values)
    assert alarms
    assert int(alarms[0].since) < 10


def test_the_step_of_a_persistent_series_has_its_size_in_the_reference() -> None:
    rng, alarms = np.random.default_rng(2), []
    for _ in range(40):
        # AR(1) with φ = 0.8 and a standard deviation of 1.
        x = signal.lfilter([1], [1, -0.8], rng.normal(size=2300))[100:] * 0.6
        watch = DriftDetectors.from_reference({"x": x[:2000]}, run_length=100_000.0)
        alarms += watched(watch, x[2000:] + 3.0 * (np.arange(200) >= 100))[:1]
    assert len(alarms) == 40
    assert np.median([int(a.since) for a in alarms]) == 100
    assert np.mean([a.size for a in alarms]) == pytest.approx(3.0, abs=0.4)


def test_content_that_stays_as_it_was_alarms_no_more_often_than_asked() -> None:
    """100 features that move together in heavy-tailed directions, as embeddings of texts do."""
    rng, first = np.random.default_rng(0), []
    for _ in range(60):
        x = rng.standard_t(5, size=(2500, 10)) @ rng.normal(size=(10, 100))
        x += rng.normal(size=x.shape)
        usual, known = ReferenceProfile.of(x[:500])
        watch = DriftDetectors.from_reference({"x": known}, run_length=500.0)
        alarms = (t for t, v in enumerate(usual.distance(x[500:])) if watch.update({"x": v}, ""))
        first.append(next(alarms, 2000))
    assert 0.75 * 500 < np.mean(first) < 2 * 500


def test_a_session_is_measured_against_the_others_by_hand() -> None:
    x = np.array([[1.0, 5.0], [2.0, 5.0], [6.0, 5.0], [np.nan, 5.0]])
    usual, known = ReferenceProfile.of(x)
    assert usual.mean == [3.0, 5.0]
    np.testing.assert_allclose(usual.std, [math.sqrt(7), 0.0])  # (4 + 1 + 9) / 2
    # 1 against 2 and 6, whose mean is 4 and variance 8; the second feature does not vary.
    np.testing.assert_allclose(known[0], np.cbrt(9 / 8))
    np.testing.assert_allclose(known[2], np.cbrt(25.0))  # 20.25 over 0.5, cut at five deviations
    assert np.isnan(known[3])
    np.testing.assert_allclose(usual.distance(np.array([[10.0, 7.0]])), np.cbrt([7.0]))


def test_whitening_leaves_no_false_alarms_in_a_persistent_series() -> None:
    rng, early = np.random.default_rng(4), 0
    for _ in range(100):
        x = signal.lfilter([1], [1, -0.9], rng.normal(size=1400))[100:]
        early += bool(watched(DriftDetectors.from_reference({"x": x[:1000]}), x[1000:]))
    assert early < 45  # 1 - e^-0.3 = 26 of 100 expected


def test_a_missing_value_is_no_observation() -> None:
    values = np.random.default_rng(1).normal(5.0, 2.0, 80) + np.repeat([0, 5], 40)
    gaps = DriftDetectors.from_reference({"x": np.append(REFERENCE, np.nan)})
    plain = DriftDetectors.from_reference({"x": REFERENCE})
    got = [
        a
        for t, x in enumerate(values)
        for a in gaps.update({"x": float(x)}, str(t))
        if gaps.update({"x": math.nan}, "none") == []
    ]
    assert got == watched(plain, values) != []
    assert gaps.to_json() == plain.to_json()


def test_an_alarm_speaks_plain_english() -> None:
    alarm = Alarm("label: share up", "2020-03-10", "2020-03-02", -1.24)
    assert alarm.words == (
        "label: share up fell by 1.2 reference standard deviations: "
        "since 2020-03-02, seen 2020-03-10"
    )


def test_bad_input_is_named() -> None:
    with pytest.raises(InputError, match=r"'Page'.*PageHinkley, ADWIN, KSWIN"):
        drift.sensitivity("Page", 1000.0)
    with pytest.raises(InputError, match="every 30,000 sessions.*KSWIN reaches 66 to"):
        DriftDetectors.from_reference({str(i): REFERENCE for i in range(30)}, "KSWIN", 1000.0)
    with pytest.raises(InputError, match="every 10 sessions"):
        drift.sensitivity("PageHinkley", 10.0)
    with pytest.raises(InputError, match="no series"):
        DriftDetectors.from_reference({})
    for bad in (np.full(50, 0.1), np.arange(5.0), np.append(REFERENCE, np.inf)):
        with pytest.raises(InputError, match="reference of 'x'"):
            DriftDetectors.from_reference({"x": bad})
    watch = DriftDetectors.from_reference({"x": REFERENCE})
    before = watch.to_json()
    for values in ({"x": 5.0, "y": 1.0}, {"x": math.inf}):
        with pytest.raises(InputError, match="2020-01-02"):
            watch.update(values, "2020-01-02")
    assert watch.to_json() == before
    with pytest.raises(InputError, match="at least two finite rows"):
        shift.embedding_shift(np.ones((1, 2)), np.ones((5, 2)), np.zeros(1, int))


def test_the_stability_index_by_hand() -> None:
    reference = np.arange(100.0)[:, None]  # ten in each bin
    recent = np.append(np.arange(0, 50, 1.0), np.full(50, np.nan))[:, None]
    # Five bins double from 0.1 to 0.2, five are empty and count half of 50 samples: 0.01.
    wanted = 5 * 0.1 * math.log(2) + 5 * 0.09 * math.log(10)
    np.testing.assert_allclose(shift.shifts(reference, recent)["PSI"], [wanted])
    chance = 9 * (1 / 100 + 1 / 50)
    got = shift.robustness(reference, recent)
    np.testing.assert_allclose(got, [math.exp(-(wanted - chance) / 0.25)])


def test_coinciding_quantiles_are_one_bin() -> None:
    reference, recent = (np.repeat([0.0, 1.0], [n, 40 - n])[:, None] for n in (20, 10))
    wanted = 0.25 * math.log(0.5 / 0.25) + 0.25 * math.log(0.75 / 0.5)  # two bins are left
    np.testing.assert_allclose(shift.shifts(reference, recent)["PSI"], [wanted])
    got = shift.robustness(reference, recent)
    np.testing.assert_allclose(got, [math.exp(-(wanted - 2 / 40) / 0.25)])


@given(st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_kolmogorov_smirnov_against_scipy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    reference, recent = rng.normal(size=(60, 3)), rng.normal(0.3, 1.5, size=(25, 3))
    reference[:, 1:], recent[:, 1:] = reference[:, 1:].round(), recent[:, 1:].round()  # ties
    reference[rng.random((60, 3)) < 0.2] = np.nan
    recent[rng.random((25, 3)) < 0.2] = np.nan
    wanted = [
        stats.ks_2samp(a, b, nan_policy="omit").statistic
        for a, b in zip(reference.T, recent.T, strict=True)
    ]
    np.testing.assert_allclose(shift.shifts(reference, recent)["KS"], wanted, atol=1e-12)


def test_only_the_moved_feature_loses_its_robustness() -> None:
    rng = np.random.default_rng(0)
    reference, recent = rng.normal(size=(1000, 6)), rng.normal(size=(120, 6))
    recent[:, 1] += 1.0
    recent[:, 2] = np.nan
    reference[:, 3] = recent[:, 3] = 1.0
    for x in (reference, recent):
        x[:, 4] = x[:, 4] > 1  # most quantiles coincide
    got = shift.robustness(reference, recent)
    assert got[1] < 0.1
    assert got[2] == 0
    assert got[3] == 1
    assert (got[[0, 4, 5]] > 0.8).all()
    assert np.isnan(shift.shifts(reference, recent)["PSI"]).tolist() == [0, 0, 1, 0, 0, 0]
    assert np.isnan(shift.shifts(reference, recent)["KS"]).tolist() == [0, 0, 1, 0, 0, 0]


def test_chance_alone_gives_the_index_that_is_subtracted() -> None:
    rng = np.random.default_rng(1)
    reference, recent = rng.normal(size=(500, 400)), rng.normal(size=(200, 400))
    got = shift.shifts(reference, recent)["PSI"].mean()
    assert got == pytest.approx(9 * (1 / 500 + 1 / 200), rel=0.1)


def test_the_energy_coefficient_against_scipy() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 1)), rng.normal(1, 2, size=(30, 1))
    got, nearer, count = shift.embedding_shift(x, y, np.arange(40) // 10)
    energy = stats.energy_distance(x[:, 0], y[:, 0]) ** 2
    np.testing.assert_allclose(got, energy / (2 * np.abs(x - y.T).mean()))
    assert (nearer, count) == (4, 4)
    np.testing.assert_allclose(shift.embedding_shift(x, x, np.zeros(40, int))[0], 0, atol=1e-12)


@pytest.mark.parametrize("persistence", [0.0, 0.3, 0.5, 0.9])
def test_days_that_did_not_move_rarely_look_moved(persistence: float) -> None:
    """Every stretch is as often the farthest: no more than one in nine of the recent ones is, and a
    true move is."""
    rng = np.random.default_rng(0)
    farthest, moved, worlds = 0, 0, 150
    for _ in range(worlds):
        noise = rng.normal(size=(560, 8)) * np.sqrt(1 - persistence**2)
        noise[0] = rng.normal(size=8)
        x = signal.lfilter([1.0], [1.0, -persistence], noise, axis=0)
        stretch = np.arange(500) * 8 // 500
        _, nearer, count = shift.embedding_shift(x[:500], x[500:], stretch)
        farthest += nearer == count
        moved += shift.embedding_shift(x[:500], x[500:] + 1.5, stretch)[1] == count
    assert stats.binomtest(farthest, worlds, 1 / 9).pvalue > 0.01, farthest / worlds
    assert moved > 0.8 * worlds
