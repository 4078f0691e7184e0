"""Measures the cost of a config relative to a variant of it: ratios with intervals and bars.

python benchmarks/cost.py --config=configs/acl18.py --config.model.fusion=distilled \
    --against=model.fusion=equal
Several changes: repeat --against.
"""

from pathlib import Path

from absl import flags

from fusionjax import app
from fusionjax.config import Config

_AGAINST = flags.DEFINE_multi_string("against", [], "key=value that the variant differs by")
_PAIRS = flags.DEFINE_integer("pairs", 15, "Rounds of alternating blocks; each gives one ratio")


def main(config: Config) -> None:
    from benchmarks.measures import cost
    from fusionjax.config.variant import compared
    from fusionjax.parallel.mesh import make_mesh
    from fusionjax.telemetry import progress_bar

    other = compared(config, _AGAINST.value)
    with progress_bar() as progress:
        result = cost.measure(config, other, make_mesh(config.mesh), _PAIRS.value, progress)
    cost.show(result, Path("runs") / config.name)


if __name__ == "__main__":
    app.run(main)
