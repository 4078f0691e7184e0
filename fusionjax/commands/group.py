"""Trains a list of configs, one after the other or several at once, unattended.

fusionjax group --configs=configs/demo.py,configs/acl18.py --seeds=5
fusionjax group --configs=a.py,b.py,c.py --at_once=2    # a log of each in runs/groups
An override, such as --config.train.steps=800, is of all of them.
Each resumes where it was; if one fails, that is reported and the next begins. Exit status: 75 if
stopped by a signal (the same command resumes), else that of the first failure. fusionjax report
--live shows the progress of each. With several processes, each runs this command.
"""

import signal
import sys
from pathlib import Path

from absl import flags

from fusionjax import app
from fusionjax.configs import installed
from fusionjax.errors import InputError

_CONFIGS = flags.DEFINE_list("configs", [], "Config files")
_SEEDS = flags.DEFINE_integer("seeds", 1, "Seeds of each config", lower_bound=1)
_AT_ONCE = flags.DEFINE_integer(
    "at_once", 1, "Train so many beside each other on this machine; its GPUs are shared out"
)


def main(_: None) -> None:
    from fusionjax.parallel import processes
    from fusionjax.runs.group import Group

    configs = list(dict.fromkeys(_CONFIGS.value))
    missing = [c for c in configs if not Path(c).is_file() and installed(c) is None]
    if missing or not configs:
        raise InputError(f"--configs: no such file: {', '.join(missing)}; give config files, a,b,…")
    if _AT_ONCE.value > 1 and processes.described_or_one()[1] > 1:
        raise InputError("--at_once is for one process; several train one config at a time")
    group = Group({config: command(config) for config in configs}, _AT_ONCE.value, Path("runs"))
    worst = group.train()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # late ones: the interpreter is shutting down
    group.show()
    sys.exit(worst)


def command(config: str) -> list[str]:
    words = [sys.executable, *app.words("train"), f"--config={config}", f"--seeds={_SEEDS.value}"]
    return words + ["--cpu_mesh"] * flags.FLAGS.cpu_mesh + app.typed_overrides()
