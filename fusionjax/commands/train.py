"""Trains a config, or resumes a training that was stopped.

fusionjax train --config=demo
fusionjax train --config=acl18 --seeds=5
fusionjax train --config=acl18 --sanity_checks    # before a long training
fusionjax train --run=runs/demo --extend=200    # all its seeds, 200 steps more
A third of the samples: --config.train.coreset_fraction=.3 --config.train.coreset_by=runs/acl18
"""

from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags

from fusionjax import app
from fusionjax.config import Config
from fusionjax.errors import InputError

if TYPE_CHECKING:
    from fusionjax import api

_WORKDIR = flags.DEFINE_string("workdir", None, "Run folder; runs/<config name> if not given")
_SANITY_CHECKS = flags.DEFINE_bool("sanity_checks", False, "Only check that it can learn at all")
_SEEDS = flags.DEFINE_integer(
    "seeds", 1, "Train this many seeds, one after the other", lower_bound=1
)
_EXTEND = flags.DEFINE_integer(
    "extend", None, "Train all seeds of a run so many steps further (docs/operations.md)"
)
_RUN = flags.DEFINE_string("run", None, "With --extend: the run folder; its config is known")


def main(config: Config) -> None:
    if _RUN.value is not None and _EXTEND.value is None:
        raise InputError("--run goes with --extend; to resume a training repeat its command")
    if _SANITY_CHECKS.value:
        check(config)
        return
    app.begin()
    import psutil

    from fusionjax import api
    from fusionjax.telemetry import say

    begun = psutil.Process().create_time()
    if _EXTEND.value is None:
        run = api.fit(
            config, seeds=_SEEDS.value, folder=_WORKDIR.value, ledger=app.LEDGER.value, begun=begun
        )
    else:
        run = extend(config, _EXTEND.value, begun)
    say(f"run folder: {run.folder}\nnext: {app.command('evaluate', f'--run={run.folder}')}")


def extend(config: Config, steps: int, begun: float) -> "api.Run":
    """Trains the seeds of a run further."""
    from fusionjax import api

    if flags.FLAGS["seeds"].present:
        raise InputError("--extend trains all seeds that the run has; leave out --seeds")
    folder = Path(_RUN.value or _WORKDIR.value or f"runs/{config.name}")
    return api.Run(folder, config, Path(app.LEDGER.value)).extend(steps, begun=begun)


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
