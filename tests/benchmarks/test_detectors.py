"""What detectors see of known changes."""

from benchmarks.measures import detectors


def test_a_detector_finds_what_moved_and_only_that() -> None:
    trials = {r.kind: r for r in detectors.trials("PageHinkley", 1000.0, 40, 0)}
    assert trials["abrupt"].detected > 0.95
    assert trials["abrupt"].delay < 25 < trials["gradual"].delay < 100
    assert trials["recurring"].detected > 0.95
    assert trials["none"].detected < 0.55
    assert trials["feature-only"].detected > 0.55
    assert trials["label-only"].detected > 0.55
    assert max(r.false_alarms for r in trials.values()) < 3.5
