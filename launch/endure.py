"""What a training of this config survives.

python launch/endure.py --config=configs/demo.py --kills=60    # SIGKILL at random moments
python launch/endure.py --config=configs/demo.py --soak=10000  # does anything grow?
python launch/endure.py --config=configs/demo.py --rebounds    # the guard beside plain schedules
"""

import dataclasses
import json
import sys
from pathlib import Path

from absl import flags

from fusionjax import app, files
from fusionjax.config import Config
from fusionjax.errors import InputError

_KILLS = flags.DEFINE_integer("kills", None, "Kill prepare, train, evaluate, finetune so often")
_SOAK = flags.DEFINE_integer("soak", None, "Train for so many steps and look for growth")
_SAVES = flags.DEFINE_integer("saves", 20, "Checkpoints of --soak", lower_bound=1)
_REBOUNDS = flags.DEFINE_bool("rebounds", False, "Train through accidents, guarded and not")
_SEEDS = flags.DEFINE_integer("seeds", 5, "Of --rebounds")
_WORKDIR = flags.DEFINE_string("workdir", None, "runs/<config name>_endure if not given")


def main(config: Config) -> None:
    from fusionjax.endure import rebounds, soak
    from fusionjax.parallel.mesh import make_mesh
    from fusionjax.train.run import Trainer
    from fusionjax.train.telemetry import CONSOLE, progress_bar, say

    folder = Path(_WORKDIR.value or f"runs/{config.name}_endure").absolute()
    if _KILLS.value is not None:
        killed(folder, _KILLS.value)
    elif _SOAK.value is not None:
        every = max(_SOAK.value // _SAVES.value, 1)
        config = config.override({"train.steps": _SOAK.value, "train.checkpoint_every": every})
        Trainer.from_config(config, make_mesh(config.mesh)).train(0, folder / "soak")
        found = soak.trends(folder / "soak")
        CONSOLE.print(soak.for_screen(found, _SOAK.value))
        if not all(t.flat for t in found):
            raise InputError(f"something grows; the log is {folder}/soak/metrics.jsonl")
    elif _REBOUNDS.value:
        with progress_bar() as progress:
            seeds = range(_SEEDS.value)
            outcomes = rebounds.study(config, make_mesh(config.mesh), seeds, progress)
        CONSOLE.print(rebounds.for_screen(outcomes))
        rows = [dataclasses.asdict(o) for o in outcomes]
        files.write_text(folder / "rebounds.json", json.dumps(rows, indent=1))
        say(f"written to {folder}/rebounds.json")
    else:
        raise InputError("say what to endure: --kills=60, --soak=10000 or --rebounds")


def killed(folder: Path, kills: int) -> None:
    """The four commands with the flags that this one was given."""
    from fusionjax.endure import kill
    from fusionjax.train.telemetry import say

    here, own = Path(__file__).parent, ("--kills", "--workdir", "--seeds")
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
    made = kill.campaign(commands, folder, kills)
    say(str(made))
    kill.save(made, folder / "kills.json")
    if made.differing:
        raise InputError(f"kills changed what came out; everything is in {folder}")


if __name__ == "__main__":
    app.run(main)
