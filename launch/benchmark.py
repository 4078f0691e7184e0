"""Measures what a config costs beside a variant of itself: ratios with intervals, and their bars.

python launch/benchmark.py --config=configs/acl18.py --config.model.fusion=distilled \
    --against=model.fusion=equal
Several changes: repeat --against.
taskset -c 0 python launch/benchmark.py --config=configs/acl18.py --feeding   # on one core: does
    # the pipeline deliver five times the samples that the step consumes?
python launch/benchmark.py --config=configs/demo.py --bars=1000000   # memory of preparing them
python launch/benchmark.py --drift [--config=configs/drift.py]    # delay, false alarms, recovery
python launch/benchmark.py --shock    # intervals: method | coverage | worst 250 days | width
"""

from pathlib import Path

from absl import flags

from fusionjax import app
from fusionjax.config import Config
from fusionjax.errors import InputError

_AGAINST = flags.DEFINE_multi_string("against", [], "key=value that the variant differs by")
_PAIRS = flags.DEFINE_integer("pairs", 15, "Rounds of alternating blocks; each gives one ratio")
_FEEDING = flags.DEFINE_bool("feeding", False, "Time the pipeline beside the step it feeds")
_SHOCK = flags.DEFINE_bool("shock", False, "Do intervals cover when volatility jumps? Simulated")
_DRIFT = flags.DEFINE_bool("drift", False, "Detectors, and update rules, on known changes")
_BARS = flags.DEFINE_integer("bars", None, "Prepare and open so many random bars instead")


def main(config: Config | None) -> None:
    import numpy as np

    from fusionjax.adapt import recovery, yardstick
    from fusionjax.evaluate import cost, preparation, shock
    from fusionjax.parallel.mesh import make_mesh
    from fusionjax.train.run import audited_market
    from fusionjax.train.telemetry import CONSOLE, progress_bar, say

    if _SHOCK.value:
        say("\n".join(map(str, shock.study(range(20)))))
        return
    if _DRIFT.value:
        for detector in ("PageHinkley", "ADWIN", "KSWIN"):
            streams = 50 if detector == "KSWIN" else 500  # which is 500 times as slow
            say(
                "\n".join(
                    f"{detector}: {t}" for t in yardstick.trials(detector, 1000.0, streams, 5)
                )
            )
        if config is not None:
            mesh, (market, _) = make_mesh(config.mesh), audited_market(config)
            for found in recovery.study(market, config, mesh, "gap", np.datetime64("2013-05-01")):
                say(str(found))
        return
    if config is None:
        raise InputError(app.NO_CONFIG)
    if _BARS.value is not None:
        with progress_bar() as progress:
            say(preparation.measure(config, _BARS.value, progress))
        return
    mesh = make_mesh(config.mesh)
    with progress_bar() as progress:
        if _FEEDING.value:
            made = cost.feeding(config, mesh, _PAIRS.value, progress)
        else:
            other = cost.variant(config, _AGAINST.value)
            made = cost.measure(config, other, mesh, _PAIRS.value, progress)
    CONSOLE.print(cost.for_screen(made))
    for note in made.notes:
        say(note)
    say(f"written to {made.save(Path('runs') / config.name)}")


if __name__ == "__main__":
    app.run(main, needs_config=False)
