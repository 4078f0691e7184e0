"""False alarms come as seldom as asked; changes are found, dated and sized, distances measured."""

import functools
import json
import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal, stats

from benchmarks.measures import detectors
from fusionjax.adapt import cusum, drift, shift
from fusionjax.adapt.drift import Alarm, DriftDetectors
from fusionjax.adapt.signals import ReferenceProfile
from fusionjax.adapt.whitening import Whitening
from fusionjax.errors import InputError

REFERENCE = np.random.default_rng(0).normal(5.0, 2.0, 400)


@functools.cache
def _begun(detector: str, run_length: float) -> str:
    return json.dumps(
        DriftDetectors.from_reference({"x": REFERENCE}, detector, run_length).to_json()
    )


def begun(detector: str = "PageHinkley", run_length: float = 1000.0) -> DriftDetectors:
    """A new watch of ``REFERENCE``."""
    return DriftDetectors.from_json(json.loads(_begun(detector, run_length)))


def watched(watch: DriftDetectors, values: np.ndarray, start: int = 0) -> list[Alarm]:
    return [a for t, x in enumerate(values, start) for a in watch.update({"x": float(x)}, str(t))]


@pytest.mark.parametrize("detector", ["PageHinkley", "ADWIN"])
@pytest.mark.parametrize("asked", [500.0, 2000.0])
def test_false_alarms_come_as_seldom_as_asked(detector: str, asked: float) -> None:
    threshold = drift.sensitivity(detector, asked)
    # 600 streams: a standard error of 4 %.
    got = drift.measured_run_length(detector, threshold, count=600, seed=2)
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


def log_sizes(days: int, rng: np.random.Generator) -> np.ndarray:
    return np.log(np.abs(detectors.garch(days, 1, rng)) + 1e-4)


def persistent(days: int, rng: np.random.Generator) -> np.ndarray:
    return signal.lfilter([1], [1, -0.9], rng.normal(size=(days + 100, 1)), axis=0)[100:]


def panel(days: int, rng: np.random.Generator) -> np.ndarray:
    """Stocks with a common factor: returns, their log sizes, and persistent series."""
    r = 0.7 * detectors.garch(days, 1, rng) + 0.7 * detectors.garch(days, 3, rng)
    level = persistent(days, rng) + np.hstack([persistent(days, rng) for _ in range(2)])
    return np.hstack([r, np.log(np.abs(r) + 1e-4), level])


def share_of_early_alarms(world: Callable, worlds: int, seed: int, step: float = 0.0) -> float:
    """The share of worlds with an alarm in as many sessions as a run length, or as a delay."""
    rng, early = np.random.default_rng(seed), 0
    for _ in range(worlds):
        x = world(1500, rng)
        names = [str(i) for i in range(x.shape[1])]
        reference = dict(zip(names, x[:500].T, strict=True))
        watch = DriftDetectors.from_reference(reference, run_length=1000.0)
        later = (x[500:] + step * x[:500].std(0))[: 100 if step else 1000]
        days = (dict(zip(names, map(float, row), strict=True)) for row in later)
        early += any(watch.update(day, "") for day in days)
    return early / worlds


@pytest.mark.parametrize("world", [log_sizes, persistent])
def test_what_stays_as_it_was_alarms_no_more_often_than_asked(world: Callable) -> None:
    """1 - 1/e = 0.63 of the worlds are expected; thresholds for independent values gave 0.99 of
    log sizes."""
    assert 0.2 < share_of_early_alarms(world, 24, 0) < 0.8


@pytest.mark.nightly
@pytest.mark.parametrize("world", [log_sizes, persistent, panel])
def test_run_lengths_hold_where_values_cluster_and_move_together(world: Callable) -> None:
    assert share_of_early_alarms(world, 100, 1) < 0.63 + 0.12


def test_a_change_of_sizes_is_found_although_they_come_in_spells() -> None:
    assert share_of_early_alarms(log_sizes, 24, 2, step=1.5) > 0.8


@given(st.integers(0, 250), st.sampled_from(["PageHinkley", "ADWIN"]), st.integers(0, 5))
@settings(max_examples=30, deadline=None)
def test_a_restored_watch_raises_the_same_alarms(split: int, detector: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(5.0, 2.0, 250) + np.repeat([0, 4, -2, 6, 0], 50)
    values[rng.random(250) < 0.1] = np.nan
    whole = begun(detector, 600.0)
    wanted = watched(whole, values)
    assert len(wanted) >= 3
    part = begun(detector, 600.0)
    got = watched(part, values[:split])
    state = json.loads(json.dumps(part.to_json(), allow_nan=False))
    written = json.dumps(state)
    restored = DriftDetectors.from_json(state)
    assert got + watched(restored, values[split:], split) == wanted
    assert restored.to_json() == whole.to_json()
    assert json.dumps(state) == written


def test_kswin_is_restored_in_the_middle_of_its_window() -> None:
    values = np.random.default_rng(1).normal(5.0, 2.0, 120) + np.repeat([0, 6], 60)
    whole, part = (begun("KSWIN", 600.0) for _ in range(2))
    wanted = watched(whole, values)
    assert wanted
    got = watched(part, values[:63])
    assert got + watched(DriftDetectors.from_json(part.to_json()), values[63:], 63) == wanted


@pytest.mark.parametrize("jump", [3.0, -3.0])
def test_a_step_is_dated_sized_and_then_the_new_level(jump: float) -> None:
    watch = begun()
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
    series = drift._Series(0.0, 1.0, 7, Whitening(0.0, 0.0, 1.0, 1e9))
    for t, x in enumerate(kept):
        assert series.add(float(x), str(t)) == pytest.approx(np.clip(x, -3, 3))
    kept = np.clip(kept, -3, 3)
    past = np.append(np.zeros(7), kept)  # the reference is seven sessions at 0
    squares = [past[:k].var() * k + past[k:].var() * (47 - k) for k in range(7, 47)]
    at = int(np.argmin(squares))
    alarm = series.restart("x")
    assert alarm.since == str(at)
    assert alarm.size == pytest.approx(kept[at:].mean() - past[: 7 + at].mean())
    assert series.mean == pytest.approx(kept[at:].mean())
    assert series.whitening.before is not None
    assert series.whitening.before[0] == pytest.approx(kept[-1] - kept[at:].mean())  # the new level


def test_a_change_before_the_first_session_is_seen() -> None:
    values = np.random.default_rng(1).normal(7.0, 2.0, 60)
    alarms = watched(begun(), values)
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
    for _ in range(25):
        x = rng.standard_t(5, size=(2500, 10)) @ rng.normal(size=(10, 100))
        x += rng.normal(size=x.shape)
        usual, known = ReferenceProfile.of(x[:500])
        watch = DriftDetectors.from_reference({"x": known}, run_length=500.0)
        alarms = (t for t, v in enumerate(usual.distance(x[500:])) if watch.update({"x": v}, ""))
        first.append(next(alarms, 2000))
    assert 0.75 * 500 < np.mean(first) < 1900, "the first of 2,000 sessions"


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


def test_a_reference_with_gaps_is_that_of_the_values_it_has() -> None:
    sparse = np.full(2 * len(REFERENCE), np.nan)
    sparse[::2] = REFERENCE
    (one,), (other,) = (
        DriftDetectors.from_reference({"x": x}).series.values() for x in (sparse, REFERENCE)
    )
    assert (one.mean, one.std, one.whitening) == (other.mean, other.std, other.whitening)
    assert one.parameter == pytest.approx(other.parameter, rel=0.25)


@pytest.mark.parametrize("known", [60, 250])
def test_the_climb_of_many_streams_is_that_of_rivers_page_hinkley(known: int) -> None:
    x = np.random.default_rng(3).normal(size=(150, 3))
    x[np.random.default_rng(4).random(x.shape) < 0.1] = np.nan
    for values, top in zip(x.T, cusum.highest(x, np.full(3, known)), strict=True):
        for limit, alarmed in ((top - 1e-9, True), (top + 1e-9, False)):
            detector = drift._start("PageHinkley", limit, known)
            seen = []
            for v in values[np.isfinite(values)]:
                detector.update(float(v))
                seen.append(detector.drift_detected)
            assert any(seen) == alarmed


def test_whitened_values_are_those_of_the_model_one_by_one_or_at_once() -> None:
    rng = np.random.default_rng(6)
    e = rng.normal(size=4000)
    z = signal.lfilter([1, -0.8], [1, -0.95], e)
    z = (z - z.mean()) / z.std()
    whole, part = Whitening.of(z[:2000], 1), Whitening.of(z[:2000], 1)
    got = whole.after(z.tolist())
    assert got == part.after(z[:700].tolist()) + part.after(z[700:].tolist())
    lags = [np.corrcoef(got[k:], got[: len(got) - k])[0, 1] for k in range(1, 40)]
    assert np.abs(lags).max() < 0.08
    assert np.abs(np.sum(lags)) < 0.6, "no persistence is left to add up"


def test_a_missing_value_is_no_observation() -> None:
    values = np.random.default_rng(1).normal(5.0, 2.0, 80) + np.repeat([0, 5], 40)
    gaps = begun()
    plain = begun()
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
    watch = begun()
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
