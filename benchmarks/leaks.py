"""Leaks planted into simulated data and forecasts, and honest ones: what is found, who is accused.

python benchmarks/leaks.py
"""

from absl import flags

from fusionjax import app

_SEEDS = flags.DEFINE_integer("seeds", 5, "Markets that each leak is planted into")
_SETS = flags.DEFINE_integer("sets", 200, "Honest sets, and honest forecasters")


def main(_: None) -> None:
    from benchmarks.measures import leak_rates
    from fusionjax.telemetry import say

    for line in leak_rates.report(_SEEDS.value, _SETS.value):
        say(line)


if __name__ == "__main__":
    app.run(main, app.Needs(config=False))
