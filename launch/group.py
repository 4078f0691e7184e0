"""Trains a list of configs, one after the other, unattended.

python launch/group.py --configs=configs/demo.py,configs/acl18.py --seeds=5
Each goes on where it was; one that fails is told and the next begins. Status 75 if stopped by a
signal (the same command goes on), else that of the first that failed. launch/report.py --live
shows where each is. Several processes each run this: they train together.
"""

import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType

from absl import flags

from fusionjax import app
from fusionjax.errors import InputError

_CONFIGS = flags.DEFINE_list("configs", [], "Config files")
_SEEDS = flags.DEFINE_integer("seeds", 1, "Of each")


def main(_: None) -> None:
    missing = [c for c in _CONFIGS.value if not Path(c).is_file()]
    if missing or not _CONFIGS.value:
        raise InputError(f"--configs: no such file: {', '.join(missing)}; give config files, a,b,…")
    worst = 0
    for config in _CONFIGS.value:
        status = train(config)
        if status == app.EXIT_PREEMPTED:
            sys.exit(status)
        if status:
            print(f"{config}: failed with status {status}; going on", file=sys.stderr, flush=True)
        worst = worst or status
    sys.exit(worst)


def train(config: str) -> int:
    """The exit status of one config's training, which gets the signals that this process gets."""
    command = [sys.executable, str(Path(__file__).with_name("train.py")), f"--config={config}"]
    command += [f"--seeds={_SEEDS.value}"] + ["--cpu_mesh"] * flags.FLAGS.cpu_mesh

    def pass_on(number: int, frame: FrameType | None) -> None:
        child.send_signal(number)

    with subprocess.Popen(command) as child:
        before = {s: signal.signal(s, pass_on) for s in (signal.SIGTERM, signal.SIGINT)}
        try:
            return child.wait()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


if __name__ == "__main__":
    app.run(main, needs_config=False)
