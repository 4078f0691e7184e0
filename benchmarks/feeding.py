"""Does the pipeline deliver five times the samples that the step consumes? Timed beside it.

taskset -c 0 python benchmarks/feeding.py --config=configs/acl18.py    # on one core
"""

from pathlib import Path

from absl import flags

from fusionjax import app
from fusionjax.config import Config

_PAIRS = flags.DEFINE_integer("pairs", 15, "Rounds of alternating blocks; each gives one ratio")


def main(config: Config) -> None:
    from benchmarks.measures import cost
    from fusionjax.parallel.mesh import make_mesh
    from fusionjax.telemetry import progress_bar

    with progress_bar() as progress:
        result = cost.feeding(config, make_mesh(config.mesh), _PAIRS.value, progress)
    cost.show(result, Path("runs") / config.name)


if __name__ == "__main__":
    app.run(main)
