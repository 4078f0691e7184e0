"""Kills prepare, train, evaluate and finetune at random moments; their results must not change.

python benchmarks/kills.py --config=configs/demo.py --kills=60
All other flags are passed to the four commands.
"""

import sys
from pathlib import Path

from absl import flags

from fusionjax import app
from fusionjax.config import Config
from fusionjax.errors import InputError

_KILLS = flags.DEFINE_integer("kills", None, "So many, by SIGKILL", required=True)
_WORKDIR = flags.DEFINE_string("workdir", None, "runs/<config name>_kills if not given")


def main(config: Config) -> None:
    from benchmarks.measures import kill
    from fusionjax.telemetry import say

    folder = Path(_WORKDIR.value or f"runs/{config.name}_kills").absolute()
    launch, own = Path(__file__).parents[1] / "launch", ("--kills", "--workdir")
    passed = [f for f in sys.argv[1:] if not f.startswith(own)]
    passed = [
        f"--config={Path(f[9:]).absolute()}" if f.startswith("--config=") else f for f in passed
    ]
    run, parent = "--run=runs/killed", "--from=runs/killed"
    commands = [  # and how often each is killed in a round
        ([str(launch / "prepare.py"), *passed], 4),
        ([str(launch / "train.py"), *passed, "--workdir=runs/killed"], 10),
        ([str(launch / "evaluate.py"), *passed, run], 1),
        ([str(launch / "finetune.py"), *passed, parent], 6),
    ]
    campaign = kill.campaign(commands, folder, _KILLS.value)
    say(str(campaign))
    kill.save(campaign, folder / "kills.json")
    if campaign.differing:
        raise InputError(f"kills changed the results; everything is in {folder}")


if __name__ == "__main__":
    app.run(main)
