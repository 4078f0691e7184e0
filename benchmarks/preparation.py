"""Prepares and opens a market of many random bars: time and memory.

python benchmarks/preparation.py --config=configs/demo.py --bars=1000000
"""

from absl import flags

from fusionjax import app
from fusionjax.config import Config

_BARS = flags.DEFINE_integer("bars", None, "At least so many", required=True)


def main(config: Config) -> None:
    from benchmarks.measures import preparation
    from fusionjax.telemetry import progress_bar, say

    with progress_bar() as progress:
        say(preparation.measure(config, _BARS.value, progress))


if __name__ == "__main__":
    app.run(main)
