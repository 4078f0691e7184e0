"""Trains for many steps and looks for growth: of memory, open files, threads, a step's time.

python benchmarks/soak.py --config=configs/demo.py --steps=10000
"""

from pathlib import Path

from absl import flags

from fusionjax import app
from fusionjax.config import Config
from fusionjax.errors import InputError

_STEPS = flags.DEFINE_integer("steps", None, "Of the training", required=True)
_SAVES = flags.DEFINE_integer("saves", 20, "Checkpoints on the way", lower_bound=1)
_WORKDIR = flags.DEFINE_string("workdir", None, "runs/<config name>_soak if not given")


def main(config: Config) -> None:
    from benchmarks.measures import soak
    from fusionjax.parallel.mesh import make_mesh
    from fusionjax.telemetry import CONSOLE
    from fusionjax.train.run import Trainer

    folder = Path(_WORKDIR.value or f"runs/{config.name}_soak").absolute()
    every = max(_STEPS.value // _SAVES.value, 1)
    config = config.override({"train.steps": _STEPS.value, "train.checkpoint_every": every})
    Trainer.from_config(config, make_mesh(config.mesh)).train(0, folder)
    trends = soak.trends(folder)
    CONSOLE.print(soak.for_screen(trends, _STEPS.value))
    if not all(t.flat for t in trends):
        raise InputError(f"something grows; the log is {folder}/metrics.jsonl")


if __name__ == "__main__":
    app.run(main)
