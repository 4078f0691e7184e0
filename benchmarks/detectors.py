"""How soon drift detectors notice known changes, and how often they alarm without. Simulated.

python benchmarks/detectors.py
studies/drift_recovery.py measures how soon update rules recover.
"""

from fusionjax import app


def main(_: None) -> None:
    from benchmarks.measures import detectors
    from fusionjax.telemetry import say

    for detector in ("PageHinkley", "ADWIN", "KSWIN"):
        streams = 20 if detector == "KSWIN" else 100  # which is 500 times as slow
        trials = detectors.trials(detector, 1000.0, streams, 5)
        say("\n".join(f"{detector}: {t}" for t in trials))
    for name, world in detectors.STATIONARY.items():
        for detector in ("PageHinkley", "ADWIN"):
            say(f"{name}, {detector}: {detectors.stationary(world, detector, 40, 5)}")


if __name__ == "__main__":
    app.run(main, app.Needs(config=False))
