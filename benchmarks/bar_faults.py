"""Faults planted into simulated bars, and clean ones: what the audit names, whom it accuses.

python benchmarks/bar_faults.py --config=configs/kdd17.py
"""

from absl import flags

from fusionjax import app
from fusionjax.config import Config

_CLEAN = flags.DEFINE_integer("clean", 120, "Clean sets of 20 symbols and four years")
_SETS = flags.DEFINE_integer("sets", 12, "Sets that faults are planted into, one at a time")


def main(config: Config) -> None:
    from benchmarks.measures import bar_rates
    from fusionjax.telemetry import say

    for line in bar_rates.report(_CLEAN.value, _SETS.value, config):
        say(line)


if __name__ == "__main__":
    app.run(main)
