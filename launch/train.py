"""Trains a config, or goes on where it was stopped.

python launch/train.py --config=configs/demo.py
python launch/train.py --config=configs/acl18.py --seeds=5
python launch/train.py --config=configs/acl18.py --select   # settings, by rolling origin
A third of the samples, chosen by a trained run: --config.train.coreset_share=.3
--config.train.coreset_by=runs/acl18.
"""

from pathlib import Path

from absl import flags

from fusionjax import app
from fusionjax.config import Config
from fusionjax.evaluate import coreset
from fusionjax.parallel.mesh import make_mesh
from fusionjax.train.loop import StopOnSignal
from fusionjax.train.run import Trainer, audited_market
from fusionjax.train.telemetry import say

_WORKDIR = flags.DEFINE_string("workdir", None, "Run folder; runs/<config name> if not given")
_SEEDS = flags.DEFINE_integer("seeds", 1, "Train this many seeds, one after the other")
_SELECT = flags.DEFINE_bool("select", False, "Score config.selection.grid instead of training")


def main(config: Config) -> None:
    mesh = make_mesh(config.mesh)
    if _SELECT.value:
        from fusionjax.evaluate import selection

        for c in selection.select(audited_market(config)[0], config, mesh):
            say(
                f"objective {c.objective:.4f}  log loss {c.log_loss:.4f}  MCC {c.mcc:+.3f}"
                f"  volatility MSE {c.volatility_mse:.4f}  {c.changes}"
            )
        return
    folder = Path(_WORKDIR.value or f"runs/{config.name}")
    trainer = Trainer.from_config(config, mesh, coreset.rows)
    trainer.describe()
    trainer.audit.save(folder)
    stop = StopOnSignal()
    for seed in range(config.seed, config.seed + _SEEDS.value):
        trainer.train(seed, folder / f"seed_{seed}", stop)
    say(f"run folder: {folder}\nnext: python launch/evaluate.py {app.config_flag()} --run={folder}")


if __name__ == "__main__":
    app.run(main)
