"""Kills prepare, train, evaluate and finetune at random moments; what they leave must be the same.

python benchmarks/kills.py --config=configs/demo.py --kills=60
All other flags are handed on to the four commands.
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
    from fusionjax.train.telemetry import say

    folder = Path(_WORKDIR.value or f"runs/{config.name}_kills").absolute()
    here, own = Path(__file__).parents[1] / "launch", ("--kills", "--workdir")
    given = [f for f in sys.argv[1:] if not f.startswith(own)]
    given = [
        f"--config={Path(f[9:]).absolute()}" if f.startswith("--config=") else f for f in given
    ]
    run, parent = "--run=runs/killed", "--from=runs/killed"
    commands = [  # and how often each is killed in a round
        ([str(here / "prepare.py"), *given], 4),
        ([str(here / "train.py"), *given, "--workdir=runs/killed"], 10),
        ([str(here / "evaluate.py"), *given, run], 1),
        ([str(here / "finetune.py"), *given, parent], 6),
    ]
    made = kill.campaign(commands, folder, _KILLS.value)
    say(str(made))
    kill.save(made, folder / "kills.json")
    if made.differing:
        raise InputError(f"kills changed what came out; everything is in {folder}")


if __name__ == "__main__":
    app.run(main)
