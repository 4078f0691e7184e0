"""What a forecast by command costs: CPU seconds, time and memory, beside another checkout.

python benchmarks/predicting.py --run=runs/demo --symbol=SPX --before=CHECKOUT
Give it a run folder whose config names its data by an absolute path, or start it where that run was
trained.
"""

from pathlib import Path

from absl import flags

from fusionjax import app

_RUN = flags.DEFINE_string("run", None, "Run folder", required=True)
_SYMBOL = flags.DEFINE_string("symbol", None, "The one stock that is asked for", required=True)
_BEFORE = flags.DEFINE_string("before", None, "A checkout of the build to compare with")
_ROUNDS = flags.DEFINE_integer("rounds", 3, "Builds take turns so often; medians are shown")


def main(_: None) -> None:
    from benchmarks.measures import predicting
    from fusionjax.telemetry import say

    builds = [Path(__file__).resolve().parents[1]]
    if _BEFORE.value is not None:
        builds.insert(0, Path(_BEFORE.value).resolve())
    costs = predicting.measure(Path(_RUN.value), builds, _SYMBOL.value, _ROUNDS.value)
    for name, each in costs.items():
        cpu, wall, resident = (
            " → ".join(f"{getattr(cost, field):,.4g}" for cost in each)
            for field in ("cpu", "wall", "resident")
        )
        say(f"{name}: {cpu} CPU seconds, {wall} s by the clock, {resident} MB at most")


if __name__ == "__main__":
    app.run(main, app.Needs(config=False))
