"""Trains a config, or resumes a training that was stopped.

fusionjax train --config=demo
fusionjax train --config=acl18 --seeds=5
fusionjax train --config=acl18 --sanity_checks    # before a long training
A third of the samples: --config.train.coreset_fraction=.3 --config.train.coreset_by=runs/acl18
"""

from absl import flags

from fusionjax import app
from fusionjax.config import Config

_WORKDIR = flags.DEFINE_string("workdir", None, "Run folder; runs/<config name> if not given")
_SANITY_CHECKS = flags.DEFINE_bool("sanity_checks", False, "Only check that it can learn at all")
_SEEDS = flags.DEFINE_integer("seeds", 1, "Train this many seeds, one after the other")


def main(config: Config) -> None:
    if _SANITY_CHECKS.value:
        check(config)
        return
    app.begin()
    import psutil

    from fusionjax import api
    from fusionjax.telemetry import say

    begun = psutil.Process().create_time()
    run = api.fit(
        config, seeds=_SEEDS.value, folder=_WORKDIR.value, ledger=app.LEDGER.value, begun=begun
    )
    say(f"run folder: {run.folder}\nnext: {app.command('evaluate', f'--run={run.folder}')}")


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
