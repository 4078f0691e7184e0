"""Trains a config, or goes on where it was stopped.

python launch/train.py --config=configs/demo.py
python launch/train.py --config=configs/acl18.py --seeds=5
python launch/train.py --config=configs/acl18.py --ladder    # is it worth starting? gate by gate
A third of the samples: --config.train.coreset_share=.3 --config.train.coreset_by=runs/acl18
"""

import time
from pathlib import Path

import psutil
from absl import flags
from jax.sharding import Mesh

from fusionjax import app, ledger
from fusionjax.config import Config
from fusionjax.evaluate import coreset, diagnostics, gates
from fusionjax.parallel import processes
from fusionjax.parallel.mesh import make_mesh
from fusionjax.train.loop import StopOnSignal
from fusionjax.train.run import Trainer, audited_market
from fusionjax.train.telemetry import last_metrics, say

_WORKDIR = flags.DEFINE_string("workdir", None, "Run folder; runs/<config name> if not given")
_LADDER = flags.DEFINE_bool("ladder", False, "Climb the debug ladder instead of training")
_SEEDS = flags.DEFINE_integer("seeds", 1, "Train this many seeds, one after the other")


def main(config: Config) -> None:
    mesh = make_mesh(config.mesh)
    if _LADDER.value:
        climb(config, mesh)
        return
    folder = Path(_WORKDIR.value or f"runs/{config.name}")
    trainer = Trainer.from_config(config, mesh, coreset.rows)
    trainer.describe()
    trainer.preflight(folder)
    stop, begun = StopOnSignal(), time.perf_counter()
    seeds = tuple(range(config.seed, config.seed + _SEEDS.value))
    for seed in seeds:
        started = psutil.Process().create_time() if seed == seeds[0] else None
        trainer.train(seed, folder / f"seed_{seed}", stop, started)
    if processes.first():
        remember(trainer, folder, seeds, time.perf_counter() - begun)
    say(f"run folder: {folder}\nnext: python launch/evaluate.py {app.config_flag()} --run={folder}")


def remember(trainer: Trainer, folder: Path, seeds: tuple[int, ...], seconds: float) -> None:
    """Puts the run into the ledger and says what is odd about it."""
    config = trainer.config
    ledger.append(
        Path(app.LEDGER.value),
        ledger.record(
            "train",
            config,
            run=str(folder),
            data=trainer.market.fingerprint,
            seeds=seeds,
            split=config.train.split,
            metrics=last_metrics([folder / f"seed_{seed}" for seed in seeds]),
            cost={"seconds": seconds, "devices": float(trainer.program.mesh.size)},
        ),
    )
    for line in diagnostics.diagnose(folder, config)["training"]:
        say(f"training: {line}")


def climb(config: Config, mesh: Mesh) -> None:
    """The gates that should hold before a long training."""
    tried = []
    for gate in gates.climb(audited_market(config)[0], config, mesh):
        tried.append(gate)
        say(f"{'pass' if gate.passed else 'FAIL'}  {gate.name}: {gate.figure}")
    gates.require_passed(tried)
    say(f"ready\nnext: python launch/train.py {app.config_flag()}")


if __name__ == "__main__":
    app.run(main, many_processes=True)
