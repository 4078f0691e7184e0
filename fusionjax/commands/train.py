"""Trains a config, or resumes a training that was stopped.

fusionjax train --config=demo
fusionjax train --config=acl18 --seeds=5
fusionjax train --config=acl18 --sanity_checks    # before a long training
A third of the samples: --config.train.coreset_fraction=.3 --config.train.coreset_by=runs/acl18
"""

import time
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags

from fusionjax import app
from fusionjax.config import Config

if TYPE_CHECKING:
    from fusionjax.train.run import Trainer

_WORKDIR = flags.DEFINE_string("workdir", None, "Run folder; runs/<config name> if not given")
_SANITY_CHECKS = flags.DEFINE_bool("sanity_checks", False, "Only check that it can learn at all")
_SEEDS = flags.DEFINE_integer("seeds", 1, "Train this many seeds, one after the other")


def main(config: Config) -> None:
    if _SANITY_CHECKS.value:
        check(config)
        return
    import psutil

    from fusionjax.evaluate import coreset
    from fusionjax.parallel import mesh, processes
    from fusionjax.telemetry import say
    from fusionjax.train import loop

    folder = Path(_WORKDIR.value or f"runs/{config.name}")
    trainer = coreset.trainer(config, mesh.make_mesh(config.mesh))
    trainer.describe()
    trainer.preflight(folder)
    stop, begun = loop.StopOnSignal(), time.perf_counter()
    seeds = tuple(range(config.seed, config.seed + _SEEDS.value))
    for seed in seeds:
        started = psutil.Process().create_time() if seed == seeds[0] else None
        trainer.train(seed, folder / f"seed_{seed}", stop, started)
    if processes.first():
        record(trainer, folder, seeds, time.perf_counter() - begun)
    say(f"run folder: {folder}\nnext: {app.command('evaluate', f'--run={folder}')}")


def record(trainer: "Trainer", folder: Path, seeds: tuple[int, ...], seconds: float) -> None:
    """Adds the run to the ledger and prints oddities of its training."""
    from fusionjax import ledger, telemetry
    from fusionjax.evaluate import diagnostics
    from fusionjax.train.hooks.metrics import last_metrics

    config = trainer.config
    ledger.append(
        Path(app.LEDGER.value),
        ledger.record(
            "train",
            config,
            ledger.Subject(str(folder), trainer.market.fingerprint, seeds, config.train.split),
            ledger.Result(
                last_metrics([folder / f"seed_{seed}" for seed in seeds]),
                {"seconds": seconds, "devices": float(trainer.program.mesh.size)},
            ),
        ),
    )
    for line in diagnostics.diagnose(folder, config)["training"]:
        telemetry.say(f"training: {line}")


def check(config: Config) -> None:
    """Runs the sanity checks that should pass before a long training."""
    from fusionjax import telemetry
    from fusionjax.evaluate import sanity_checks
    from fusionjax.parallel import mesh
    from fusionjax.train import run

    results, devices = [], mesh.make_mesh(config.mesh)
    for result in sanity_checks.run(run.audited_market(config)[0], config, devices):
        results.append(result)
        telemetry.say(f"{'pass' if result.passed else 'FAIL'}  {result.name}: {result.figure}")
    sanity_checks.require_passed(results)
    telemetry.say(f"ready\nnext: {app.command('train', *app.typed('sanity_checks'))}")
