"""What detectors see of known changes."""

from benchmarks.measures import detectors


def test_a_detector_finds_what_moved_and_only_that() -> None:
    trials = {r.kind: r for r in detectors.trials("PageHinkley", 1000.0, 15, 0)}
    assert trials["abrupt"].detected > 0.95
    assert trials["abrupt"].delay < 25 < trials["gradual"].delay < 100
    assert trials["recurring"].detected > 0.95
    assert trials["none"].detected < 0.55
    assert trials["feature-only"].detected > 0.55
    assert trials["label-only"].detected > 0.55
    assert max(r.false_alarms for r in trials.values()) < 3.5


def test_a_watch_that_stays_quiet_has_no_run_length_and_a_change_a_delay() -> None:
    got = detectors.stationary(detectors.STATIONARY["independent"], "PageHinkley", 4, 0)
    assert 0 <= got.early <= 1
    assert got.run_length > 0
    assert got.found == 1
    assert 3 <= got.delay < 60
