"""Trains through accidents: the loss-rebound guard beside no guard and plain schedules.

python benchmarks/rebounds.py --config=configs/demo.py --seeds=5
"""

import dataclasses
import json
from pathlib import Path

from absl import flags

from fusionjax import app, files
from fusionjax.config import Config

_SEEDS = flags.DEFINE_integer("seeds", 5, "Of each policy and accident")
_WORKDIR = flags.DEFINE_string("workdir", None, "runs/<config name>_rebounds if not given")


def main(config: Config) -> None:
    from benchmarks.measures import rebounds
    from fusionjax.parallel.mesh import make_mesh
    from fusionjax.telemetry import CONSOLE, progress_bar, say

    folder = Path(_WORKDIR.value or f"runs/{config.name}_rebounds").absolute()
    with progress_bar() as progress:
        mesh, seeds = make_mesh(config.mesh), range(_SEEDS.value)
        outcomes = rebounds.study(config, mesh, seeds, progress)
    CONSOLE.print(rebounds.for_screen(outcomes))
    rows = [dataclasses.asdict(o) for o in outcomes]
    files.write_text(folder / "rebounds.json", json.dumps(rows, indent=1))
    say(f"written to {folder}/rebounds.json")


if __name__ == "__main__":
    app.run(main)
